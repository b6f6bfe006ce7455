"""A void: the encounter on file is set to Rejected while the biller has not approved it (section 7).

Tebra cannot delete an encounter, and an approved one is being billed: only a person can take that back. Setting the
status is repeatable, and it is read before and after, so that a void is never in doubt for long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.billing.kareo_tebra import errors, operations, replies, requests
from adapters.billing.kareo_tebra.errors import VENDOR
from adapters.billing.kareo_tebra.outcomes import REFUSED_BY_BILLER, UNBILLED, Standing, encounter_word
from adapters.billing.kareo_tebra.service import Session
from gateway.canonical.errors import ClaimRejected, ErrorCode
from gateway.canonical.findings import error
from gateway.canonical.models import SubmissionState
from gateway.kit.encoders import soap

VOIDED = "VoidedEncounterIDs"
"""Key of a void's `vendor_ids`: the encounters that were set to Rejected, separated by commas."""

_BY_HAND = "Void the claim in Tebra by hand."


async def read_encounter(session: Session, practice_name: str, encounter_id: str) -> Mapping[str, str]:
    """The row of GetEncounterDetails; raises `ClaimRejected` when Tebra has no such encounter."""
    details = requests.encounter_details(encounter_id, practice_name)
    encounter = replies.encounter_row(await session.call(operations.GET_ENCOUNTER_DETAILS, details))
    if encounter is None:
        text = "Tebra no longer has the encounter"
        raise ClaimRejected(VENDOR, operations.GET_ENCOUNTER_DETAILS, text, code=ErrorCode.NOT_FOUND)
    return encounter


async def set_aside(session: Session, practice_name: str, encounter_ids: Sequence[str]) -> None:
    """Set all encounters of a claim to Rejected; none of them is touched when one is approved already."""
    open_ = []
    for encounter_id in encounter_ids:
        word = encounter_word(await read_encounter(session, practice_name, encounter_id))
        if word in UNBILLED:
            open_.append(encounter_id)
        elif word not in REFUSED_BY_BILLER:
            raise _billed()
    for encounter_id in open_:
        contract = requests.reject_encounter(encounter_id, practice_name)
        result = await session.call(operations.UPDATE_ENCOUNTER_STATUS, contract)
        if soap.text(result, "EncounterID") != encounter_id:
            raise errors.unreadable(operations.UPDATE_ENCOUNTER_STATUS)


async def standing(session: Session, practice_name: str, encounter_ids: Sequence[str]) -> Standing:
    """Whether the voided encounters are out of billing: accepted when all are, rejected when one is billed."""
    words = {
        encounter_id: encounter_word(await read_encounter(session, practice_name, encounter_id))
        for encounter_id in encounter_ids
    }
    reference = ", ".join(f"EncounterID {encounter_id} {word}".strip() for encounter_id, word in words.items())
    if REFUSED_BY_BILLER.issuperset(words.values()):
        return Standing(SubmissionState.ACCEPTED, reference)
    if (REFUSED_BY_BILLER | UNBILLED).issuperset(words.values()):
        return Standing(SubmissionState.RECEIVED, reference)
    return Standing(SubmissionState.REJECTED, reference, _billed().findings)


def _billed() -> ClaimRejected:
    text = "The encounter is approved in Tebra: its billing has begun"
    finding = error("tebra-approved", "Claim.related", text, _BY_HAND)
    return ClaimRejected(VENDOR, operations.UPDATE_ENCOUNTER_STATUS, text, findings=(finding,))
