"""Find the claim's patient and insurance case in Tebra, or create them: never twice (sections 5, 6 and 8)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.billing.kareo_tebra import errors, operations, replies, requests
from adapters.billing.kareo_tebra.cache import TimedCache
from adapters.billing.kareo_tebra.cases import Document, case_problem, lacks_case, matching_case
from adapters.billing.kareo_tebra.doubts import Doubts
from adapters.billing.kareo_tebra.errors import refused
from adapters.billing.kareo_tebra.replies import PatientCase, Policy
from adapters.billing.kareo_tebra.requests import ResolvedIds
from adapters.billing.kareo_tebra.service import Session
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical.errors import ClaimRejected, ErrorCode
from gateway.kit.encoders import soap
from gateway.ports.context import AdapterContext

LIFETIME_SECONDS = 900.0
MAX_PATIENTS = 2048
_IDENTITY = ("FirstName", "LastName", "DateofBirth")


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
        self._doubts = Doubts(settings, context)

    async def resolve(
        self, session: Session, reference: str, document: Document, ids: Awaitable[ResolvedIds]
    ) -> tuple[str, str]:
        """Patient id and case id; `ids` is awaited only before a creation: a claim that is refused creates nobody."""
        key = _key(reference, document)
        known = self._cache.peek(key)
        if known is None or case_problem(known.cases, document) is not None:
            self._cache.drop(key)  # the biller may have corrected the case since
            known = await self._look_or_create(session, reference, document, ids)
        problem = case_problem(known.cases, document)
        if problem is not None:
            raise problem
        case = matching_case(known.cases, document)
        assert case is not None, "a claim without a case is a problem"
        return known.patient_id, case.case_id

    def forget(self, reference: str, document: Document) -> None:
        """Read the patient again next time: Tebra did not accept what was remembered."""
        self._cache.drop(_key(reference, document))

    async def _look_or_create(
        self, session: Session, reference: str, document: Document, ids: Awaitable[ResolvedIds]
    ) -> KnownPatient:
        key = _key(reference, document)
        async with self._context.lock(f"{self._context.connection}:patient:{reference}"):
            known = self._cache.peek(key)
            if known is None or lacks_case(known.cases, document):
                known = await self._look(session, document)
            if known is None:
                known = await self._create(session, reference, document, await ids)
            elif self._settings.create_patient_case and lacks_case(known.cases, document):
                known = await self._add_case(session, reference, document, known.patient_id, await ids)
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

    async def _create(self, session: Session, reference: str, document: Document, ids: ResolvedIds) -> KnownPatient:
        """Create the patient, with the case when the connection wants it."""
        with_case = self._settings.create_patient_case
        if not self._settings.create_patients:
            raise _not_created()
        if with_case:
            _refuse_unknown_plans(operations.CREATE_PATIENT, document)
        contract = requests.create_patient(document, ids.practice, with_case=with_case)
        async with self._doubts.writing(f"patient:{reference}", operations.CREATE_PATIENT):
            result = await session.call(operations.CREATE_PATIENT, contract)
            patient_id = soap.text(result, "PatientID")
            if not patient_id:
                raise errors.unreadable(operations.CREATE_PATIENT)
        case_id = replies.created_case_id(result)
        if with_case and not case_id:
            return await self._read(session, patient_id)
        return KnownPatient(patient_id, (_sent_case(case_id, document),) if with_case else ())

    async def _add_case(
        self, session: Session, reference: str, document: Document, patient_id: str, ids: ResolvedIds
    ) -> KnownPatient:
        """Add the claim's case and read the patient back: what Tebra dropped without a word is not billed."""
        _refuse_unknown_plans(operations.UPDATE_PATIENT, document)
        contract = requests.add_case(document, ids.practice, patient_id)
        async with self._doubts.writing(f"case:{reference}", operations.UPDATE_PATIENT):
            await session.call(operations.UPDATE_PATIENT, contract)
        return await self._read(session, patient_id)


def _key(reference: str, document: Document) -> tuple[str, ...]:
    return (reference, *(document["patient"][name] for name in _IDENTITY))


def _not_created() -> ClaimRejected:
    return refused(
        operations.CREATE_PATIENT,
        ErrorCode.NOT_FOUND,
        "Claim.patient",
        "Tebra has no patient with this name and birth date, and this connection does not create patients",
        "Add the patient with the insurance case in Tebra, then send the claim again.",
    )


def _refuse_unknown_plans(operation: str, document: Document) -> None:
    for i, policy in enumerate(document["case"]["Policies"]):
        if "CompanyID" not in policy:
            raise refused(
                operation,
                ErrorCode.PAYER_UNKNOWN,
                f"Claim.insurance[{i}].coverage",
                "The patient's case has to be created, and the payer's insurance plan in Tebra is not known",
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
    return PatientCase(case_id, True, tuple(policies), document["case"].get("CaseName", ""))


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
