"""Which fields a connection's messages have: the tables of `rows`, changed by the clinic's settings. Pure.

`arrange` raises `ValueError` with a sentence for the clinic when a setting cannot be understood.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from adapters.billing.medics_premier import paths
from adapters.billing.medics_premier.rows import TABLES, patient_id
from adapters.billing.medics_premier.words import moment, plain
from gateway.canonical.errors import MappingError
from gateway.kit.encoders.hl7 import Address, address
from gateway.kit.mapping import Row
from gateway.kit.payload import CLAIM_ELEMENTS

Tables = dict[str, tuple[Row, ...]]
STANDARD_MRN_FIELD, STANDARD_POS_FIELD = "PID-3", "FT1-16.9"
_PROTECTED = frozenset({"MSH-1", "MSH-2", "MSH-9", "MSH-10", "FT1-1", "FT1-2"})
_ABSENT = {"2.3.1": frozenset({"FT1-4.2", "FT1-29.1", "FT1-29.3", "NTE-1", "NTE-3"})}
_ABSENT_IN_P11 = frozenset({"NTE-1", "NTE-3"})
_TIMES = frozenset({"birthDate", "created", "date", "end", "servicedDate", "start", "timingDate"})
_STEP = r"\w+(?:\[\d+\])?(?:\.where\([\w.]+='[^']*'\))?"
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP})*")
_AMOUNTS = ("FT1-11", "FT1-12")

ELEMENT_SOURCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Claim.facility": ("place.code",),
        "Claim.referral": ("Claim.referral",),
        "Claim.accident": ("Claim.accident",),
        "Claim.careTeam.rendering": ("rendering.key",),
        "Claim.careTeam.referring": ("referring.key",),
        "Claim.careTeam.supervisor": ("supervisor.key",),
        "Claim.careTeam.ordering": ("ordering.key",),
        "Claim.supportingInfo.hospitalized": ("hospitalized",),
        "Claim.supportingInfo.onset": ("onset",),
        "Claim.supportingInfo.info": ("notes", "line_note"),
        "Claim.supportingInfo.patientPaid": ("patient_paid",),
        "Claim.diagnosis": ("diagnosis.code",),
        "Claim.insurance.focal": ("Coverage.subscriberId",),
        "Claim.insurance.other": ("Coverage.subscriberId",),
        "Claim.insurance.preAuthRef": ("cover.authorization",),
        "Claim.item.productOrService": ("procedure.code",),
        "Claim.item.modifier": ("modifiers",),
        "Claim.item.serviced": ("item.serviced",),
        "Claim.item.location": ("item.locationCodeableConcept",),
        "Claim.item.quantity": ("item.quantity",),
        "Claim.item.unitPrice": ("item.unitPrice",),
        "Claim.item.net": ("item.net",),
        "Claim.item.diagnosisSequence": ("diagnoses",),
        "Claim.item.careTeamSequence": ("rendering.key",),
        "Claim.item.detail": ("drug.code",),
        "Claim.item.informationSequence": ("line_note",),
    }
)
"""An element is carried when a row of the layout has a source that begins so."""

NOT_NEEDED: Mapping[str, str] = MappingProxyType(
    {
        "Claim.identifier": "- FT1-2 and FT1-3 carry the submission id; the account number is a visit id (PV1-50)",
        "Claim.billablePeriod": "- each line has its own dates (FT1-4)",
        "Claim.provider": "- the practice of the connection bills",
        "Claim.total": "- MedicsPremier adds up the lines; compared before sending",
    }
)
_BY_FEE_SCHEDULE = "- the fee schedule of MedicsPremier prices the line (setting `amounts`)"
_WAIVED = "- agreed with the site not to be sent (setting `waived_elements`)"
WAIVABLE = frozenset(
    name
    for name in ELEMENT_SOURCES
    if name.startswith(("Claim.supportingInfo", "Claim.referral", "Claim.accident", "Claim.facility"))
    or name in ("Claim.careTeam.referring", "Claim.careTeam.supervisor", "Claim.careTeam.ordering")
    or name in ("Claim.insurance.preAuthRef", "Claim.item.detail", "Claim.item.informationSequence")
)
"""What a site may agree not to be told; never the patient, the payer, the codes or the diagnoses."""


class Choices(Protocol):
    """The settings that change the layout."""

    @property
    def hl7_version(self) -> str: ...
    @property
    def diagnosis_groups(self) -> str: ...
    @property
    def trigger_event(self) -> str: ...
    @property
    def mrn_field(self) -> str: ...
    @property
    def pos_field(self) -> str: ...
    @property
    def amounts(self) -> bool: ...
    @property
    def payment_code(self) -> str: ...
    @property
    def field_overrides(self) -> Mapping[str, str]: ...
    @property
    def waived_elements(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows by segment, the constant texts, the Z segments of a line and of the claim, and what is carried."""

    rows: Mapping[str, tuple[Row, ...]]
    literals: Mapping[str, str]
    line_segments: tuple[str, ...]
    claim_segments: tuple[str, ...]
    carried: Mapping[str, str]
    used: frozenset[str]
    diagnoses_by_line: bool = False
    _shorter: dict[tuple[str, frozenset[str]], tuple[Row, ...]] = field(default_factory=dict)

    def without(self, segment: str, absent: frozenset[str]) -> tuple[Row, ...]:
        """The rows of a segment, less those that can only give nothing because their roots are absent."""
        key = (segment, absent)
        if key not in self._shorter:
            rows = self.rows[segment]
            self._shorter[key] = tuple(row for row in rows if row.required or not _roots(row) <= absent)
        return self._shorter[key]

    def path_of(self, segment: str, number: int, component: int, sequence: int) -> str:
        """The FHIRPath of what stands at a place of a message; `Claim` for a place that no row fills."""
        if segment == "DG1" and self.diagnoses_by_line:
            return "Claim.diagnosis"  # the sequence counts through the lines
        rows = [row for row in self.rows.get(segment, ()) if address(row.target).field == number]
        exact = [row for row in rows if address(row.target).component == component]
        chosen = (exact or rows)[:1]
        return paths.fhir_path(chosen[0].source, max(sequence - 1, 0)) if chosen else "Claim"


def arrange(choices: Choices) -> Layout:
    """The layout of a connection; raises `ValueError` for an override or waiver that cannot be understood."""
    tables = _standard(choices)
    literals: dict[str, str] = {}
    for target, source in choices.field_overrides.items():
        _override(tables, literals, target, source)
    segments = [name for name in tables if name.startswith("Z")]
    of_line = tuple(name for name in segments if _is_of_line(tables[name]))
    of_claim = tuple(name for name in segments if name not in of_line)
    used = frozenset(part for rows in tables.values() for row in rows for part in row.source.split(" | "))
    return Layout(
        tables, literals, of_line, of_claim, _carried(tables, choices), used, choices.diagnosis_groups == "per_line"
    )


def _roots(row: Row) -> frozenset[str]:
    return frozenset(map(paths.root_of, row.source.split(" | ")))


def _standard(choices: Choices) -> Tables:
    absent = _ABSENT.get(choices.hl7_version, frozenset())
    if choices.trigger_event == "P11":
        absent |= _ABSENT_IN_P11
    tables = {name: tuple(row for row in rows if row.target not in absent) for name, rows in TABLES.items()}
    if choices.mrn_field != STANDARD_MRN_FIELD:
        tables["PID"] = (*tables["PID"], *patient_id(choices.mrn_field))
    if choices.pos_field != STANDARD_POS_FIELD:
        _move(tables, STANDARD_POS_FIELD, choices.pos_field)
    if not choices.amounts:
        tables["FT1"] = tuple(row for row in tables["FT1"] if not row.target.startswith(_AMOUNTS))
    return tables


def _move(tables: Tables, old: str, new: str) -> None:
    at = address(new)
    moved = next(row for row in tables["FT1"] if row.target == old)
    _remove(tables, address(old))
    _remove(tables, at)
    tables[at.segment] = (*tables.get(at.segment, ()), replace(moved, target=new))


def _override(tables: Tables, literals: dict[str, str], target: str, source: str) -> None:
    at = address(target)
    if at.segment not in TABLES and not at.segment.startswith("Z"):
        raise ValueError(f"field_overrides: {target}: the messages have no {at.segment} segment; use a Z segment")
    if f"{at.segment}-{at.field}" in _PROTECTED:
        raise ValueError(f"field_overrides: {target}: a message and its repeats are known by this field")
    if not source:
        if not _remove(tables, at):
            raise ValueError(f"field_overrides: {target} is not filled anyway, so nothing can be left out")
        return
    if any(address(row.target) == Address(at.segment, at.field) for row in tables.get(at.segment, ())) and at.component:
        raise ValueError(f"field_overrides: {target}: the field is filled as a whole; override {at.segment}-{at.field}")
    row = _row(target, source, literals)
    _remove(tables, at)
    tables[at.segment] = (*tables.get(at.segment, ()), row)


def _row(target: str, source: str, literals: dict[str, str]) -> Row:
    if len(source) > 2 and source[0] == source[-1] == "'":
        name = target.replace("-", "_").replace(".", "_")
        literals[name] = source[1:-1]
        return Row(target, f"literal.{name}", plain, note=f"always {source}")
    if not all(_PATH.fullmatch(part) for part in source.split(" | ")):
        raise ValueError(f"field_overrides: {target}: {source!r} is not a path like Claim.id or 'a text'")
    unknown = [part for part in source.split(" | ") if paths.root_of(part.strip()) not in paths.ROOT_PATHS]
    if unknown:
        known = ", ".join(sorted(name for name in paths.ROOT_PATHS if "." not in name))
        raise ValueError(f"field_overrides: {target}: {unknown[0]!r} must begin with one of {known}")
    same_source = next((row for rows in TABLES.values() for row in rows if row.source == source), None)
    is_time = source.rpartition(".")[2] in _TIMES
    via = same_source.via if same_source else moment if is_time else plain
    return Row(target, source, _of_one_value(source, via))


def _of_one_value(source: str, via: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if isinstance(value, dict | list):
            text = "the setting field_overrides sends this element, which is not a single value"
            raise MappingError(source, text, "Name one of its members in the connection's settings.")
        return via(value)

    checked.__doc__ = via.__doc__
    return checked


def _remove(tables: Tables, at: Address) -> bool:
    rows = tables.get(at.segment, ())
    kept = tuple(row for row in rows if not _covers(at, address(row.target)))
    if rows:
        tables[at.segment] = kept
    return len(kept) < len(rows)


def _covers(wider: Address, at: Address) -> bool:
    return wider.field == at.field and wider.component in (0, at.component)


def _is_of_line(rows: tuple[Row, ...]) -> bool:
    return any(_roots(row) & paths.LINE_ROOTS for row in rows)


def _carried(tables: Tables, choices: Choices) -> dict[str, str]:
    unknown = [name for name in choices.waived_elements if name not in WAIVABLE]
    if unknown:
        known = ", ".join(sorted(WAIVABLE))
        raise ValueError(f"waived_elements: {unknown[0]!r} cannot be waived; possible are {known}")
    found = {name: _targets(tables, prefixes) for name, prefixes in ELEMENT_SOURCES.items()}
    if choices.payment_code:
        found["Claim.supportingInfo.patientPaid"] = "FT1 with FT1-6 PY"
    if not choices.amounts:
        found |= dict.fromkeys(("Claim.item.unitPrice", "Claim.item.net"), _BY_FEE_SCHEDULE)
    found |= dict.fromkeys(choices.waived_elements, _WAIVED)
    table = {**NOT_NEEDED, **{name: targets for name, targets in found.items() if targets}}
    return {name: table[name] for name in CLAIM_ELEMENTS if name in table}


def _targets(tables: Tables, prefixes: tuple[str, ...]) -> str:
    rows = [row for rows in tables.values() for row in rows]
    return ", ".join(
        dict.fromkeys(row.target for row in rows if any(part.startswith(prefixes) for part in row.source.split(" | ")))
    )
