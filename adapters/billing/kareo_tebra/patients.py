"""Find the claim's patient and insurance case in Tebra, or create them: never twice (sections 5, 6 and 8)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapters.billing.kareo_tebra import errors, operations, replies, requests
from adapters.billing.kareo_tebra.cache import TimedCache
from adapters.billing.kareo_tebra.directory import refused
from adapters.billing.kareo_tebra.replies import PatientCase, Policy
from adapters.billing.kareo_tebra.requests import ResolvedIds
from adapters.billing.kareo_tebra.service import Session
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical.errors import ClaimRejected, ErrorCode, VendorUnavailable
from gateway.kit.encoders import soap
from gateway.ports.context import AdapterContext

LIFETIME_SECONDS = 900.0
MAX_PATIENTS = 2048
_IDENTITY = ("FirstName", "LastName", "DateofBirth")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KnownPatient:
    """A patient of Tebra with the cases as they were read."""

    patient_id: str
    cases: tuple[PatientCase, ...]


class Patients:
    """The patients of one connection, remembered for a quarter of an hour."""

    def __init__(self, settings: KareoTebraSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._cache: TimedCache[tuple[str, ...], KnownPatient] = TimedCache(
            lifetime_seconds=LIFETIME_SECONDS, max_entries=MAX_PATIENTS
        )
        self._in_doubt: TimedCache[tuple[str, ...], VendorUnavailable] = TimedCache(
            lifetime_seconds=settings.settle_seconds, max_entries=MAX_PATIENTS
        )

    async def resolve(
        self, session: Session, reference: str, document: Document, ids: Awaitable[ResolvedIds]
    ) -> tuple[str, str]:
        """Patient id and case id; `ids` is awaited only before a creation: a claim that is refused creates nobody."""
        key = _key(reference, document)
        remembered = self._cache.peek(key)
        if remembered is not None:
            case = matching_case(remembered.cases, document)
            if case is not None:
                return remembered.patient_id, case.case_id
            self._cache.drop(key)  # the biller may have corrected the case since
        known = await self._look_or_create(session, reference, document, ids)
        case = matching_case(known.cases, document)
        if case is None:
            raise coverage_problem(known.cases, document)
        return known.patient_id, case.case_id

    def forget(self, reference: str, document: Document) -> None:
        """Read the patient again next time: Tebra did not accept what was remembered."""
        self._cache.drop(_key(reference, document))

    async def _look_or_create(
        self, session: Session, reference: str, document: Document, ids: Awaitable[ResolvedIds]
    ) -> KnownPatient:
        key = _key(reference, document)
        async with self._context.lock(f"{self._context.connection}:patient:{reference}"):
            known = self._cache.peek(key) or await self._look(session, document)
            if known is None:
                known = await self._create_once(key, session, document, await ids)
            self._cache.put(key, known)
        return known

    async def _look(self, session: Session, document: Document) -> KnownPatient | None:
        search = requests.patients(document["patient"], self._settings.practice_name)
        result = await session.call(operations.GET_PATIENTS, search)
        patient_id = same_patient(replies.rows(result, "Patients", "PatientData"), document["patient"])
        return None if patient_id is None else await self._read(session, patient_id)

    async def _read(self, session: Session, patient_id: str) -> KnownPatient:
        result = await session.call(operations.GET_PATIENT, requests.patient(patient_id))
        return KnownPatient(patient_id, replies.patient_cases(result))

    async def _create_once(
        self, key: tuple[str, ...], session: Session, document: Document, ids: ResolvedIds
    ) -> KnownPatient:
        """A creation whose answer was lost may still be saving: only when it cannot be any more is another one made."""
        lost = self._in_doubt.peek(key)
        if lost is not None:
            raise _not_before(self._settings.settle_seconds - self._in_doubt.age(key), lost)
        try:
            return await self._create(session, document, ids)
        except VendorUnavailable as problem:
            self._in_doubt.put(key, problem)
            raise _not_before(self._settings.settle_seconds, problem) from None

    async def _create(self, session: Session, document: Document, ids: ResolvedIds) -> KnownPatient:
        with_case = self._settings.create_patient_case
        _refuse_creation(self._settings, document)
        contract = requests.create_patient(document, ids.practice, with_case=with_case)
        result = await session.call(operations.CREATE_PATIENT, contract)
        patient_id = soap.text(result, "PatientID")
        if not patient_id:
            raise errors.unreadable(operations.CREATE_PATIENT)
        case_id = replies.created_case_id(result)
        if with_case and not case_id:
            return await self._read(session, patient_id)
        return KnownPatient(patient_id, (_sent_case(case_id, document),) if with_case else ())


def _key(reference: str, document: Document) -> tuple[str, ...]:
    return (reference, *(document["patient"][name] for name in _IDENTITY))


def _not_before(seconds: float, lost: VendorUnavailable) -> VendorUnavailable:
    return VendorUnavailable(lost.vendor, lost.operation, lost.text, code=lost.code, retry_after=max(0.0, seconds))


def _refuse_creation(settings: KareoTebraSettings, document: Document) -> None:
    if not settings.create_patients:
        raise refused(
            operations.CREATE_PATIENT,
            ErrorCode.NOT_FOUND,
            "Claim.patient",
            "Tebra has no patient with this name and birth date, and this connection does not create patients",
            "Add the patient with the insurance case in Tebra, then send the claim again.",
        )
    for i, policy in enumerate(document["case"]["Policies"] if settings.create_patient_case else ()):
        if "CompanyID" not in policy:
            raise refused(
                operations.CREATE_PATIENT,
                ErrorCode.PAYER_UNKNOWN,
                f"Claim.insurance[{i}].coverage",
                "The patient is new to Tebra, and the payer's insurance plan there is not known",
                "Add the payer to `insurance_plans` of the connection, or add the patient's case in Tebra.",
            )


def _sent_case(case_id: str, document: Document) -> PatientCase:
    policies = (
        Policy(
            policy["PolicyNumber"],
            replies.day_of(policy.get("EffectiveStartDate", "")),
            replies.day_of(policy.get("EffectiveEndDate", "")),
        )
        for policy in document["case"]["Policies"]
    )
    return PatientCase(case_id, True, tuple(policies))


def same_patient(rows: Sequence[Mapping[str, str]], patient: Mapping[str, Any]) -> str | None:
    """The id of the one row with the patient's name and birth date, or None; several are told apart by MRN only.

    The search itself may match loosely, so every row is compared again.
    """
    born = replies.day_of(patient["DateofBirth"])
    same = [row for row in rows if _same_name(row, patient) and replies.day_of(row.get("DOB", "")) == born]
    record_number = patient.get("MedicalRecordNumber")
    if len(same) > 1 and record_number:
        same = [row for row in same if row.get("MedicalRecordNumber") == record_number] or same
    if len(same) > 1:
        raise refused(
            operations.GET_PATIENTS,
            ErrorCode.PATIENT_AMBIGUOUS,
            "Claim.patient",
            "Tebra has several patients with this name and birth date",
            "Merge them in Tebra, or give the right one the medical record number of the EHR.",
        )
    return same[0]["ID"] if same else None


def _same_name(row: Mapping[str, str], patient: Mapping[str, Any]) -> bool:
    return all(_folded(row.get(name, "")) == _folded(patient[name]) for name in ("FirstName", "LastName"))


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def matching_case(cases: Sequence[PatientCase], document: Document) -> PatientCase | None:
    """The case whose policies in force on the day of service begin with the claim's, in the same order.

    The one with the fewest further policies wins, then the patient's primary case, then the first listed.
    """
    day = _service_day(document)
    wanted = _numbers(document)
    fitting = []
    for case in cases:
        numbers = [_plain(policy.number) for policy in case.policies if policy.in_force(day)]
        if numbers[: len(wanted)] == wanted:
            fitting.append((len(numbers), not case.primary, case))
    return min(fitting, key=lambda entry: entry[:2])[2] if fitting else None


def coverage_problem(cases: Sequence[PatientCase], document: Document) -> ClaimRejected:
    """Why no case fits, for the biller."""
    day, wanted = _service_day(document), _numbers(document)
    policies = [policy for case in cases for policy in case.policies]
    code, message = (
        ErrorCode.COVERAGE_MISMATCH,
        "No case of the patient in Tebra has the claim's policies in this order",
    )
    if not policies:
        code, message = ErrorCode.COVERAGE_MISSING, "The patient has no insurance policy in Tebra"
    elif any(_plain(policy.number) == wanted[0] and not policy.in_force(day) for policy in policies):
        code, message = ErrorCode.COVERAGE_INACTIVE, "The policy in Tebra is not in force on the date of service"
    return refused(
        operations.GET_PATIENT,
        code,
        "Claim.insurance",
        message,
        "Correct the case in Tebra (policy number, order, dates) or the coverage in the EHR, then send it again.",
    )


def _service_day(document: Document) -> date:
    return date.fromisoformat(document["encounter"]["ServiceStartDate"][:10])


def _numbers(document: Document) -> list[str]:
    return [_plain(policy["PolicyNumber"]) for policy in document["case"]["Policies"]]


def _plain(number: str) -> str:
    return "".join(filter(str.isalnum, number)).upper()
