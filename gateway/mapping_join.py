"""How the rows of both sides meet at a canonical element."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from gateway.canonical.claim_rows import CLAIM_TABLES
from gateway.canonical.mapping import Row, same
from gateway.mapping_names import MEMBERS, ORIGINS, ROOTS

Tables = Mapping[str, Sequence[Row]]

_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "Claim.diagnosis": ("Claim.diagnosis.diagnosisCodeableConcept", "Claim.diagnosis.type"),
    "Claim.insurance.focal": ("Claim.insurance.coverage", "Claim.insurance.focal"),
    "Claim.insurance.other": ("Claim.insurance.coverage",),
    "Claim.item.serviced": ("Claim.item.servicedDate", "Claim.item.servicedPeriod"),
    "Claim.item.location": ("Claim.item.locationCodeableConcept",),
}
"""Where an element's name in `CLAIM_ELEMENTS` is not the name of the member that holds it."""

_STANDS_FOR: Mapping[str, tuple[str, ...]] = {
    "diagnosis": ("bundle.diagnosis_codes", "charge.diagnosis_codes"),
    "diagnoses": ("bundle.diagnosis_codes", "charge.diagnosis_codes"),
    "Coverage": ("bundle.coverages",),
    "Claim.careTeam": ("charge.performer", "roles.rendering_provider"),
    "item.unitPrice": ("Claim.item.unitPrice",),
    "claim.id": ("clinic.clinic_id", "gateway.generation"),
}
"""Names in the claim rows that stand for parts of the encounter, or for elements that earlier rows have made."""

_ELSEWHERE: Mapping[str, str] = {
    "'Organization/billing-provider": "gateway.yaml: billing_provider",
    "gateway.generation": "the gateway: the number of the claim's version",
    "clinic.clinic_id": "gateway.yaml: id of the clinic",
    "clinic.fee": "gateway.yaml: fee_schedule",
    "clinic.": "gateway.yaml: ",
    "billing_provider.": "gateway.yaml: billing_provider.",
    "gateway.": "the gateway: ",
    "'": "always ",
}
"""What does not come from the EHR, by the beginning of its name."""
_SAY_NOTHING = frozenset({"index", "charge", "Organization"})

UNTOLD = "changed by a rule without a name"
WHOLE = "resource"  # the source of a row that takes any resource as it is
_BETWEEN = re.compile(r" \| |, ")
_SELECTION = re.compile(r"\[\d+\]|\.where\([^)]*\)")
_SPAN = re.compile(r"(\w*?)(\d+)\.\.(\d+)")
_TYPE_WORDS: Mapping[Callable[..., Any], str] = {
    str: "as text",
    int: "as a whole number",
    Decimal: "as a decimal number",
    bool: "as true or false",
}


def in_words(via: Callable[..., Any]) -> str:
    """The first line of a transform's docstring, without its full stop; nothing for "as it is"."""
    if via is same:
        return ""
    if via in _TYPE_WORDS:
        return _TYPE_WORDS[via]
    function = via.func if isinstance(via, partial) else via
    written = (getattr(function, "__doc__", None) or "").strip().partition("\n")[0]
    name = str(getattr(function, "__name__", "")).strip("_").replace("_", " ")
    if written == "As it is.":
        return ""
    return written.removesuffix(".") or (name if name.isidentifier() or " " in name else UNTOLD)


def owner_of(title: str) -> str:
    """What a table makes: its title without the words in parentheses."""
    return title.partition(" (")[0]


def targets_of(row: Row) -> list[str]:
    """What a row makes; most make one thing."""
    return [target.removesuffix("[]") for target in row.target.split(", ")]


def _by_target(tables: Tables) -> dict[str, list[Row]]:
    made: dict[str, list[Row]] = {}
    for title, rows in tables.items():
        for row in rows:
            for target in targets_of(row):
                made.setdefault(f"{owner_of(title)}.{target}", []).append(row)
    return made


@dataclass(frozen=True, slots=True)
class CanonicalSide:
    """The rows that make the canonical encounter and claim, by what they make ("charge.code", "Claim.item.net")."""

    ehr: Mapping[str, Sequence[Row]]
    claim: Mapping[str, Sequence[Row]]

    @classmethod
    def of(cls, tables: Tables) -> CanonicalSide:
        """The side of one EHR adapter."""
        return cls(_by_target(tables), _by_target(CLAIM_TABLES))

    def from_ehr(self, element: str) -> list[Row]:
        """The EHR's rows that an element is made of, through what lies between."""
        own = [row for member in _members(element) for row in self.ehr.get(member, ())]
        read = (row for name in self._names(element) for row in self.ehr.get(name, ()))
        return list(dict.fromkeys((*own, *read)))

    def by_gateway(self, element: str) -> list[Row]:
        """The claim builder's rows that make an element."""
        return [row for member in _members(element) for row in self.claim.get(member, ())]

    def elsewhere(self, element: str) -> list[str]:
        """What else an element is made of: other elements, the configuration, the gateway itself, constants."""
        own = _members(element)
        of_claim = [f"of {name}, see there" for name in self._names(element) if name in self.claim and name not in own]
        return [*of_claim, *(words for name in self._names(element) if (words := _not_of_ehr(name)))]

    def _names(self, element: str) -> list[str]:
        """What the claim rows of an element read."""
        return list(dict.fromkeys(name for row in self.by_gateway(element) for name in _read_by(row)))


def _members(element: str) -> tuple[str, ...]:
    return _MEMBERS.get(element, (element,))


def _read_by(row: Row) -> Iterator[str]:
    for name in row.source.split(", "):
        if name not in _SAY_NOTHING:
            yield from _STANDS_FOR.get(name, (name,))


def _not_of_ehr(name: str) -> str:
    beginning = next((b for b in _ELSEWHERE if name.startswith(b)), None)
    return "" if beginning is None else _ELSEWHERE[beginning] + name.removeprefix(beginning).strip("'")


def vendor_side(tables: Tables, carried: Mapping[str, str], elements: Iterable[str]) -> dict[str, list[Row]]:
    """The vendor's rows by the canonical element that they read, else by the element whose field they are."""
    found: dict[str, list[Row]] = {element: [] for element in elements}
    whole: list[tuple[str, Row]] = []
    for title, rows in tables.items():
        for row in rows:
            if row.source.startswith("'"):
                continue  # a constant stands for no element
            paths = [path for source in _BETWEEN.split(row.source) for path in _canonical(source, title)]
            read = [element for element in found if any(_is_within(p, m) for p in paths for m in _members(element))]
            for element in read or _elements_named(row, title, carried):
                found[element].append(row)
            whole += [("" if row.source == WHOLE else f"{path}.", row) for path in paths]
    for element, own in found.items():
        if not own:  # a row that takes the resource as a whole takes this element too
            own.extend(dict.fromkeys(row for beginning, row in whole if element.startswith(beginning)))
    return found


def _is_within(path: str, member: str) -> bool:
    return path == member or path.startswith(f"{member}.")


def _canonical(path: str, title: str) -> list[str]:
    """A vendor row's source as canonical paths: without selections, its root by its canonical names."""
    plain = _SELECTION.sub("", path)
    named = _named(plain, title)
    return [each for name in named for each in name.split(" > ")] if named else [f"{title}.{plain}"]


def _named(path: str, title: str) -> list[str]:
    """The canonical names of a source's path, as `ROOTS` writes them; nothing for one that has none."""
    root, dot, rest = path.partition(".")
    both, bare = _keys(path)
    if known := ROOTS.get(both):
        further = rest.partition(".")[2]
        return [f"{name}.{further}".rstrip(".") for name in known.split(" | ")]
    if bare == "diagnosis" and rest:
        return [f"Claim.diagnosis{dot}{rest}"]
    if origin_of(path) and bare != "prior":
        return []
    if known := ROOTS.get(bare):
        return [_member_of(name, rest) for name in known.split(" | ")]
    if root[:1].isupper():
        return [path]
    owner = next((ROOTS[word] for word in owner_of(title).lower().split() if word in ROOTS), "")
    return [f"{name}.{path}" for name in owner.split(" | ")] if owner and bare.isidentifier() else []


def _keys(path: str) -> tuple[str, str]:
    """The root of a path with its first member, and alone, in lower case."""
    root, _, rest = _SELECTION.sub("", path).partition(".")
    return f"{root}.{rest.partition('.')[0]}".lower(), root.lower()


def origin_of(path: str) -> str:
    """Where the value at a source's path comes from when it is not an element of the claim, in words; else nothing."""
    if path[:1].isupper():
        return ""
    return next((ORIGINS[key] for key in _keys(path) if key in ORIGINS), "")


def _member_of(name: str, rest: str) -> str:
    if not rest:
        return name.partition(" > ")[0]
    member, dot, further = rest.partition(".")
    if "Practitioner" in name and member in MEMBERS:
        rest = MEMBERS[member] + dot + further
    return f"{name}.{rest}".rstrip(".")


def meaning_of(row: Row, title: str) -> str:
    """What a vendor row's source is in the canonical claim, where its own words do not say it."""
    paths = _BETWEEN.split(row.source)
    told = [words for path in paths for words in _told(path, title)]
    return "" if told == paths else " | ".join(dict.fromkeys(told))


def _told(path: str, title: str) -> list[str]:
    if origin := origin_of(path):
        return [origin]
    return [" of ".join(reversed(name.split(" > "))) for name in _named(path, title)] or [path]


def _elements_named(row: Row, title: str, carried: Mapping[str, str]) -> list[str]:
    """The elements whose vendor field, as the adapter declares it, is this row's target or holds it."""
    outer, _, last = row.target.rpartition(".")
    names = [f"{title}.{row.target}", row.target, last if last[:1].isalpha() else "", outer]
    fields = {element: _spelt(field) for element, field in carried.items() if not field.startswith("- ")}
    for name in filter(None, names):
        before = r"(?<![\w*.-])" if name.islower() else r"(?<![\w*-])"  # `identifier` is a member of many things
        pattern = re.compile(rf"{before}{re.escape(name)}(?![\w*-])")
        if found := [element for element, field in fields.items() if pattern.search(field)]:
            return found
    return []


def _spelt(text: str) -> str:
    """ "Code1..4" as "Code1 Code2 Code3 Code4"."""

    def every(span: re.Match[str]) -> str:
        return " ".join(f"{span[1]}{n}" for n in range(int(span[2]), int(span[3]) + 1))

    return _SPAN.sub(every, text)
