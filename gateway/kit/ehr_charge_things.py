"""The coded things of a visit that the clinic's charge map can bill, and what else its rules look at.

A thing counts when it is done, final or ordered in this visit: drafts, and what was entered in error, are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.canonical.charge_map import Item, Kind, Visit
from gateway.kit.ehr_clinic import npi_of, taxonomies_of
from gateway.kit.ehr_element import Element, instant, start_date
from gateway.kit.ehr_source import Known, Source

ORDERS = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})
DATES: Mapping[Kind, tuple[str, ...]] = {
    Kind.PROCEDURE: ("performedDateTime", "performedPeriod"),
    Kind.CHARGE_ITEM: ("occurrenceDateTime", "occurrencePeriod"),
}
"""Where a thing has a date of service of its own."""
_MINUTES = {"min": 1, "h": 60}


@dataclass(frozen=True, slots=True, eq=False)
class Thing:
    """One coded thing of the visit: the resource that holds it, and the concept of its code."""

    item: Item
    owner: Known
    concept: Element


def things(source: Source) -> Iterator[Thing]:
    """Those of the kinds that the clinic's charge map considers."""
    for kind, read in _READERS.items():
        if source.clinic.charge_map.considers(kind):
            for number, (owner, concept) in enumerate(read(source)):
                codings = tuple(_codings(concept))
                started = start_date(owner.element, DATES.get(kind, ()), source.clinic)
                key = (str(started or ""), owner.vendor_reference, f"{number:03}" if owner is source.encounter else "")
                yield Thing(Item(kind, codings, key), owner, concept)


def _codings(concept: Element) -> Iterator[tuple[str, str]]:
    for coding in concept.children("coding"):
        if code := coding.text("code"):
            yield coding.text("system") or "", code


def _encounter_types(source: Source) -> Iterator[tuple[Known, Element]]:
    return ((source.encounter, concept) for concept in source.encounter.element.children("type"))


def _service_types(source: Source) -> Iterator[tuple[Known, Element]]:
    concept = source.encounter.element.child("serviceType")
    return iter([(source.encounter, concept)] if concept else [])


def _appointment_types(source: Source) -> Iterator[tuple[Known, Element]]:
    for known in source.of_type("Appointment"):
        if concept := known.element.child("appointmentType"):
            yield known, concept


def _procedures(source: Source) -> Iterator[tuple[Known, Element]]:
    done = (known for known in source.of_type("Procedure") if known.element.text("status") == "completed")
    return ((known, _concept(known, "code")) for known in done if not _of_other_visit(known, "encounter", source))


def _charge_items(source: Source) -> Iterator[tuple[Known, Element]]:
    billable = (known for known in source.of_type("ChargeItem") if known.element.text("status") == "billable")
    return ((known, _concept(known, "code")) for known in billable)


def _orders(source: Source) -> Iterator[tuple[Known, Element]]:
    for known in source.of_type("ServiceRequest"):
        order = known.element
        given = order.text("status") in ("active", "completed") and order.text("intent") in ORDERS
        if given and not order.flag("doNotPerform") and _of_this_visit(known, order.child("encounter"), source):
            yield known, _concept(known, "code")


def _documents(source: Source) -> Iterator[tuple[Known, Element]]:
    for known in source.of_type("DocumentReference"):
        context = known.element.child("context")
        final = known.element.text("docStatus") in (None, "final", "amended")
        visits = context.children("encounter") if context else []
        final = final and known.element.text("status") == "current"
        if final and any(_of_this_visit(known, visit, source) for visit in visits):
            yield known, _concept(known, "type")


def _concept(known: Known, name: str) -> Element:
    """The concept, or an empty one: what has no code is still there, and is told."""
    return known.element.child(name) or Element({}, known.element.at(name))


def _of_this_visit(known: Known, visit: Element | None, source: Source) -> bool:
    return source.resolve(visit, known) is source.encounter


def _of_other_visit(known: Known, name: str, source: Source) -> bool:
    visit = known.element.child(name)
    return visit is not None and not _of_this_visit(known, visit, source)


_READERS: Mapping[Kind, Callable[[Source], Iterator[tuple[Known, Element]]]] = {
    Kind.ENCOUNTER_TYPE: _encounter_types,
    Kind.SERVICE_TYPE: _service_types,
    Kind.APPOINTMENT_TYPE: _appointment_types,
    Kind.DOCUMENT_TYPE: _documents,
    Kind.CHARGE_ITEM: _charge_items,
    Kind.PROCEDURE: _procedures,
    Kind.SERVICE_REQUEST: _orders,
}


def visit(source: Source, items: Sequence[Item]) -> Visit:
    """What the rules look at; its date is the encounter's, else the first of its things."""
    encounter = source.encounter.element
    period, encounter_class = encounter.child("period"), encounter.child("class")
    on = start_date(period, ("start",), source.clinic) if period else None
    dated = [date.fromisoformat(item.key[0]) for item in items if item.key[0]]
    seen = (source.provider(p.child("individual"), source.encounter) for p in encounter.children("participant"))
    people = [person for person in seen if person is not None]
    return Visit(
        on=on or min(dated, default=date.max),  # without any date the encounter is held for that
        items=items,
        minutes=_length(encounter, period),
        encounter_class=(encounter_class.text("code") or "") if encounter_class else "",
        practitioners=frozenset(npi for person in people if (npi := npi_of(person, source.clinic))),
        specialties=frozenset(code for person in people for code in taxonomies_of(person, source)),
    )


def _length(encounter: Element, period: Element | None) -> int | None:
    """The minutes of the visit, the last begun one not counted: Encounter.length, else the Encounter.period."""
    told = encounter.child("length")
    number, unit = (told.number("value"), told.text("code") or told.text("unit")) if told else (None, None)
    if number is not None and unit in _MINUTES:
        return int(number * _MINUTES[unit])
    start, end = (period.text(name) if period else None for name in ("start", "end"))
    if period is None or start is None or end is None or "T" not in start or "T" not in end:
        return None
    seconds = (instant(end, period.at("end")) - instant(start, period.at("start"))).total_seconds()
    return int(seconds // 60) if seconds >= 0 else None
