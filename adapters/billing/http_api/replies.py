"""Reading a vendor's answers as a description tells: ids, states, errors. Pure; no vendor text is passed on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.billing.http_api.description import Description, Find, ReplyPart
from adapters.billing.http_api.documents import Format, NotReadable, at, entries_of, holds, read, text_of
from adapters.billing.http_api.errors import SENTENCES, WRONG_ADDRESS, class_of
from adapters.billing.http_api.fields import element_of
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    ErrorCode,
    OutcomeUnknown,
    RateLimited,
    UnexpectedResponse,
)
from gateway.canonical.findings import Finding, Severity
from gateway.canonical.models import SubmissionState

MAX_ID_LENGTH = 200
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
_RANKS = (SubmissionState.SENT, SubmissionState.RECEIVED, SubmissionState.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Standing:
    """What an answer says about one claim; `word` is the vendor's own word when the description knows it."""

    vendor_ids: Mapping[str, str]
    state: SubmissionState
    word: str
    findings: tuple[Finding, ...]


class Answers:
    """The answers of one described vendor."""

    def __init__(self, description: Description) -> None:
        self._description, self._reply = description, description.reply
        self._vendor = description.vendor

    def created(self, status: int, body: bytes, retry_after: float | None) -> Standing:
        """The answer to the request that creates a claim; raises the `AdapterError` that it means."""
        document = self._document(body)
        self._refuse(status, "submit", document, retry_after, creates=True)
        findings = self._findings(document, self._reply.errors)
        standing = self._standing(document, ReplyPart()) if document is not None else None
        if standing is None or not standing.vendor_ids:
            if findings:
                raise self._rejected("submit", document)
            text = "the answer is not one that the description tells of"
            raise OutcomeUnknown(self._vendor, "submit", text, code=ErrorCode.UNEXPECTED_RESPONSE)
        if standing.state is SubmissionState.REJECTED:
            raise self._rejected("submit", document)
        return standing

    def found(
        self, status: int, body: bytes, retry_after: float | None, find: Find, submission_id: str
    ) -> list[Standing]:
        """The claims of a search that hold the submission id, in the vendor's order."""
        document = self._document(body)
        if status == find.none_status:
            return []
        self._refuse(status, "find", document, retry_after)
        if document is None:
            raise self._unreadable("find")
        # A wrong path must not look like an empty search: the claim would be sent a second time.
        if not holds(document, find.claims) and not find.none_when_missing:
            raise UnexpectedResponse(self._vendor, "find", "the answer has no list of claims; correct `find.claims`")
        listed = entries_of(at(document, find.claims))
        if listed and not any(holds(claim, find.match) for claim in listed):
            text = "no claim of the answer holds the submission's id; correct `find.match`"
            raise UnexpectedResponse(self._vendor, "find", text)
        claims = (claim for claim in listed if text_of(at(claim, find.match)) == submission_id)
        standings = [self._standing(claim, find) for claim in claims]
        if any(not standing.vendor_ids for standing in standings):
            raise UnexpectedResponse(self._vendor, "find", "a claim that was found has no id")
        return standings

    def outcome(self, status: int, body: bytes, retry_after: float | None) -> Standing:
        """What became of a claim."""
        part = self._description.outcome
        assert part is not None
        document = self._document(body)
        if status == 404:
            text = "the billing system no longer has the claim"
            raise ClaimRejected(self._vendor, "outcome", text, code=ErrorCode.NOT_FOUND)
        self._refuse(status, "outcome", document, retry_after)
        if document is None:
            raise self._unreadable("outcome")
        return self._standing(document, part)

    def checked(self, status: int, body: bytes, retry_after: float | None) -> None:
        """The answer to a probe: only its status counts."""
        self._refuse(status, "probe", None, retry_after)

    def _document(self, body: bytes) -> Any:
        try:
            return read(body, Format(self._reply.format))
        except NotReadable:
            return None

    def _unreadable(self, operation: str) -> UnexpectedResponse:
        return UnexpectedResponse(self._vendor, operation, "the answer is not in the format that the description names")

    def _refuse(
        self, status: int, operation: str, document: Any, retry_after: float | None, *, creates: bool = False
    ) -> None:
        words = self._description.statuses
        error = class_of(status, creates=creates, retry_after=retry_after is not None, words=words)
        if error is None:
            return
        findings = self._findings(document, self._reply.errors)
        if error is ClaimRejected and creates:
            if not findings and status in WRONG_ADDRESS and status not in words:
                text = f"HTTP {status}: the request's address or form is wrong; correct the description"
                raise UnexpectedResponse(self._vendor, operation, text)
            raise self._rejected(operation, document)
        text = f"{SENTENCES[error]} (HTTP {status})"
        wait = retry_after if error is RateLimited else None
        raise error(self._vendor, operation, text, retry_after=wait, vendor_code=self._first_code(document))

    def _rejected(self, operation: str, document: Any) -> AdapterError:
        codes = list(self._codes(document, self._reply.errors))
        known = (self._description.error_codes.get(code) for code in codes)
        meaning = next((word.error for word in known if word), ErrorCode.OTHER)
        return ClaimRejected(
            self._vendor,
            operation,
            SENTENCES[ClaimRejected],
            code=meaning,
            vendor_code=",".join(dict.fromkeys(codes)) or None,
            findings=self._findings(document, self._reply.errors),
        )

    def _first_code(self, document: Any) -> str | None:
        return next(self._codes(document, self._reply.errors), None)

    def _standing(self, claim: Any, part: ReplyPart) -> Standing:
        ids = {name: text_of(at(claim, path)) for name, path in (part.ids or self._reply.ids).items()}
        needed = next(iter(part.ids or self._reply.ids))
        kept = {name: value for name, value in ids.items() if 0 < len(value) <= MAX_ID_LENGTH}
        vendor_ids = kept if needed in kept else {}
        word = text_of(at(claim, part.state or self._reply.state)) if part.state or self._reply.state else ""
        meaning = self._description.states.get(word)
        state = SubmissionState(meaning) if meaning else SubmissionState.RECEIVED
        if state is SubmissionState.SENT:  # the vendor's own id is proof enough that it holds the claim
            state = SubmissionState.RECEIVED
        findings = self._findings(claim, part.errors or self._reply.errors, rejected=state is SubmissionState.REJECTED)
        if state is SubmissionState.REJECTED and not findings:
            findings = (self._finding("rejected", "", Severity.ERROR),)
        return Standing(vendor_ids, state, word if meaning else "", findings)

    def _errors(self, document: Any, path: str) -> list[Any]:
        return entries_of(at(document, path)) if path and document is not None else []

    def _codes(self, document: Any, path: str) -> Iterator[str]:
        for entry in self._errors(document, path):
            code = text_of(at(entry, self._reply.code))
            if _CODE.fullmatch(code):
                yield code

    def _findings(self, document: Any, path: str, *, rejected: bool = True) -> tuple[Finding, ...]:
        severity = Severity.ERROR if rejected else Severity.WARNING
        found = []
        for entry in self._errors(document, path):
            code = text_of(at(entry, self._reply.code))
            field = text_of(at(entry, self._reply.field))
            found.append(self._finding(code if _CODE.fullmatch(code) else "unknown", field, severity))
        return tuple(dict.fromkeys(found))

    def _finding(self, code: str, field: str, severity: Severity) -> Finding:
        word = self._description.error_codes.get(code)
        element = (
            element_of(field, self._description.plan.leaves, self._reply.counts_from)
            or (word.element if word else "")
            or "Claim"
        )
        message = (
            word.message if word else f"{self._vendor} refused this for a reason that the description does not know"
        )
        fix = word.fix if word else f"Look the claim up in {self._vendor}, and add the code to error_codes."
        return Finding(f"{_slug(self._vendor)}-{code}", severity, element, message, fix)


def _slug(vendor: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", vendor.lower()).strip("-")


__all__ = ["Answers", "Standing"]
