"""Entry errors as people make them in an EHR, each of which a gateway can find without asking the payer.

An error is put into a visit's plan before it becomes FHIR, so that all resources agree about the mistake. It touches
nothing that another visit shares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from random import Random

from gateway.canonical import codes
from gateway.sandbox.day_plan import Diagnosis, Payer, Visit

_SNOMED_PROCEDURE = "5880005"
_SNOMED_FINDING = "43116000"


@dataclass(frozen=True, slots=True)
class EntryError:
    """One kind of error: `put` makes the mistake in a visit that has what it needs.

    `patient` asks for "plain adult" (subscriber of one private coverage) or "insured child" (covered by a parent).
    """

    name: str
    put: Callable[[Visit], None]
    patient: str = ""
    needs_referral: bool = False
    needs_claim: bool = False


def _member_id_missing(visit: Visit) -> None:
    visit.file.insurances[0].member_id = ""


def _coverage_ended(visit: Visit) -> None:
    visit.file.insurances[0].end = visit.start.date() - timedelta(days=35)


def _coverage_cancelled(visit: Visit) -> None:
    visit.file.insurances[0].status = "cancelled"


def _coverage_missing(visit: Visit) -> None:
    visit.file.insurances.clear()


def _payer_unknown(visit: Visit) -> None:
    insurance = visit.file.insurances[0]
    insurance.payer = Payer(
        id=f"payer-unlisted-{visit.key}",
        payer_id="",
        name="Tallgrass Growers Health Trust",
        plan=insurance.payer.plan,
        kind="unlisted",
        act_code=insurance.payer.act_code,
        sopt=insurance.payer.sopt,
        member_id=insurance.payer.member_id,
    )


def _rendering_npi_transposed(visit: Visit) -> None:
    visit.mistyped["rendering"] = transposed(visit.provider.npi)


def _referring_npi_transposed(visit: Visit) -> None:
    if visit.referrer is not None:
        visit.mistyped["referring"] = transposed(visit.referrer.npi)


def _diagnosis_code_malformed(visit: Visit) -> None:
    """The letter slipped to the end: 57.0L for L57.0."""
    code = visit.diagnoses[0].icd10
    visit.diagnoses[0] = Diagnosis(code[1:] + code[0])


def _diagnosis_snomed_only(visit: Visit) -> None:
    visit.diagnoses[0] = Diagnosis("", visit.diagnoses[0].snomed or _SNOMED_FINDING)


def _diagnosis_pointer_dangling(visit: Visit) -> None:
    visit.lines[0].pointers = [len(visit.diagnoses) + 1]


def _diagnosis_pointer_missing(visit: Visit) -> None:
    visit.lines[-1].pointers = []


def _procedure_code_malformed(visit: Visit) -> None:
    visit.lines[0].code = visit.lines[0].code[:-1]


def _procedure_code_snomed(visit: Visit) -> None:
    visit.lines[0].code, visit.lines[0].system = _SNOMED_PROCEDURE, codes.SNOMED


def _modifier_malformed(visit: Visit) -> None:
    visit.lines[0].modifiers = ["25X", *visit.lines[0].modifiers[1:]]


def _quantity_zero(visit: Visit) -> None:
    visit.lines[-1].quantity = 0


def _birth_date_missing(visit: Visit) -> None:
    visit.file.person.birth_date = None


def _birth_date_after_visit(visit: Visit) -> None:
    visit.file.person.birth_date = visit.start.date() + timedelta(days=12)


def _patient_name_missing(visit: Visit) -> None:
    visit.file.person.family, visit.file.person.given = "", []


def _patient_address_missing(visit: Visit) -> None:
    visit.file.person.address = None


def _subscriber_name_missing(visit: Visit) -> None:
    parent = visit.file.relatives[0].person
    parent.family, parent.given = "", []


def _date_of_service_future(visit: Visit) -> None:
    """The wrong year: a whole year ahead, so that the date is in the future on any day near the clinic day."""
    visit.start += timedelta(days=365)


ENTRY_ERRORS: tuple[EntryError, ...] = (
    EntryError("member-id-missing", _member_id_missing, patient="plain adult"),
    EntryError("rendering-npi-transposed", _rendering_npi_transposed),
    EntryError("diagnosis-pointer-dangling", _diagnosis_pointer_dangling, needs_claim=True),
    EntryError("coverage-ended", _coverage_ended, patient="plain adult"),
    EntryError("procedure-code-malformed", _procedure_code_malformed),
    EntryError("referring-npi-transposed", _referring_npi_transposed, needs_referral=True),
    EntryError("diagnosis-code-malformed", _diagnosis_code_malformed),
    EntryError("coverage-missing", _coverage_missing, patient="plain adult"),
    EntryError("modifier-malformed", _modifier_malformed, needs_claim=True),
    EntryError("payer-unknown", _payer_unknown, patient="plain adult"),
    EntryError("birth-date-missing", _birth_date_missing, patient="plain adult"),
    EntryError("diagnosis-snomed-only", _diagnosis_snomed_only),
    EntryError("quantity-zero", _quantity_zero),
    EntryError("patient-address-missing", _patient_address_missing, patient="plain adult"),
    EntryError("date-of-service-future", _date_of_service_future),
    EntryError("coverage-cancelled", _coverage_cancelled, patient="plain adult"),
    EntryError("diagnosis-pointer-missing", _diagnosis_pointer_missing, needs_claim=True),
    EntryError("patient-name-missing", _patient_name_missing, patient="plain adult"),
    EntryError("procedure-code-snomed", _procedure_code_snomed),
    EntryError("birth-date-after-visit", _birth_date_after_visit, patient="plain adult"),
    EntryError("subscriber-name-missing", _subscriber_name_missing, patient="insured child"),
)
"""Every kind of error, in the order in which a day takes them up."""


def spread(random: Random, encounters: int, error_rate: float) -> dict[int, EntryError]:
    """Which visits (from 1) bear which error: exactly `round(encounters * error_rate)`, one in each equal stretch."""
    count = round(encounters * error_rate)
    bounds = [i * encounters // count for i in range(count + 1)] if count else [0]
    offset = random.randrange(len(ENTRY_ERRORS))
    return {
        random.randrange(low, high) + 1: ENTRY_ERRORS[(offset + i) % len(ENTRY_ERRORS)]
        for i, (low, high) in enumerate(pairwise(bounds))
    }


def transposed(npi: str) -> str:
    """The NPI with two neighbouring digits swapped, so that its check digit no longer holds."""
    swaps = (npi[:i] + npi[i + 1] + npi[i] + npi[i + 2 :] for i in range(1, 9))
    return next(candidate for candidate in swaps if not codes.npi_is_valid(candidate))
