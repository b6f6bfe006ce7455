"""The FHIR Claim adapter: one claim per Bundle, to any FHIR R4 server that takes claims."""

from __future__ import annotations

from adapters.billing.fhir_claim import probing, replies
from adapters.billing.fhir_claim.errors import VENDOR
from adapters.billing.fhir_claim.outcomes import Standing, standing
from adapters.billing.fhir_claim.payload import build
from adapters.billing.fhir_claim.rows import SUBMISSION_IDENTIFIER
from adapters.billing.fhir_claim.scrubbing import scrubbed
from adapters.billing.fhir_claim.server import Calls, FhirServer
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from gateway.canonical.errors import ErrorCode, UnexpectedResponse
from gateway.canonical.models import (
    ClaimBundle,
    ClaimOutcome,
    Evidence,
    Resource,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.kit.billing_base import BillingBase
from gateway.ports.context import AdapterContext, Probe

SEARCH_CLAIM = "search Claim"
SEARCH_RESPONSE = "search ClaimResponse"
READ_RESPONSE = "read ClaimResponse"


class FhirClaim(BillingBase):
    """One clinic's link to a FHIR server; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = VENDOR

    def __init__(self, settings: FhirClaimSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._server = FhirServer(settings, context)

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id, self._settings, self._context.clinic.clinic_id, prior)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """One POST: nothing has to be looked up before, because everything travels in the Bundle."""
        calls = Calls()
        accepted = await self._server.create(payload, calls)
        evidence = Evidence(accepted.state, accepted.reference, self._context.now())
        return SubmissionReceipt(payload.submission_id, evidence, accepted.vendor_ids, calls.count)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Search the claim by the submission's identifier; of several the oldest counts and the others are named."""
        calls = Calls()
        found = await self._claims(submission_id, calls)
        if not found:
            return None
        oldest, *others = found
        reference, ids = f"Claim/{oldest['id']}", {"Claim": str(oldest["id"])}
        if others:
            ids["DuplicateClaims"] = ",".join(str(other["id"]) for other in others)
            reference += f" (void at the server, sent twice: {ids['DuplicateClaims']})"
        evidence = Evidence(SubmissionState.RECEIVED, reference, self._context.now())
        return SubmissionReceipt(submission_id, evidence, ids, calls.count)

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """The newest ClaimResponse to the claim; without one, that the server holds the claim."""
        calls = Calls()
        claim_id = receipt.vendor_ids.get("Claim") or await self._claim_id(receipt, calls)
        response = await self._response(claim_id, receipt.vendor_ids.get("ClaimResponse"), calls)
        found = standing(response, self._server.base_url) if response else None
        if found is None:
            found = Standing(SubmissionState.RECEIVED, f"Claim/{claim_id} without an answer so far")
        evidence = Evidence(found.state, found.reference, self._context.now())
        return ClaimOutcome(receipt.submission_id, evidence, found.findings, response, vendor_ids=found.vendor_ids)

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        settings = self._settings
        secrets = (settings.token, settings.password, settings.private_key)
        return scrubbed(text, (secret.get_secret_value() for secret in secrets if secret is not None))

    async def probe(self) -> list[Probe]:
        """See `probing.probe`."""
        return await probing.probe(self._server, self._settings)

    async def aclose(self) -> None:
        """Close the network client."""
        await self._server.aclose()

    async def _claims(self, submission_id: str, calls: Calls) -> list[Resource]:
        parameters = {"identifier": f"{SUBMISSION_IDENTIFIER}|{submission_id}"}
        bundle = await self._server.read(SEARCH_CLAIM, "Claim", calls, parameters)

        def wanted(claim: Resource) -> bool:
            return replies.has_identifier(claim, SUBMISSION_IDENTIFIER, submission_id)

        return replies.oldest_first(replies.matches(SEARCH_CLAIM, bundle, "Claim", wanted))

    async def _claim_id(self, receipt: SubmissionReceipt, calls: Calls) -> str | None:
        """The claim's id where the receipt names none; None where only the response is known and can be read."""
        if "ClaimResponse" in receipt.vendor_ids:
            return None
        found = await self._claims(receipt.submission_id, calls)
        if not found:
            text = "the server does not have the claim"
            raise UnexpectedResponse(VENDOR, SEARCH_CLAIM, text, code=ErrorCode.NOT_FOUND)
        return str(found[0]["id"])

    async def _response(self, claim_id: str | None, response_id: str | None, calls: Calls) -> Resource | None:
        """The newest response by search: a payer may answer again under another id; else the one that is known."""
        if claim_id is not None:
            try:
                found = await self._responses(claim_id, calls)
            except UnexpectedResponse:
                if response_id is None:
                    raise
                found = []
            if found:
                return found[-1]
        if response_id is None:
            return None
        return await self._server.read(READ_RESPONSE, f"ClaimResponse/{response_id}", calls)

    async def _responses(self, claim_id: str, calls: Calls) -> list[Resource]:
        bundle = await self._server.read(SEARCH_RESPONSE, "ClaimResponse", calls, {"request": f"Claim/{claim_id}"})

        def wanted(response: Resource) -> bool:
            return replies.answers_claim(response, claim_id, self._server.base_url)

        return replies.oldest_first(replies.matches(SEARCH_RESPONSE, bundle, "ClaimResponse", wanted))
