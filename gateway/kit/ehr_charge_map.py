"""Charges by the clinic's charge map, for encounters whose EHR holds none.

What is there and neither mapped nor ignored is held, with its code and the remedy. A thing that no rule takes and that
has its own CPT or HCPCS code is billed as that. Source: generic_smart_fhir section 7, practice_fusion section 6.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from gateway.canonical import codes
from gateway.canonical.charge_map import OWN, Kind, MapLine, Matched, UnitsOfTime, Visit
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ChargeLine
from gateway.kit import ehr_charge_parts as parts
from gateway.kit.ehr_charge_rows import CHARGE_ITEM_ROWS, PROCEDURE_ROWS, Charge, line_of, procedure_reasons, reasons
from gateway.kit.ehr_charge_things import DATES, Thing, things, visit
from gateway.kit.ehr_element import Element, codings, start_date
from gateway.kit.ehr_reading import Reading, Rule
from gateway.kit.ehr_roles import first_performer
from gateway.kit.ehr_source import Known, Source

MOST_POINTERS = 4
_CODE, _URI = re.compile(r"[A-Za-z0-9][\w.:-]{0,31}"), re.compile(r"[a-z]+:[\w./:-]{1,120}")
_NOTHING = "no charges: the charge map makes no line of what the EHR holds of this visit"
_NOTHING_FIX = (
    "If it is to be billed, add what was done in the EHR, or a rule that takes it to charge_map in gateway.yaml."
)
_NO_LENGTH = " The EHR does not tell how long the visit was (Encounter.period.end)."
_OWN_ROWS: Mapping[Kind, tuple[Reading, ...]] = {Kind.PROCEDURE: PROCEDURE_ROWS, Kind.CHARGE_ITEM: CHARGE_ITEM_ROWS}


def mapped_lines(source: Source, patient: Known, diagnosis_codes: tuple[str, ...]) -> list[ChargeLine] | None:
    """The lines in the order of the rules, then those of things with a code of their own; None without a charge map.

    Raises `MappingError` for everything that is left over, for two rules that make the same code, and for a visit of
    which nothing is billed: what the map ignores is not billed in another way.
    """
    if not source.clinic.charge_map.rules:
        return None
    found = {id(thing.item): thing for thing in things(source)}
    for thing in found.values():
        source.same_patient(thing.owner, "subject", patient)
    seen = visit(source, [thing.item for thing in found.values()])
    matched = source.clinic.charge_map.match(seen)
    left = sorted((found[id(item)] for item in matched.left), key=lambda thing: thing.item.key)
    own = [thing for thing in left if thing.item.kind in _OWN_ROWS and _has_procedure_code(thing.owner.element)]
    problems = [_unmapped(thing, seen) for thing in left if thing not in own]
    if problems:
        raise MappingError.of(problems)
    lines = [*_by_rules(source, matched, found, seen, diagnosis_codes), *_by_themselves(source, own)]
    _refuse_doubles(lines)
    if not lines:
        raise MappingError("Encounter", _NOTHING, _NOTHING_FIX)
    return lines


def decides_charge_items(source: Source, billable: Sequence[Known]) -> bool:
    """Whether the EHR's ChargeItems go through the map: one has no CPT or HCPCS code, and rules ask for them."""
    asked = Kind.CHARGE_ITEM in source.clinic.charge_map.kinds
    return asked and not all(_has_procedure_code(known.element) for known in billable)


def _has_procedure_code(element: Element) -> bool:
    return any(parts.is_procedure_coding(coding) for coding in codings(element, "code"))


def _unmapped(thing: Thing, seen: Visit) -> MappingError:
    named = " or ".join(_shown(*coding) for coding in thing.item.codings) or "without a code"
    return MappingError(
        thing.concept.path,
        f"what is here ({named}) is neither mapped nor ignored by the charge map, so nobody knows whether to bill it",
        f"Add it under when.{thing.item.kind} of a rule of charge_map in gateway.yaml, or under charge_map.ignore; or "
        f"enter the charge in the EHR.{'' if seen.minutes is not None else _NO_LENGTH}",
    )


def _shown(system: str, code: str) -> str:
    """A coding for a message. What has not the form of a code is not shown: somebody may have written words there."""
    shown = code if _CODE.fullmatch(code) else "a code of unusual form"
    return f"{system} {shown}" if _URI.fullmatch(system) else shown


def _by_rules(
    source: Source, matched: Matched, found: Mapping[int, Thing], seen: Visit, diagnosis_codes: tuple[str, ...]
) -> Iterator[ChargeLine]:
    for fired in matched.fired:
        rule, place = source.clinic.charge_map.rules[fired.number], f"charge_map.rules[{fired.number}]"
        thing, alone = found[id(fired.item)] if fired.item else None, len(rule.lines) == 1
        for line in rule.lines:
            mapped = Mapped(source, line, place, thing, alone, seen.minutes, diagnosis_codes)
            yield ChargeLine(expression=place, **{row.target: row.via(mapped) for row in CHARGE_MAP_ROWS})


def _by_themselves(source: Source, own: Sequence[Thing]) -> Iterator[ChargeLine]:
    for thing in own:
        yield line_of(_OWN_ROWS[thing.item.kind], Charge(thing.owner, thing.owner.element, source))


def _refuse_doubles(lines: Sequence[ChargeLine]) -> None:
    """Raise `MappingError` where a rule makes a code that another rule, or a thing by itself, makes too."""
    makers: dict[str, dict[str, None]] = {}
    for line in lines:
        makers.setdefault(line.code, {})[line.expression] = None
    for several in makers.values():
        rules = [maker for maker in several if maker.startswith(_RULE)]
        if rules and len(several) > 1:
            raise MappingError(
                rules[-1],
                f"the same procedure code is made by {' and by '.join(several)}, and only one may be billed",
                "Narrow the conditions of one of the rules of charge_map in gateway.yaml, or put the codes of the "
                "procedure under when.procedure of the rule that shall bill it.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """One line that a rule makes: what the rows below read. `thing` is there when the rule makes it for each one."""

    source: Source
    line: MapLine
    place: str  # of the rule: "charge_map.rules[3]"
    thing: Thing | None
    alone: bool  # the rule makes no other line
    minutes: int | None
    diagnosis_codes: tuple[str, ...]

    @property
    def kind(self) -> Kind | None:
        """The kind of the thing."""
        return self.thing.item.kind if self.thing else None

    @property
    def element(self) -> Element:
        """The resource of the thing, with the concept of its code as `code`."""
        if self.thing is None:
            return Element({}, self.place)
        owner, concept = self.thing.owner.element, self.thing.concept
        return Element({**owner.value, "code": concept.value}, concept.path.rpartition(".")[0])


def _system(mapped: Mapped) -> str:
    """CPT or HCPCS by the code's form."""
    return _procedure(mapped)[0]


def _code(mapped: Mapped) -> str:
    """The line's code; `own`: the first CPT or HCPCS code of the thing itself."""
    return _procedure(mapped)[1]


def _procedure(mapped: Mapped) -> tuple[str, str]:
    code = mapped.line.code
    if code == OWN:
        return parts.procedure_code(mapped.element, "code")
    return codes.procedure_system(code) or codes.CPT, code


def _modifiers(mapped: Mapped) -> tuple[str, ...]:
    """The line's modifiers; with the code `own` after those beside the code."""
    if mapped.line.code != OWN:
        return mapped.line.modifiers
    beside = parts.concept_modifiers(mapped.element.child("code"), mapped.source.dialect.modifier_extensions)
    return parts.unique([*beside, *mapped.line.modifiers])


def _units(mapped: Mapped) -> Decimal:
    """The line's units, or those of the visit's minutes; else the ChargeItem's quantity, else 1."""
    units = mapped.line.units
    if isinstance(units, UnitsOfTime):
        return _units_of_time(units, mapped)
    if units is not None:
        return units
    return parts.quantity_of(mapped.element, "quantity") if mapped.kind is Kind.CHARGE_ITEM else Decimal(1)


def _units_of_time(units: UnitsOfTime, mapped: Mapped) -> Decimal:
    if mapped.minutes is None:
        raise MappingError(
            "Encounter.period.end",
            f"{mapped.place} bills by the length of the visit, which the EHR does not tell",
            "Enter begin and end of the visit in the EHR.",
        )
    counted = units.units(mapped.minutes)
    if not counted:
        raise MappingError(
            "Encounter.period.end",
            f"the visit is too short for one unit by {mapped.place}",
            "Correct the times in the EHR, or give the rule a condition on minutes and ignore what is shorter.",
        )
    return Decimal(counted)


def _price(mapped: Mapped) -> Decimal | None:
    """The line's fee; else the ChargeItem's price divided by the units, when the rule makes one line only."""
    if mapped.line.fee is not None:
        return mapped.line.fee
    if mapped.kind is not Kind.CHARGE_ITEM or not mapped.alone:
        return None
    return parts.charge_item_price(mapped.element, _units(mapped), "priceOverride")


def _diagnoses(mapped: Mapped) -> tuple[str, ...]:
    """Those listed that the visit has, or the first; else the thing's own reasons, else all (four at most)."""
    line, held = mapped.line, mapped.diagnosis_codes
    if line.diagnoses:
        listed = tuple(code for code in line.diagnoses if code in held)
        if held and not listed:
            raise MappingError(
                "Encounter.diagnosis",
                f"the visit has none of the diagnoses that {mapped.place} asks for",
                "Add the diagnosis in the EHR, or change `diagnoses` of this line in charge_map.",
            )
        return listed[:MOST_POINTERS]
    if line.first_only:
        return held[:1]
    return (_reasons(mapped) or held)[:MOST_POINTERS]


def _reasons(mapped: Mapped) -> tuple[str, ...]:
    if mapped.thing is None or mapped.kind not in _OWN_ROWS:
        return ()
    charge = Charge(mapped.thing.owner, mapped.thing.owner.element, mapped.source)
    if mapped.kind is Kind.CHARGE_ITEM:
        return reasons(charge, "reason")
    return procedure_reasons(charge, "reasonCode", "reasonReference")


def _serviced(mapped: Mapped) -> date | None:
    """The date of the procedure or charge at the clinic."""
    names = DATES.get(mapped.kind, ()) if mapped.kind else ()
    return start_date(mapped.element, names, mapped.source.clinic)


def _performer(mapped: Mapped) -> str | None:
    """The first Practitioner among the performers of the procedure or charge."""
    if mapped.thing is None or mapped.kind not in _OWN_ROWS:
        return None
    return first_performer(mapped.thing.owner, "performer", mapped.source)


_RULE = "charge_map."
_LINES = "gateway.yaml: charge_map.rules.lines"

CHARGE_MAP_ROWS = (
    Rule("quantity", f"{_LINES}.units, Encounter.period, Encounter.length | ChargeItem.quantity", _units),
    Rule("system", f"{_LINES}.code", _system, required=True),
    Rule("code", f"{_LINES}.code", _code, required=True),
    Rule("serviced", "Procedure.performedDateTime | ChargeItem.occurrenceDateTime", _serviced),
    Rule("unit_price", f"{_LINES}.fee | ChargeItem.priceOverride", _price),
    Rule("modifiers", f"{_LINES}.modifiers", _modifiers),
    Rule("diagnosis_codes", f"{_LINES}.diagnoses, Procedure.reasonCode, Encounter.diagnosis.condition", _diagnoses),
    Rule("performer", "Procedure.performer | ChargeItem.performer", _performer),
)
"""What makes a line of the charge map; the conditions of its rule decide whether it is made."""
