"""The mapping document: every field from the EHR's source to the canonical element to the vendor's field.

It is made of the very rows that do the mapping: the EHR adapter's (`EhrAdapterInfo.rows`), the claim builder's
(`canonical.claim_rows`) and the billing adapter's (`BillingAdapterInfo.rows` and `carried`), so it cannot say anything
else than what happens. `gateway.mapping_print` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.canonical.claim_rows import CLAIM_TABLES, PROVIDER_TABLE
from gateway.canonical.mapping import Row
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.mapping_join import (
    WHOLE,
    CanonicalSide,
    Tables,
    in_words,
    meaning_of,
    origin_of,
    owner_of,
    targets_of,
    vendor_side,
)
from gateway.mapping_names import PLACES
from gateway.ports.billing import BillingAdapterInfo
from gateway.ports.ehr import EhrAdapterInfo

NOT_FILLED = "- no row fills it: claims from this EHR do not hold it"
NO_ROW = "- read by no row"
_BY_PIPELINE = {"Claim.related": "the gateway: set when an encounter changes or is withdrawn after its claim was sent"}
WAIVED = "- not needed"
FOR_AUDIT = "- kept with the claim; what the vendor needs of it is in the Claim"
REFUSED = "- not carried: a claim that holds it is held for a person"


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a printed table: texts, a line for each of several things, empty where there is nothing to say."""

    ehr: str = ""
    to_canonical: str = ""
    ehr_required: str = ""
    element: str = ""
    place: str = ""
    to_vendor: str = ""
    vendor: str = ""
    vendor_required: str = ""
    meaning: str = ""
    note: str = ""
    fix: str = ""


HEADINGS: Mapping[str, str] = {
    "ehr": "EHR source",
    "to_canonical": "EHR to canonical",
    "ehr_required": "EHR must give it",
    "element": "canonical element",
    "place": "X12 / CMS-1500",
    "to_vendor": "canonical to vendor",
    "vendor": "vendor field",
    "vendor_required": "vendor needs it",
    "meaning": "that is",
    "note": "note",
    "fix": "what to do when it is missing",
}
"""The columns, in their order."""
_FOLLOWED: Mapping[str, str] = {
    "Coverage.payor": "Organization",
    "Coverage.subscriber": "RelatedPerson or Patient",
}
"""References that lead to what the vendor is told."""
_AUDITED = ("Encounter.", "Condition.", "Procedure.")
_FRAME = frozenset({"resourceType", "id", "meta", "active"})
_CANONICAL = ("element", "ehr", "to_canonical", "ehr_required", "note", "fix")
_VENDOR = ("vendor", "element", "meaning", "to_vendor", "vendor_required", "note", "fix")
_JOINED = ("ehr", "to_canonical", "ehr_required", "element", "place", "to_vendor", "vendor", "vendor_required", "note")


@dataclass(frozen=True, slots=True)
class Section:
    """One table: `columns` are names of `Line` members."""

    title: str
    about: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class MappingDocument:
    """The whole document for one EHR adapter and one billing adapter."""

    title: str
    about: tuple[str, ...]
    sections: tuple[Section, ...]


def mapping_document(
    ehr: EhrAdapterInfo, billing: BillingAdapterInfo, settings: object = None, origin: str = ""
) -> MappingDocument:
    """The document; with a connection's `settings`, of that connection, where the adapter's mapping depends on them.

    `origin` says in words which connection that is.
    """
    carried, tables = billing.carried, billing.rows
    if settings is not None and billing.mapping_of is not None:
        carried, tables = billing.mapping_of(settings)
    joined = tuple(_joined(ehr.rows, carried, tables))
    return MappingDocument(
        title=f"{ehr.title} to {billing.title}",
        about=_about(ehr, billing, origin),
        sections=(
            Section("Field by field", _FIELD_BY_FIELD, _JOINED, joined),
            Section("Not carried", _NOT_CARRIED, ("element", "place", "vendor", "note"), tuple(_not_carried(joined))),
            *_sections(f"EHR {ehr.name}", _FROM_EHR, ehr.rows, _CANONICAL),
            *_sections("Claim builder", _BUILT, CLAIM_TABLES, _CANONICAL),
            *_sections(billing.name, _TO_VENDOR, tables, _VENDOR),
        ),
    )


_FIELD_BY_FIELD = "One line per canonical element: where it comes from and where it goes."
_NOT_CARRIED = (
    "What has no field of its own at the vendor: refused (the claim is held, nothing is dropped silently), not needed "
    "(with the reason), a reference that is followed, or read by no row: not sent."
)
_FROM_EHR = (
    "Rows that make this part of the canonical encounter. Elements that no row names are not taken from the EHR."
)
_BUILT = "Rows that make this part of the canonical claim, for every EHR and every vendor."
_TO_VENDOR = "Rows that make this part of the vendor's request, as the adapter applies them."


def _about(ehr: EhrAdapterInfo, billing: BillingAdapterInfo, origin: str) -> tuple[str, ...]:
    example = "This mapping depends on the connection; shown is the adapter's example." if billing.mapping_of else ""
    return (
        f"EHR adapter: {ehr.name} ({ehr.title}); see {ehr.docs}.",
        f"Billing adapter: {billing.name} ({billing.title}); see {billing.docs}.",
        "Printed from the rows that do the mapping. Sources are paths in FHIR R4; `|` separates alternatives, of which "
        "the first that is there counts.",
        *filter(None, [f"With the {origin}." if origin else example]),
    )


def _joined(ehr: Tables, carried: Mapping[str, str], tables: Tables) -> Iterator[Line]:
    side, resources = CanonicalSide.of(ehr), tuple(_resource_elements(ehr))
    named = _vendor_names(tables)
    found = vendor_side(tables, carried, (*CLAIM_ELEMENTS, *resources))
    for element, place in CLAIM_ELEMENTS.items():
        field = carried.get(element, REFUSED)
        waived = field.removeprefix("- ") if element in carried and field.startswith("- ") else ""
        rows = [] if field.startswith("- ") else found[element]
        yield _line(side, element, place, rows, vendor=WAIVED if waived else field, note=waived)
    for element in resources:
        fields = _lines(f"{named[row]}: {element}" if row.source == WHOLE else named[row] for row in found[element])
        yield _line(side, element, PLACES.get(element, ""), found[element], vendor=fields or _unnamed(element), note="")


def _vendor_names(tables: Tables) -> dict[Row, str]:
    """The vendor's field of each row; with its table where two tables have the same, or the row takes all."""
    owners: dict[str, set[str]] = {}
    for title, rows in tables.items():
        for row in rows:
            owners.setdefault(row.target, set()).add(owner_of(title))
    return {row: _vendor_name(row, owner_of(title), owners) for title, rows in tables.items() for row in rows}


def _vendor_name(row: Row, owner: str, owners: Mapping[str, set[str]]) -> str:
    if row.source == WHOLE:
        return f"{owner}.{row.target}"
    return f"{owner}: {row.target}" if len(owners[row.target]) > 1 else row.target


def _unnamed(element: str) -> str:
    """What to say of a resource's element that no row of the vendor's reads."""
    if element.startswith(_AUDITED):
        return FOR_AUDIT
    return f"- followed to the {_FOLLOWED[element]} that it names" if element in _FOLLOWED else NO_ROW


def _resource_elements(ehr: Tables) -> Iterator[str]:
    """The elements of the resources beside the claim, each once."""
    tables = {**ehr, PROVIDER_TABLE: CLAIM_TABLES[PROVIDER_TABLE]}
    made = (f"{owner_of(t)}.{target}" for t, rows in tables.items() for row in rows for target in targets_of(row))
    yield from dict.fromkeys(e for e in made if e[0].isupper() and e.rpartition(".")[2] not in _FRAME)


def _line(side: CanonicalSide, element: str, place: str, found: Sequence[Row], *, vendor: str, note: str) -> Line:
    before, making = side.from_ehr(element), side.by_gateway(element)
    sources = [*(row.source for row in before), *side.elsewhere(element), _BY_PIPELINE.get(element, "")]
    told = (*before, *making, *(row for row in found if _tells_of_the_claim(row)))
    notes = (row.note for row in told if not row.fix and len(targets_of(row)) == 1)
    return Line(
        ehr=_lines(sources) or NOT_FILLED,
        to_canonical=_to_canonical(before, making),
        ehr_required=_required((*before, *making)),
        element=element,
        place=place,
        to_vendor=_transforms(found),
        vendor=vendor,
        vendor_required=_required(found),
        note=note or _lines(notes),
    )


def _tells_of_the_claim(row: Row) -> bool:
    """Whether a vendor row's note explains an element: that of a required one is a message."""
    return not row.required and not origin_of(row.source).startswith(("gateway.yaml", "the gateway"))


def _to_canonical(before: Sequence[Row], making: Sequence[Row]) -> str:
    """What is done at the EHR's side, by source where it differs; then what the claim builder does."""
    owners: dict[str, dict[str, None]] = {}
    for row in before:
        if words := in_words(row.via):
            owners.setdefault(words, {})[_owner(row)] = None
    several = len({_owner(row) for row in before}) > 1 and len(owners) > 1
    first = [f"{', '.join(of)}: {words}" if several else words for words, of in owners.items()]
    then = "; ".join(dict.fromkeys(words for row in making if (words := in_words(row.via))))
    return _lines([*first, f"then: {then}" if first and then else then])


def _owner(row: Row) -> str:
    """What a row reads from: "ChargeItem" of "ChargeItem.priceOverride, ChargeItem.quantity"."""
    path = row.source.partition(" | ")[0].partition(", ")[0].partition(".where(")[0]
    return path.rpartition(".")[0] or path


def _transforms(rows: Iterable[Row]) -> str:
    return _lines(in_words(row.via) for row in rows)


def _lines(parts: Iterable[str]) -> str:
    """Several things in one cell: each once, a line each."""
    return "\n".join(dict.fromkeys(part for part in parts if part))


def _required(rows: Iterable[Row]) -> str:
    return "yes" if any(row.required for row in rows) else ""


def _not_carried(joined: Sequence[Line]) -> Iterator[Line]:
    """The lines of the joined table whose element has no vendor field, refused elements first."""
    order = (REFUSED, WAIVED, "- followed", NO_ROW, FOR_AUDIT)
    for said in order:
        for line in joined:
            if line.vendor.startswith(said):
                note = line.note if said == WAIVED else ""
                yield Line(element=line.element, place=line.place, vendor=line.vendor, note=note)


def _sections(
    owner: str, about: str, tables: Mapping[str, Sequence[Row]], columns: tuple[str, ...]
) -> Iterator[Section]:
    to_vendor = columns is _VENDOR
    for title, rows in tables.items():
        yield Section(f"{owner}: {title}", about, columns, tuple(_row(row, title if to_vendor else "") for row in rows))


def _row(row: Row, vendor_title: str) -> Line:
    via, required = in_words(row.via), "yes" if row.required else ""
    if vendor_title:
        return Line(
            vendor=row.target,
            element=row.source,
            to_vendor=via,
            vendor_required=required,
            meaning=meaning_of(row, vendor_title),
            note=row.note,
            fix=row.fix,
        )
    return Line(element=row.target, ehr=row.source, to_canonical=via, ehr_required=required, note=row.note, fix=row.fix)
