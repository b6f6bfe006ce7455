"""The AdvancedMD billing adapter: one visit with its charges per claim, over the XMLRPC message API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.billing.advancedmd import actions, corrections, errors, replies, requests
from adapters.billing.advancedmd.errors import VENDOR
from adapters.billing.advancedmd.lookups import Lookups
from adapters.billing.advancedmd.outcomes import standing
from adapters.billing.advancedmd.patients import Patients
from adapters.billing.advancedmd.payload import CHARGE_IDS, PATIENT_ID, VISIT_ID, build
from adapters.billing.advancedmd.replies import Charge
from adapters.billing.advancedmd.requests import ChargeIds, VisitIds
from adapters.billing.advancedmd.scrubbing import scrubbed
from adapters.billing.advancedmd.service import AdvancedMdService, Calls
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.visits import OwnVisit, Visits
from adapters.billing.advancedmd.wire import Tree
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
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
    CredentialsRejected: "Check username, password and office_key; wait ten minutes before another try.",
    PermissionMissing: "Ask AdvancedMD to allow this host's address for the API user.",
}


@dataclass(frozen=True, slots=True)
class Resolved:
    """AdvancedMD's ids of everything that a document names."""

    own: OwnVisit
    responsible_party: str
    insurance_order: str
    facility: str
    codes: list[ChargeIds]


class AdvancedMd(BillingBase):
    """One clinic's link to AdvancedMD; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = VENDOR

    def __init__(self, settings: AdvancedMdSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._service = AdvancedMdService(settings, context)
        self._lookups = Lookups(settings, context)
        self._patients = Patients(settings, context, self._lookups)
        self._visits = Visits(context, settings.settle_seconds)

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id, self._settings, prior)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """Resolve ids, have a visit, then post its charges: the only call whose loss leaves the outcome unknown."""
        document, calls = jsonio.loads(payload.body), Calls(self._service)
        resolved = await self._resolve(calls, payload, document)
        visit = await self._visit(calls, payload, document, resolved.own)
        own = OwnVisit(resolved.own.patient, resolved.own.profile, resolved.own.asked_at, visit)
        ids = VisitIds(
            own.patient, resolved.responsible_party, resolved.insurance_order, visit, own.profile, resolved.facility
        )
        try:
            results = await calls.call(requests.charges(document, ids, resolved.codes))
        except DuplicateClaim:
            return await self._after_duplicate(calls, payload, document, own)
        except ClaimRejected:
            await self._start_anew(payload, document)
            raise
        return await self._posted(calls, payload, document, own, results)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Look at the ledger for charges on the submission's own visit; no visit means that nothing was sent."""
        document, calls = jsonio.loads(payload.body), Calls(self._service)
        own = await self._visits.known(submission_id)
        if own is None or not own.visit:
            return None
        found = corrections.of_submission(document, await self._visits.charges(calls, own, document))
        return self._receipt(submission_id, own, [charge.charge_id for charge in found], calls) if found else None

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Ask for each charge in detail, up to the first that proves no more than that AdvancedMD holds it."""
        calls, charges = Calls(self._service), list[Charge]()
        for charge_id in filter(None, receipt.vendor_ids.get(CHARGE_IDS, "").split(",")):
            details = replies.charges(await calls.call(requests.charge(charge_id)))
            charges += [charge for charge in details if charge.charge_id == charge_id] or details[:1]
            if charges and standing("", charges[-1:]).state is SubmissionState.RECEIVED and not charges[-1].voided:
                break
        if not charges:
            text = "AdvancedMD no longer has the charges"
            raise ClaimRejected(VENDOR, actions.GET_CHARGE, text, code=ErrorCode.NOT_FOUND)
        found = standing(receipt.vendor_ids.get(VISIT_ID, "?"), charges)
        return ClaimOutcome(receipt.submission_id, self._evidence(found.state, found.reference), found.findings)

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        secrets = (self._settings.username, self._settings.password, self._settings.office_key)
        return scrubbed(text, (secret.get_secret_value() for secret in secrets))

    async def probe(self) -> list[Probe]:
        """Sign in (or use the shared session), then look at the office's profiles and facilities."""
        try:
            await self._service.sign_in()
            setup = await self._service.call(requests.setup())
        except AdapterError as problem:
            remedy = _REMEDIES.get(type(problem), "Check the address and the network, then try again.")
            return [Probe(f"call {problem.operation}", False, problem.text, remedy)]
        return [Probe("sign in to AdvancedMD", True), *(self._listed(setup, kind) for kind in ("profile", "facility"))]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._service.aclose()

    async def _resolve(self, calls: Calls, payload: VendorPayload, document: Mapping[str, Any]) -> Resolved:
        """The codes and places first: a claim that is refused for them creates nobody."""
        profile = await self._lookups.profile(calls, document["profile"])
        facility = await self._lookups.facility(calls, document.get("facility"))
        codes = await self._lookups.charges(calls, document)
        known = await self._patients.resolve(calls, payload.fields["patient"], document, profile)
        own = OwnVisit(known.patient_id, profile, self._context.now().isoformat())
        return Resolved(own, known.account.responsible_party, known.account.insurance_order, facility, codes)

    async def _visit(self, calls: Calls, payload: VendorPayload, document: Mapping[str, Any], own: OwnVisit) -> str:
        replaced = document.get("replaces")
        if replaced is None:
            encounter = payload.fields["encounter"]
            return await self._visits.opened(calls, payload.submission_id, encounter, own, document)
        on_file = await self._visits.known(replaced["submission"])
        if on_file is None or (on_file.visit, on_file.patient, on_file.profile) != (
            replaced["visit"],
            own.patient,
            own.profile,
        ):
            raise corrections.refusal(
                "The claim on file has another visit, patient or rendering provider in AdvancedMD"
            )
        await corrections.refuse_unsafe(calls, replaced, await self._visits.charges(calls, on_file, document))
        await self._visits.adopt(payload.submission_id, on_file)
        return on_file.visit

    async def _posted(
        self, calls: Calls, payload: VendorPayload, document: Mapping[str, Any], own: OwnVisit, results: Tree
    ) -> SubmissionReceipt:
        """The receipt of posted charges; a reply that does not name them is completed from the ledger."""
        ids: Sequence[str] = replies.charge_ids(results)
        if not ids:
            found = corrections.of_submission(document, await self._visits.charges(calls, own, document))
            ids = [charge.charge_id for charge in found]
        if not ids:
            raise errors.unreadable(actions.POST_CHARGES)
        return self._receipt(payload.submission_id, own, ids, calls)

    async def _after_duplicate(
        self, calls: Calls, payload: VendorPayload, document: Mapping[str, Any], own: OwnVisit
    ) -> SubmissionReceipt:
        """Charges like these are there: ours of an earlier try, or somebody else's, which a person must judge."""
        found = corrections.of_submission(document, await self._visits.charges(calls, own, document))
        if found:
            return self._receipt(payload.submission_id, own, [charge.charge_id for charge in found], calls)
        await self._start_anew(payload, document)
        raise errors.refused(
            actions.POST_CHARGES,
            ErrorCode.DUPLICATE,
            "Claim",
            "AdvancedMD holds such a charge already for this patient, provider and day",
            "Look at the patient's ledger; if both are right, enter it by hand or set `allow_same_day_charges`.",
        )

    async def _start_anew(self, payload: VendorPayload, document: Mapping[str, Any]) -> None:
        """Nothing was posted: free the visit, and read again what may have been out of date."""
        if "replaces" not in document:
            encounter, day = payload.fields["encounter"], document["visit"]["date"]
            await self._visits.left_empty(payload.submission_id, encounter, day)
        self._patients.forget(payload.fields["patient"], document)
        await self._lookups.forget(document)

    def _listed(self, setup: Tree, kind: str) -> Probe:
        count = replies.listed(setup, kind)
        plural = {"profile": "profiles", "facility": "facilities"}[kind]
        configured = getattr(self._settings, plural)
        lost = sorted(set(map(replies.number_of, configured.values())) - replies.numbers(setup, kind))
        if lost:
            text = f"{plural} of the connection names ids that the office does not have: {', '.join(lost)}"
            return Probe(plural, False, text, f"Correct `{plural}`.")
        return Probe(plural, count > 0, f"{count} found", "" if count else "Add one in AdvancedMD.")

    def _receipt(self, submission_id: str, own: OwnVisit, charge_ids: Sequence[str], calls: Calls) -> SubmissionReceipt:
        vendor_ids = {VISIT_ID: own.visit, PATIENT_ID: own.patient, CHARGE_IDS: ",".join(charge_ids)}
        reference = f"visit {own.visit}, charges {vendor_ids[CHARGE_IDS]}"
        evidence = self._evidence(SubmissionState.RECEIVED, reference)
        return SubmissionReceipt(submission_id, evidence, vendor_ids, max(1, calls.made))

    def _evidence(self, state: SubmissionState, reference: str) -> Evidence:
        return Evidence(state, reference, self._context.now())
