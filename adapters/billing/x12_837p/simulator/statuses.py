"""The 277CA: business acceptance by the clearinghouse, and by the payer (section 3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import count, groupby

from adapters.billing.x12_837p.simulator.account import Event
from adapters.billing.x12_837p.simulator.writing import SUB, Row, plain

STATUS = ("HN", "005010X214")
CLEARINGHOUSE_NAME = "SAMPLE CLEARINGHOUSE"
_UNKNOWN = "UNKNOWN"
"""Stands for an id that the claim lacks; the 277CA cannot do without."""


def status_report(
    events: Sequence[Event],
    *,
    submitter: tuple[str, str],
    clearinghouse_id: str,
    reference: str,
    moment: datetime,
    patient_children: bool = False,
) -> list[Row]:
    """The 277CA of claims of one batch (and, at payer level, of one payer), without ST and SE.

    `submitter` is name and id. `patient_children` writes HL04 at the patient level, as one vendor does.
    """
    first = events[0]
    day = f"{moment:%Y%m%d}"
    if first.level == "payer":
        claim = first.entry.claim
        source: Row = ("NM1", "PR", "2", claim.payer_name, "", "", "", "", "PI", claim.payer_id)
    else:
        source = ("NM1", "AY", "2", CLEARINGHOUSE_NAME, "", "", "", "", "46", clearinghouse_id)
    rows: list[Row] = [
        ("BHT", "0085", "08", reference, day, f"{moment:%H%M}", "TH"),
        ("HL", "1", "", "20", "1"),
        source,
        ("TRN", "1", reference),
        ("DTP", "050", "D8", day),
        ("DTP", "009", "D8", day),
        ("HL", "2", "1", "21", "1"),
        ("NM1", "41", "2", submitter[0], "", "", "", "", "46", submitter[1]),
        ("TRN", "2", first.entry.batch),
        *_totals(events, day, "90", "AA"),
    ]
    return [*rows, *_providers(events, day, patient_children)]


def _providers(events: Sequence[Event], day: str, patient_children: bool) -> Iterable[Row]:
    levels = count(3)
    for npi, group in groupby(sorted(events, key=_billing_npi), _billing_npi):
        of_provider = list(group)
        level = next(levels)
        billing = of_provider[0].entry.claim.billing
        yield ("HL", str(level), "2", "19", "1")
        yield ("NM1", "85", "2", billing.name, "", "", "", "", *(("XX", npi) if npi else ("FI", _UNKNOWN)))
        yield ("TRN", "1", "0")
        yield from _totals(of_provider, "", "QA", "QC")
        for event in of_provider:
            yield from _claim(event, next(levels), level, day, patient_children)


def _billing_npi(event: Event) -> str:
    return event.entry.claim.billing.npi


def _totals(events: Sequence[Event], day: str, taken: str, refused: str) -> Iterable[Row]:
    """The status of a level with its counts and amounts: QTY*90 or QA taken, QTY*AA or QC refused."""
    good = [event.entry.claim.total for event in events if not _rejected(event)]
    bad = [event.entry.claim.total for event in events if _rejected(event)]
    yield ("STC", f"A1{SUB}19{SUB}PR", day, "WQ", plain(sum([*good, *bad], Decimal())))
    for amounts, quantity in ((good, taken), (bad, refused)):
        if amounts:
            yield ("QTY", quantity, str(len(amounts)))
    for amounts, money in ((good, "YU"), (bad, "YY")):
        if amounts:
            yield ("AMT", money, plain(sum(amounts, Decimal())))


def _claim(event: Event, level: int, parent: int, day: str, patient_children: bool) -> Iterable[Row]:
    entry, claim = event.entry, event.entry.claim
    person = claim.patient
    statuses = [SUB.join(status.parts()) for status in event.statuses[:3]] + ["", ""]
    action = "U" if _rejected(event) else "WQ"
    others = ("", "", "", "", "", statuses[1], statuses[2]) if statuses[1] else ()
    names = (person.family, person.given, person.middle, "", "")
    yield ("HL", str(level), str(parent), "PT", "0" if patient_children else "")
    yield ("NM1", "QC", "1", *names, "MI", claim.member_id or _UNKNOWN)
    yield ("TRN", "2", claim.account)
    yield ("STC", statuses[0], day, action, plain(claim.total), *others)
    if entry.payer_control and event.level == "payer":
        yield ("REF", "1K", entry.payer_control)
    yield ("REF", "D9", entry.vendor_id)
    yield ("DTP", "472", "D8", claim.lines[0].first_day)


def _rejected(event: Event) -> bool:
    return any(status.rejects for status in event.statuses)
