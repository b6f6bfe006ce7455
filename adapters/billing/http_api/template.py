"""The `map` of a description: the wanted document, whose leaves are facts, expressions or fixed values. Pure.

code: item.product_or_service            a fact; left out when the claim lacks it
npi: rendering_provider.npi!             needed: a claim without it is held
first: item.modifier[0]                  one of a list
currency: ="USD"                         a CEL expression after "="
units: {$from: item.quantity, $as: number, $max: 9, $words: {...}, $required: true, $note: ..., $fix: ...}
lines: {$each: item, $most: 50, $map: {...}}
codes: {$each: item.modifier, $map: {code: $value}}
referring: {$if: referring_provider.npi, npi: referring_provider.npi, ...}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.billing.http_api.expressions import Mention, Program, Unanswered, activation_of
from adapters.billing.http_api.places import expression_of
from adapters.billing.http_api.transforms import always
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.kit.mapping import Row

VALUE = "$value"


class Scope(dict[str, Any]):
    """The facts that a leaf can see: scope name to its members; inside `$each` with the entry's own."""

    def __init__(self, facts: Mapping[str, Any], numbers: Mapping[str, int]) -> None:
        super().__init__(facts)
        self.numbers = numbers
        self._activation: Any = None

    def within(self, name: str, entry: Any, number: int) -> Scope:
        """The same with one entry of a list, counted from 0."""
        return Scope({**self, name: entry}, {**self.numbers, name: number})

    @property
    def activation(self) -> Any:
        """The facts as CEL sees them, made once."""
        if self._activation is None:
            self._activation = activation_of({name: facts for name, facts in self.items() if name != VALUE})
        return self._activation

    def expression(self, name: str) -> str:
        """The FHIRPath of a fact in this place of the claim."""
        return expression_of(name, self.numbers.get(name.partition(".")[0], 0))


@dataclass(frozen=True, slots=True)
class Leaf(Row):
    """One mapped field. `source` is canonical, for the mapping document; `value` gives "" or [] when there is none."""

    mentions: tuple[Mention, ...] = ()
    program: Program | None = None
    longest: int | None = None
    most: int | None = None

    def value(self, roots: Mapping[str, Any]) -> Any:
        """The field's value over a `Scope`; raises `MappingError` and `UnsupportedElement`."""
        assert isinstance(roots, Scope)
        found = self._found(roots)
        if found in ("", []):
            if self.required:
                note = self.note or "the billing system needs this element and the claim lacks it"
                raise MappingError(self._where(roots), note, self.fix or "Complete it in the EHR.")
            return found
        if not isinstance(found, list):
            return self._written(found, roots)
        if self.most is not None and len(found) > self.most:
            raise UnsupportedElement(
                self._where(roots),
                f"the billing system takes at most {self.most} of these",
                "Shorten the list, or enter this claim in the billing system by hand.",
            )
        return [self._written(each, roots) for each in found]

    def _found(self, scope: Scope) -> Any:
        if self.program is not None:
            try:
                return self.program.of(scope.activation)
            except Unanswered as problem:
                remedy = f"Correct the expression of {self.target} in the description."
                raise MappingError(self._where(scope), f"an expression fails here: {problem}", remedy) from None
        if not self.mentions:
            return scope[VALUE]
        mention = self.mentions[0]
        name, _, member = mention.name.partition(".")
        found = scope.get(name, {}).get(member, "")
        if mention.index is None:
            return found
        return found[mention.index] if mention.index < len(found) else ""

    def _written(self, value: Any, scope: Scope) -> Any:
        try:
            value = self.via(value)
        except KeyError:
            text, fix = "the description has no word for this code", f"Add it to $words of {self.target}."
            raise UnsupportedElement(self._where(scope), text, fix) from None
        except (ValueError, ArithmeticError):
            text = "this value cannot be written in the form that the billing system takes"
            raise UnsupportedElement(self._where(scope), text, "Correct it in the EHR.") from None
        if self.longest is not None and len(str(value)) > self.longest:
            text = f"the billing system takes at most {self.longest} characters here"
            raise UnsupportedElement(self._where(scope), text, "Shorten it in the EHR.")
        return value

    def _where(self, scope: Scope) -> str:
        return scope.expression(self.mentions[0].name) if self.mentions else "Claim"


@dataclass(frozen=True, slots=True)
class Fixed(Row):
    """A field whose value every claim has; `source` shows it in quotes."""

    constant: Any = ""

    @classmethod
    def of(cls, target: str, constant: Any) -> Fixed:
        """The row of a fixed value."""
        return cls(target, f"'{constant}'", always(constant), constant=constant)

    def value(self, roots: Mapping[str, Any]) -> Any:
        """The fixed value."""
        return self.constant


@dataclass(frozen=True, slots=True)
class Members:
    """An object or element: names to nodes, in order; left out when `condition` gives nothing, 0 or false."""

    nodes: tuple[tuple[str, Node], ...]
    condition: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Entries:
    """A list of given nodes."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A list with one node for each entry of a list of the claim; `scope` is the entries' name."""

    scope: str
    over: Mention | None
    body: Node
    most: int | None
    target: str


Node = Leaf | Fixed | Members | Entries | Loop


def leaf_mentions(leaves: Sequence[Leaf], loops: Sequence[Loop]) -> Iterator[tuple[str, Mention]]:
    """(target, mention) of every fact that the template carries: the size of a list alone carries nothing."""
    for leaf in leaves:
        for mention in leaf.mentions:
            if not mention.sized:
                yield leaf.target, mention
    for loop in loops:
        if loop.over is not None:
            yield f"{loop.target}[]", loop.over
