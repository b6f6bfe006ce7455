"""What comes back, read by its content and never by its name: X12, Stedi's reports, Claim.MD's responses. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from adapters.billing.x12_837p import json_replies
from adapters.billing.x12_837p.acknowledgments import interchange_outcomes, syntax_outcomes
from adapters.billing.x12_837p.errors import VENDOR
from adapters.billing.x12_837p.statuses import status_outcomes
from gateway.canonical import jsonio
from gateway.canonical.errors import UnexpectedResponse
from gateway.canonical.models import ClaimOutcome
from gateway.kit.encoders.x12 import Interchange, NotX12, Segment, interchanges

SYNTAX, STATUS, REMITTANCE = "999", "277", "835"


def parse(message: bytes, seen_at: datetime) -> list[ClaimOutcome]:
    """The outcomes of a message. An 835 is known and gives none: remittances are read by a later release.

    Raises `UnexpectedResponse` for what is neither X12 nor a known report, and for a file that is cut off.
    """
    if message.lstrip()[:1] in (b"{", b"["):
        try:
            return json_replies.outcomes(jsonio.loads(message), seen_at)
        except jsonio.NotJson as problem:
            raise _unreadable(f"the message is {problem}") from None
    try:
        found = interchanges(message)
    except NotX12:
        raise _unreadable("the message is neither X12 nor a report that the gateway knows") from None
    whole = [interchange for interchange in found if interchange.complete]
    if not whole:
        raise _unreadable("the interchange is cut off")
    return [outcome for interchange in whole for outcome in _outcomes(interchange, seen_at)]


def is_complete(message: bytes) -> bool:
    """Whether a file holds interchanges only up to their ends: one that is still being written does not."""
    try:
        return all(interchange.complete for interchange in interchanges(message))
    except NotX12:
        return False


def _outcomes(interchange: Interchange, seen_at: datetime) -> Iterator[ClaimOutcome]:
    yield from interchange_outcomes(interchange, seen_at)
    for _, segments in interchange.transactions():
        yield from _of_transaction(interchange, segments, seen_at)


def _of_transaction(interchange: Interchange, segments: list[Segment], seen_at: datetime) -> Iterator[ClaimOutcome]:
    match segments[0][1:2]:
        case (name,) if name == SYNTAX:
            yield from syntax_outcomes(interchange, segments, seen_at)
        case (name,) if name == STATUS:
            yield from status_outcomes(interchange, segments, seen_at)
        case (name,) if name == REMITTANCE:
            return
        case _:
            raise _unreadable("the interchange holds a transaction set that the gateway does not read")


def _unreadable(text: str) -> UnexpectedResponse:
    return UnexpectedResponse(VENDOR, "parse_outcome", text)
