"""A claim as the clearinghouse understands it, from an 837P or (see `json_claims`) from JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from adapters.billing.x12_837p.simulator.envelope import Delimiters
from adapters.billing.x12_837p.simulator.walking import Loop


@dataclass(frozen=True, slots=True)
class Line:
    """A service line; pointers are as sent, dates CCYYMMDD."""

    control: str
    procedure: str
    charge: Decimal
    pointers: tuple[str, ...]
    first_day: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider of the claim by its entity identifier code (85, 82, 77, DN, ...)."""

    entity: str
    name: str
    npi: str
    street: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A name as in NM103 to NM105."""

    family: str
    given: str = ""
    middle: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """What edits and acknowledgments need; `submission_id` is the submitter's own trace (REF*D9)."""

    account: str
    submission_id: str
    frequency: str
    prior_control: str
    filing: str
    total: Decimal
    payer_id: str
    payer_name: str
    patient: Person
    member_id: str
    billing: Provider
    providers: tuple[Provider, ...]
    diagnoses: tuple[str, ...]
    lines: tuple[Line, ...]
    postal_codes: tuple[str, ...] = field(default=())


def amount(text: str) -> Decimal:
    """An amount; what is no number counts as zero."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def claims_of(root: Loop, delimiters: Delimiters) -> Iterator[Claim]:
    """The claims of a transaction that the syntax check accepted, in the order of the file."""
    for billing in root.all("2000A"):
        for subscriber in billing.all("2000B"):
            yield from _claims(billing, subscriber, subscriber, "2010BA", delimiters)
            for patient in subscriber.all("2000C"):
                yield from _claims(billing, subscriber, patient, "2010CA", delimiters)


def _claims(billing: Loop, subscriber: Loop, holder: Loop, person_loop: str, delimiters: Delimiters) -> Iterator[Claim]:
    member = subscriber.first("2010BA")
    payer = subscriber.first("2010BB").segment("NM1")
    person = holder.first(person_loop)
    name = person.segment("NM1")
    for loop in holder.all("2300"):
        clm = loop.segment("CLM")
        codes = [c.split(delimiters.component) for hi in loop.each("HI") for c in hi.elements]
        yield Claim(
            account=clm[1],
            submission_id=loop.segment("REF", "D9")[2],
            frequency=clm[5].split(delimiters.component)[-1],
            prior_control=loop.segment("REF", "F8")[2],
            filing=subscriber.segment("SBR")[9],
            total=amount(clm[2]),
            payer_id=payer[9],
            payer_name=payer[3],
            patient=Person(name[3], name[4], name[5]),
            member_id=member.segment("NM1")[9],
            billing=_provider(billing.first("2010AA")),
            providers=tuple(_provider(p) for p in _with_lines(loop) if p.id[:4] in ("2310", "2420")),
            diagnoses=tuple(c[1] for c in codes if c[0] in ("ABK", "ABF", "BK", "BF")),
            lines=tuple(_line(line, delimiters) for line in loop.all("2400")),
            postal_codes=tuple(z for z in (p.segment("N4")[3] for p in (member, person)) if z),
        )


def _with_lines(claim: Loop) -> Iterator[Loop]:
    yield from claim.loops
    for line in claim.all("2400"):
        yield from line.loops


def _provider(loop: Loop) -> Provider:
    name = loop.segment("NM1")
    return Provider(name[1], name[3], name[9], loop.segment("N3")[1], loop.segment("N4")[3])


def _line(loop: Loop, delimiters: Delimiters) -> Line:
    service = loop.segment("SV1")
    return Line(
        control=loop.segment("REF", "6R")[2],
        procedure=[*service[1].split(delimiters.component), ""][1],
        charge=amount(service[2]),
        pointers=tuple(service[7].split(delimiters.component)),
        first_day=loop.segment("DTP", "472")[3][:8],
    )
