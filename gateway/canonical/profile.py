"""The gateway's profiles at run time: each StructureDefinition's differential compiled once into a small tree of rules.

Interpreted are `min`, `max`, `fixedCode`, `pattern[x]`, `type` of choice elements, required bindings to the value sets
beside the profiles, and `constraint`, whose FHIRPath is carried out by the Python function of the same key in
`invariants` (a test proves with a FHIRPath engine that both give the same verdict). For a biller, `short` names the
element and `comment` says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from gateway.canonical import jsonio, tolerant
from gateway.canonical.codes import PROFILE_BASE
from gateway.canonical.expressions import expression_of
from gateway.canonical.findings import Finding, Severity, error
from gateway.canonical.invariants import INVARIANTS

SUGGESTED_FIX = f"{PROFILE_BASE}/suggested-fix"
DEFAULT_FIX = "Correct it in the EHR, or in the clinic's configuration where the value comes from there."


@dataclass(frozen=True, slots=True)
class Constraint:
    """One invariant: its key, severity, sentence for a biller and remedy."""

    key: str
    severity: Severity
    human: str
    fix: str


@dataclass(slots=True)
class Rule:
    """What the profile says about one element; `members` are its JSON names (several for a choice of types)."""

    name: str = ""
    members: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int | None = None
    label: str = ""
    fix: str = DEFAULT_FIX
    expected: Any = None  # from fixed[x] or pattern[x]
    allowed: frozenset[tuple[str, str]] | None = None  # (system, code) of a required binding
    constraints: tuple[Constraint, ...] = ()
    children: dict[str, Rule] = field(default_factory=dict)


def check(resource: dict[str, Any]) -> list[Finding]:
    """Every violation of the profile of the resource's type; none when the gateway has no profile for it."""
    kind = resource.get("resourceType")
    rule = _profiles().get(kind) if isinstance(kind, str) else None
    return list(_object_findings(rule, resource, rule.name)) if rule else []


def structure_definitions() -> list[dict[str, Any]]:
    """The profiles as FHIR StructureDefinitions, sorted by name, as the FHIR API publishes them."""
    return [d for d in _read("structure_definitions") if d["type"] != "Extension"]


def value_sets() -> list[dict[str, Any]]:
    """The value sets that the profiles bind to, sorted by name."""
    return _read("value_sets")


def _read(folder: str) -> list[dict[str, Any]]:
    files = sorted((resources.files("fhir_profiles") / folder).iterdir(), key=lambda file: file.name)
    return [jsonio.loads(file.read_bytes()) for file in files if file.name.endswith(".json")]


@cache
def _profiles() -> Mapping[str, Rule]:
    allowed = {value_set["url"]: _members_of(value_set) for value_set in value_sets()}
    return {definition["type"]: _compile(definition, allowed) for definition in structure_definitions()}


def _members_of(value_set: dict[str, Any]) -> frozenset[tuple[str, str]]:
    return frozenset((i["system"], c["code"]) for i in value_set["compose"]["include"] for c in i["concept"])


def _compile(definition: dict[str, Any], value_sets_: Mapping[str, frozenset[tuple[str, str]]]) -> Rule:
    root = Rule()
    for element in definition["differential"]["element"]:
        rule = _rule(element, value_sets_)
        parent = root
        *above, name = element["path"].split(".")
        for step in above[1:]:
            parent = parent.children.setdefault(step, Rule(name=step, members=(step,)))
        if above:
            parent.children[name] = rule
        else:
            root = rule
    return root


def _rule(element: dict[str, Any], value_sets_: Mapping[str, frozenset[tuple[str, str]]]) -> Rule:
    name = element["path"].rpartition(".")[2]
    base = name.removesuffix("[x]")
    maximum = element.get("max", "*")
    binding = element.get("binding", {})
    return Rule(
        name=base,
        members=tuple(base + t["code"][0].upper() + t["code"][1:] for t in element["type"])
        if name != base
        else (base,),
        minimum=element.get("min", 0),
        maximum=None if maximum == "*" else int(maximum),
        label=element.get("short", base),
        fix=element.get("comment", DEFAULT_FIX),
        expected=next((v for k, v in element.items() if k.startswith(("fixed", "pattern"))), None),
        allowed=value_sets_[binding["valueSet"]] if binding.get("strength") == "required" else None,
        constraints=tuple(_constraint(c) for c in element.get("constraint", ())),
    )


def _constraint(constraint: dict[str, Any]) -> Constraint:
    fixes = (e["valueString"] for e in constraint.get("extension", ()) if e["url"] == SUGGESTED_FIX)
    return Constraint(
        constraint["key"], Severity(constraint["severity"]), constraint["human"], next(fixes, DEFAULT_FIX)
    )


def _object_findings(rule: Rule, value: dict[str, Any], expression: str) -> Iterator[Finding]:
    for constraint in rule.constraints:
        for path in dict.fromkeys(INVARIANTS[constraint.key](value)):
            where = expression_of(f"{expression}.{path}")
            yield Finding(constraint.key, constraint.severity, where, constraint.human, constraint.fix)
    for child in rule.children.values():
        yield from _member_findings(child, value, f"{expression}.{child.name}")


def _member_findings(rule: Rule, parent: dict[str, Any], expression: str) -> Iterator[Finding]:
    value = next((parent[member] for member in rule.members if member in parent), None)
    if value is None and not rule.minimum:
        return
    entries = value if isinstance(value, list) else [value]
    filled = [entry for entry in entries if not _is_blank(entry)]
    if len(filled) < rule.minimum:
        yield error("profile-min", expression, f"{rule.label} is missing.", rule.fix)
    if rule.maximum is not None and len(filled) > rule.maximum:
        yield error("profile-max", expression, _too_many(rule), rule.fix)
    for i, entry in enumerate(entries):
        if not _is_blank(entry):
            yield from _entry_findings(rule, entry, f"{expression}[{i}]" if isinstance(value, list) else expression)


def _entry_findings(rule: Rule, entry: Any, expression: str) -> Iterator[Finding]:
    if rule.expected is not None and not _fits(entry, rule.expected):
        yield error("profile-fixed", expression, f'{rule.label} must be "{_shown(rule.expected)}".', rule.fix)
    if rule.allowed is not None and not _is_bound(entry, rule.allowed):
        codes = ", ".join(sorted(code for _, code in rule.allowed))
        yield error("profile-binding", expression, f"{rule.label} must have one of the codes {codes}.", rule.fix)
    if isinstance(entry, dict):
        yield from _object_findings(rule, entry, expression)


def _is_blank(value: Any) -> bool:
    return value is None or value in ({}, []) or (isinstance(value, str) and not value.strip())


def _too_many(rule: Rule) -> str:
    if rule.maximum == 0:
        return f"{rule.label} cannot be used here."
    return f"{rule.label}: at most {rule.maximum} can be sent, and there are more."


def _fits(value: Any, expected: Any) -> bool:
    """FHIR's pattern rule: what the pattern names must be there; everything else is free."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(_fits(value.get(name), e) for name, e in expected.items())
    if isinstance(expected, list):
        return isinstance(value, list) and all(any(_fits(v, e) for v in value) for e in expected)
    return bool(value == expected)


def _is_bound(concept: Any, allowed: frozenset[tuple[str, str]]) -> bool:
    found = ((tolerant.text(c, "system"), tolerant.text(c, "code")) for _, c in tolerant.objects(concept, "coding"))
    return any(pair in allowed for pair in found)


def _shown(expected: Any) -> str:
    coding = expected["coding"][0] if isinstance(expected, dict) else {"code": expected}
    return str(coding["code"])
