"""Expressions of a description: CEL over the facts of a claim, compiled once. Pure.

CEL (Common Expression Language) always ends, touches nothing outside and has no side effects. Facts are text, so no
amount ever becomes a binary fraction; a few functions of our own calculate with decimals.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_strings  # type: ignore[import-untyped]

from adapters.billing.http_api.facts import FACTS, PRIOR, Kind, find_fact

MAX_LENGTH = 500
_TEXT_LITERAL = re.compile(r"""r?("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_MENTION = re.compile(r"(?<![\w.])(?P<scope>[a-z_]\w*)\.(?P<member>[A-Za-z_]\w*)(?:\[(?P<index>\d+)\])?")
_BARE = re.compile(r"(?<![\w.])(?P<scope>[a-z_]\w*)\b(?!\s*\.\s*[A-Za-z_])(?!\s*\()")
_AT = re.compile(r"(?<![\w.])at\(\s*(?P<name>[a-z_]\w*\.\w+)\s*,\s*(?P<index>\d+)\s*\)")
_SIZE = re.compile(r"(?<![\w.])(?:size\(\s*(?P<inside>[a-z_]\w*\.\w+)\s*\)|(?P<before>[a-z_]\w*\.\w+)\.size\(\s*\))")
_CEL_MESSAGE = re.compile(r"ERROR: <input>:\d+:(?P<column>\d+): (?P<text>[^\n]*)")


_MIXED = "it mixes kinds of values"
_NO_VALUE = "it has no value for what this claim holds"
_NO_PLAIN = "it gives neither text, a whole number, true or false, nor a list of those"
_SAMPLES: Mapping[Kind, Any] = {
    Kind.TEXT: "1",
    Kind.DATE: "2026-03-04",
    Kind.DECIMAL: "1.00",
    Kind.INTEGER: 1,
    Kind.BOOLEAN: "true",
    Kind.TEXTS: ["1", "1"],
    Kind.INTEGERS: [1, 1],
}


class BadExpression(ValueError):
    """An expression that cannot be used; the text says why and what to do."""


class Unanswered(ValueError):
    """An expression that gives no value for this claim; the text holds no value of the claim."""


@dataclass(frozen=True, slots=True)
class Mention:
    """A fact that an expression names; `index` when it takes one element of a list, `sized` when only its size."""

    name: str
    index: int | None = None
    sized: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression. `of` gives text, a whole number, true or false, or a list of those."""

    text: str
    mentions: tuple[Mention, ...]
    compiled: Any

    def of(self, activation: Any) -> Any:
        """The value over an `activation_of` facts; raises `Unanswered`."""
        value = self.compiled.eval(activation)
        if value.type() == cel.Type.ERROR:
            raise Unanswered(_MIXED if "overload" in str(value.value()) else _NO_VALUE)
        plain = value.plain_value()
        for each in plain if isinstance(plain, list) else (plain,):
            if not isinstance(each, str | int):
                raise Unanswered(_NO_PLAIN)
        return plain


def compile_expression(text: str) -> Program:
    """Compile the CEL text after the `=`; raises `BadExpression`."""
    if not text.strip() or len(text) > MAX_LENGTH:
        raise BadExpression(f"an expression has 1 to {MAX_LENGTH} characters")
    mentions = tuple(_mentions(text))
    try:
        compiled = _environment().compile(text)
    except RuntimeError as problem:
        found = _CEL_MESSAGE.search(str(problem))
        where = f" at column {found['column']} ({found['text']})" if found else ""
        raise BadExpression(f"this expression does not compile{where}; see the README for its functions") from None
    if compiled.return_type() in (cel.Type.DOUBLE, cel.Type.NULL):
        raise BadExpression("an expression gives text or whole numbers, never binary fractions; use add() and times()")
    program = Program(text, mentions, compiled)
    _try(program)
    return program


def _try(program: Program) -> None:
    """Evaluate over made-up facts: an expression that mixes kinds of values is refused at the start, not at a claim."""
    scopes: dict[str, dict[str, Any]] = {}
    for mention in program.mentions:
        scope, _, member = mention.name.partition(".")
        fact = find_fact(mention.name)
        scopes.setdefault(scope, {})[member] = _SAMPLES[fact.kind if fact and scope != PRIOR else Kind.TEXT]
    try:
        program.of(activation_of(scopes))
    except Unanswered as problem:
        if problem.args[0] in (_MIXED, _NO_PLAIN):
            raise BadExpression(f"this expression is wrong: {problem}; facts are text, see the README") from None


def activation_of(scopes: Mapping[str, Any]) -> Any:
    """Facts as CEL sees them: `scopes` maps each scope to its members."""
    return _environment().Activation(dict(scopes))


def _mentions(text: str) -> Iterator[Mention]:
    bare = _TEXT_LITERAL.sub('""', text)
    for found in _AT.finditer(bare):
        yield _known(*found["name"].split("."), index=int(found["index"]))
    rest = _SIZE.sub("0", _AT.sub('""', bare))
    for found in _BARE.finditer(rest):
        if found["scope"] in _SCOPES:
            raise BadExpression(f"`{found['scope']}` alone is no fact; name its member: {found['scope']}.<member>")
    for found in _MENTION.finditer(rest):
        if found["scope"] in _SCOPES:
            index = int(found["index"]) if found["index"] else None
            yield _known(found["scope"], found["member"], index=index)
    for found in _SIZE.finditer(bare):
        scope, member = (found["inside"] or found["before"]).split(".")
        yield replace(_known(scope, member), sized=True)


_SCOPES = frozenset({*FACTS, PRIOR})


def _known(scope: str, member: str, *, index: int | None = None) -> Mention:
    name = f"{scope}.{member}"
    if find_fact(name) is None:
        raise BadExpression(unknown_fact(name))
    return Mention(name, index)


def unknown_fact(name: str) -> str:
    """The sentence about a text that names no fact, with the nearest facts.

    The text is repeated only when it resembles a fact: anything else may be a secret that was put in the wrong place.
    """
    import difflib  # noqa: PLC0415  needed only for a mistake

    known = [f"{scope}.{member}" for scope, members in FACTS.items() for member in members]
    near = difflib.get_close_matches(name, known, 3, 0.6)
    if near:
        return f'`{name}` is no fact of a claim; did you mean {" or ".join(near)}? Write fixed text as ="text"'
    return 'this is no fact of a claim; see the table of facts in the README. Write fixed text as ="text"'


# --- functions of our own ----------------------------------------------------------------------------------------


def digits(text: str) -> str:
    """The digits of a text."""
    return "".join(c for c in text if c in "0123456789")


def format_date(text: str, form: str) -> str:
    """A date in another form (`%m/%d/%Y`); "" stays ""."""
    return date.fromisoformat(text).strftime(form) if text else ""


def _at(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else ""


def _decimal(text: str) -> Decimal:
    return Decimal(text or "0")


def _environment_functions() -> list[Any]:
    text, whole, texts = cel.Type.STRING, cel.Type.INT, cel.Type.List(cel.Type.DYN)
    table: tuple[tuple[str, Any, list[Any], Any], ...] = (
        ("digits", digits, [text], text),
        ("date", format_date, [text, text], text),
        ("upper", str.upper, [text], text),
        ("at", _at, [texts, whole], cel.Type.DYN),
        ("add", lambda a, b: format(_decimal(a) + _decimal(b), "f"), [text, text], text),
        ("times", lambda a, b: format(_decimal(a) * _decimal(b), "f"), [text, text], text),
        ("less", lambda a, b: _decimal(a) < _decimal(b), [text, text], cel.Type.BOOL),
    )
    return [
        cel.FunctionDecl(name, [cel.Overload(f"gateway_{name}", return_type=gives, parameters=takes, impl=does)])
        for name, does, takes, gives in table
    ]


@lru_cache(maxsize=1)
def _environment() -> Any:
    members = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    return cel.NewEnv(
        variables=dict.fromkeys(sorted({*FACTS, PRIOR}), members),
        extensions=[ext_strings.ExtStrings()],
        functions=_environment_functions(),
    )
