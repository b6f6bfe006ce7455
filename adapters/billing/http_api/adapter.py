"""The adapter for any billing system with an API that a YAML description tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adapters.billing.http_api.payload import build
from adapters.billing.http_api.replies import Answers, Standing
from adapters.billing.http_api.requests import fill, parse_request
from adapters.billing.http_api.scrubbing import scrubbed
from adapters.billing.http_api.service import SUBMIT, ApiService
from adapters.billing.http_api.settings import HttpApiSettings
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    UnsupportedOperation,
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

PROBE_ID = "GATEWAY-CHECK"
_SECRETS = ("api_key", "user", "password", "client_id", "client_secret", "key_id", "signing_key")
_REMEDIES: Mapping[type[AdapterError], str] = {
    CredentialsRejected: "Check the connection's secrets, and `auth` in the description.",
    PermissionMissing: "Ask the billing system for the missing permission, or correct `auth.scope`.",
}


class HttpApi(BillingBase):
    """One clinic's link to a described system; implements `gateway.ports.billing.BillingAdapter`."""

    vendor = "HTTP API"

    def __init__(self, settings: HttpApiSettings, context: AdapterContext) -> None:
        self._settings, self._context = settings, context
        self._description = settings.description
        self._service = ApiService(settings, context)
        self._answers = Answers(self._description)
        if self._description.idempotency:
            self.repeatable_seconds = self._description.idempotency.hours * 3600

    def build(self, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        """See `payload.build`."""
        return build(claim, submission_id, prior, self._description, self._context.clinic.timezone)

    async def submit(self, payload: VendorPayload) -> SubmissionReceipt:
        """One request: the only call whose loss leaves the outcome unknown."""
        headers = {"Content-Type": payload.content_type}
        if self._description.idempotency:
            headers[self._description.idempotency.header] = payload.submission_id
        fields = payload.fields
        answer = await self._service.call(SUBMIT, fields["method"], fields["path"], payload.body, headers)
        standing = self._answers.created(answer.status, answer.body, answer.retry_after)
        return self._receipt(payload.submission_id, standing, standing.vendor_ids, answer.calls)

    async def find_submission(self, submission_id: str, payload: VendorPayload) -> SubmissionReceipt | None:
        """Search as the description says; of several claims the first counts and the others are named."""
        find = self._description.find
        if find is None:
            raise self._undescribed("find_submission", "find")
        ids = {"submission_id": submission_id, "account_number": payload.fields.get("account_number", "")}
        answer = await self._service.call("find", "GET", fill(parse_request(find.request), ids))
        found = self._answers.found(answer.status, answer.body, answer.retry_after, find, submission_id)
        if not found:
            return None
        first, *others = found
        needed = next(iter(first.vendor_ids))
        vendor_ids = dict(first.vendor_ids)
        if others:
            vendor_ids["duplicates"] = ",".join(other.vendor_ids[needed] for other in others)
        return self._receipt(submission_id, first, vendor_ids, answer.calls)

    async def fetch_outcome(self, receipt: SubmissionReceipt) -> ClaimOutcome:
        """Ask for the claim by the vendor's id."""
        outcome = self._description.outcome
        if outcome is None:
            raise self._undescribed("fetch_outcome", "outcome")
        request = parse_request(outcome.request)
        ids = {**receipt.vendor_ids, "submission_id": receipt.submission_id}
        missing = [name for name in request.placeholders if not ids.get(name)]
        if missing:
            text = f"the receipt has no {missing[0]} of the billing system"
            raise ClaimRejected(self._description.vendor, "outcome", text, code=ErrorCode.NOT_FOUND)
        answer = await self._service.call("outcome", "GET", fill(request, ids))
        standing = self._answers.outcome(answer.status, answer.body, answer.retry_after)
        fresh = {name: value for name, value in standing.vendor_ids.items() if receipt.vendor_ids.get(name) != value}
        evidence = self._evidence(standing, {**receipt.vendor_ids, **standing.vendor_ids})
        return ClaimOutcome(receipt.submission_id, evidence, standing.findings, vendor_ids=fresh)

    def scrub(self, text: str) -> str:
        """See `scrubbing.scrubbed`."""
        return scrubbed(text, (self._settings.secret(name) for name in _SECRETS))

    async def probe(self) -> list[Probe]:
        """Ask what the description's `probe` says, and search for a submission that is not there."""
        vendor = self._description.vendor
        asked: list[Probe] = []
        try:
            await self._ask_harmlessly(asked)
        except AdapterError as problem:
            remedy = _REMEDIES.get(type(problem), "Check base_url, the description and the network, then try again.")
            return [*asked, Probe(f"call {vendor}: {problem.operation}", False, problem.text, remedy)]
        if not asked:
            remedy = "Add `probe` or `find` to the description."
            asked.append(Probe(f"call {vendor}", False, "the description names no harmless request", remedy))
        fields = len(self._description.plan.leaves)
        return [*asked, Probe(f"description of {vendor}", True, f"{fields} fields mapped")]

    async def aclose(self) -> None:
        """Close the network client."""
        await self._service.aclose()

    async def _ask_harmlessly(self, asked: list[Probe]) -> None:
        probe, find = self._description.probe, self._description.find
        if probe is not None:
            answer = await self._service.call("probe", "GET", parse_request(probe.request).path)
            self._answers.checked(answer.status, answer.body, answer.retry_after)
            asked.append(Probe(f"call {self._description.vendor}", True))
        if find is not None:
            ids = {"submission_id": PROBE_ID, "account_number": PROBE_ID}
            answer = await self._service.call("find", "GET", fill(parse_request(find.request), ids))
            self._answers.found(answer.status, answer.body, answer.retry_after, find, PROBE_ID)
            asked.append(Probe(f"search at {self._description.vendor}", True))

    def _receipt(
        self, submission_id: str, standing: Standing, vendor_ids: Mapping[str, str], calls: int
    ) -> SubmissionReceipt:
        """What a rejected claim that was found proves is its receipt; the outcome tells of the rejection."""
        evidence = self._evidence(standing, vendor_ids)
        if evidence.state is SubmissionState.REJECTED:
            evidence = replace(evidence, state=SubmissionState.RECEIVED)
        return SubmissionReceipt(submission_id, evidence, vendor_ids, calls)

    def _evidence(self, standing: Standing, vendor_ids: Mapping[str, str]) -> Evidence:
        named = [f"{name} {value}" for name, value in vendor_ids.items() if name in self._description.reply.ids]
        reference = ", ".join([*named[:1], *([f"state {standing.word}"] if standing.word else [])])
        return Evidence(standing.state, reference or "answer of the billing system", self._context.now())

    def _undescribed(self, verb: str, key: str) -> UnsupportedOperation:
        text = f"the description has no `{key}`; add it, or settle this claim in the billing system by hand"
        return UnsupportedOperation(self._description.vendor, verb, text)
