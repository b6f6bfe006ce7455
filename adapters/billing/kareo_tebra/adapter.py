"""The Kareo/Tebra billing adapter: one encounter per claim over the SOAP 2.1 API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from adapters.billing.kareo_tebra import errors, operations, replies, requests, voids
from adapters.billing.kareo_tebra.directory import Directory, PracticeDirectory
from adapters.billing.kareo_tebra.errors import VENDOR
from adapters.billing.kareo_tebra.outcomes import Standing, standing
from adapters.billing.kareo_tebra.patients import Patients
from adapters.billing.kareo_tebra.payload import build
from adapters.billing.kareo_tebra.requests import ResolvedIds
from adapters.billing.kareo_tebra.scrubbing import scrubbed
from adapters.billing.kareo_tebra.service import Session, TebraService
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from adapters.billing.kareo_tebra.tasks import side_by_side
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    PermissionMissing,
)
from gateway.canonical.models import (
    ClaimBundle,
    ClaimOutcome,
    Evidence,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.kit.billing_base import BillingBase
from gateway.ports.context import AdapterContext, Probe

_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check customer_key, user and password; stop before Tebra locks the user.",
    PermissionMissing: "Give the user the System Admin role, and check practice_name.",
}


class KareoTebra(BillingBase):
    """One clinic's link to Tebra; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = VENDOR

    def __init__(self, settings: KareoTebraSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._service = TebraService(settings, context.pacer)
        self._directory = PracticeDirectory(settings)
        self._patients = Patients(settings, context)

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id, self._settings, self._context.clinic.timezone, prior)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Resolve ids, then one CreateEncounter: the only call whose loss leaves the outcome unknown.

        A void is UpdateEncounterStatus instead, of an encounter that is not approved yet; see `voids`.
        """
        document = jsonio.loads(payload.body)
        session = Session(self._service)
        if "void" in document:
            await voids.set_aside(session, self._settings.practice_name, document["void"]["EncounterIDs"])
            return self._void_receipt(payload.submission_id, document["void"]["EncounterIDs"], session.calls)
        reference = payload.fields["patient"]
        ids, (patient_id, case_id) = await self._resolve(session, reference, document)
        contract = requests.create_encounter(document, ids, patient_id, case_id)
        try:
            result = await session.call(operations.CREATE_ENCOUNTER, contract)
        except ClaimRejected:
            self._patients.forget(reference, document)
            raise
        vendor_ids = replies.encounter_ids(result)
        if not vendor_ids:
            raise errors.unreadable(operations.CREATE_ENCOUNTER)
        return self._receipt(payload.submission_id, vendor_ids, session.calls)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look for the encounter by BatchNumber; of several the oldest counts and the others are named.

        A void is there when its encounters are out of billing.
        """
        document = jsonio.loads(payload.body)
        if "void" in document:
            return await self._find_void(submission_id, document["void"]["EncounterIDs"])
        encounter = document["encounter"]
        first = date.fromisoformat(encounter["ServiceStartDate"][:10])
        last = date.fromisoformat(encounter.get("ServiceEndDate", encounter["ServiceStartDate"])[:10])
        session = Session(self._service)
        result = await session.call(operations.GET_CHARGES, requests.charges(submission_id, first, last))
        found = [row for row in replies.charge_rows(result) if row.get("BatchNumber") == submission_id]
        return self._receipt(submission_id, _ids_of(found), session.calls) if found else None

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Ask for the encounter (its status and dates), then for its charges."""
        session = Session(self._service)
        if voids.VOIDED in receipt.vendor_ids:
            voided = receipt.vendor_ids[voids.VOIDED].split(",")
            return self._outcome(receipt, await voids.standing(session, self._settings.practice_name, voided))
        encounter_id = receipt.vendor_ids["EncounterID"]
        encounter = await voids.read_encounter(session, self._settings.practice_name, encounter_id)
        charges = await self._charges(session, receipt.submission_id, encounter)
        return self._outcome(receipt, standing(encounter, charges))

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        settings = self._settings
        secrets = (settings.customer_key, settings.user, settings.password)
        return scrubbed(text, (secret.get_secret_value() for secret in secrets))

    async def probe(self) -> list[Probe]:
        """Sign in once, then look at the practice and its people and places."""
        try:
            directory = await self._directory.read(Session(self._service))
        except AdapterError as problem:
            remedy = _REMEDIES.get(type(problem), "Check the endpoint and the network, then try again.")
            return [Probe(f"call {problem.operation}", False, problem.text, remedy)]
        return [
            Probe("sign in to Tebra", True),
            _practice_probe(directory, self._context.clinic.billing_provider.npi),
            _providers_probe(directory),
            _locations_probe(directory),
        ]

    async def aclose(self) -> None:
        """End unfinished reads and close the network client."""
        await self._directory.aclose()
        await self._service.aclose()

    async def _resolve(
        self, session: Session, reference: str, document: dict[str, Any]
    ) -> tuple[ResolvedIds, tuple[str, str]]:
        """Look up the directory and the patient side by side; the first failure ends both."""
        async with side_by_side() as group:
            ids = group.create_task(self._directory.resolve(session, document))
            patient = group.create_task(self._patients.resolve(session, reference, document, ids))
        return ids.result(), patient.result()

    async def _charges(
        self, session: Session, submission_id: str, encounter: Mapping[str, str]
    ) -> list[dict[str, str]]:
        first = replies.day_of(encounter.get("ServiceStartDate", ""))
        if first is None:
            return []
        last = replies.day_of(encounter.get("ServiceEndDate", "")) or first
        result = await session.call(operations.GET_CHARGES, requests.charges(submission_id, first, last))
        return [row for row in replies.charge_rows(result) if row["EncounterID"] == encounter["EncounterID"]]

    async def _find_void(self, submission_id: str, encounter_ids: Sequence[str]) -> SubmissionReceipt | None:
        session = Session(self._service)
        found = await voids.standing(session, self._settings.practice_name, encounter_ids)
        done = found.state is SubmissionState.ACCEPTED
        return self._void_receipt(submission_id, encounter_ids, session.calls) if done else None

    def _outcome(self, receipt: SubmissionReceipt, found: Standing) -> ClaimOutcome:
        return ClaimOutcome(receipt.submission_id, self._evidence(found.state, found.reference), found.findings)

    def _void_receipt(self, submission_id: str, encounter_ids: Sequence[str], calls: int) -> SubmissionReceipt:
        listed = ",".join(encounter_ids)
        evidence = self._evidence(SubmissionState.RECEIVED, f"EncounterID {listed} Rejected")
        return SubmissionReceipt(submission_id, evidence, {voids.VOIDED: listed}, calls)

    def _receipt(self, submission_id: str, vendor_ids: dict[str, str], calls: int) -> SubmissionReceipt:
        reference = f"EncounterID {vendor_ids['EncounterID']}"
        if "DuplicateEncounterIDs" in vendor_ids:
            reference += f" (reject in Tebra, sent twice: {vendor_ids['DuplicateEncounterIDs']})"
        return SubmissionReceipt(submission_id, self._evidence(SubmissionState.RECEIVED, reference), vendor_ids, calls)

    def _evidence(self, state: SubmissionState, reference: str) -> Evidence:
        return Evidence(state, reference, self._context.now())


def _ids_of(charges: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The ids of the oldest encounter among charge rows of one submission."""
    oldest, *others = sorted({row["EncounterID"] for row in charges}, key=lambda number: (len(number), number))
    rows = [row for row in charges if row["EncounterID"] == oldest]
    ids = {
        "EncounterID": oldest,
        "PatientID": rows[0].get("PatientID", ""),
        "ChargeIDs": ",".join(row["ID"] for row in rows if row.get("ID")),
        "DuplicateEncounterIDs": ",".join(others),
    }
    return {name: value for name, value in ids.items() if value}


def _practice_probe(directory: Directory, billing_npi: str) -> Probe:
    npi = directory.practice.get("NPI", "")
    same = npi in ("", billing_npi)
    return Probe(
        "practice",
        same,
        "found" if same else "the practice's NPI in Tebra differs from the clinic's billing provider",
        "" if same else "Claims are billed under the practice's NPI in Tebra: correct one of the two.",
    )


def _providers_probe(directory: Directory) -> Probe:
    active = [row for row in directory.providers if row.get("Active", "").lower() != "false"]
    named = [row for row in active if row.get("NationalProviderIdentifier")]
    detail = f"{len(named)} of {len(active)} active providers have an NPI"
    remedy = "" if named else "Complete the providers' NPIs in Tebra: claims are matched by NPI."
    return Probe("providers", bool(named), detail, remedy)


def _locations_probe(directory: Directory) -> Probe:
    count = len(directory.locations)
    remedy = "" if count else "Add the clinic's service location in Tebra."
    return Probe("service locations", bool(count), f"{count} found", remedy)
