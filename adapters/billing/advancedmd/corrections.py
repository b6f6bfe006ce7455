"""savecharges voids every charge of a visit: when that is safe, and which charges are a submission's (section 6.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.billing.advancedmd import actions, errors, replies, requests
from adapters.billing.advancedmd.replies import Charge
from adapters.billing.advancedmd.service import Calls
from gateway.canonical.errors import ClaimRejected, ErrorCode

_BY_HAND = "Correct the charges in AdvancedMD by hand."


def of_submission(document: Mapping[str, Any], charges: Sequence[Charge]) -> list[Charge]:
    """The charges that a submission posted on its own visit: for a replacement those that were not there before."""
    before = _posted_before(document.get("replaces"))
    return [charge for charge in charges if charge.charge_id not in before]


async def refuse_unsafe(calls: Calls, replaced: Mapping[str, str], charges: Sequence[Charge]) -> None:
    """Raise `ClaimRejected` unless the visit holds charges, and our own alone, unpaid and not yet billed.

    AdvancedMD makes the claim for the payer itself and its API has no member for a frequency code: charges that the
    payer has seen cannot be replaced this way.
    """
    before = _posted_before(replaced)
    standing = [charge for charge in charges if not charge.voided]
    if not standing:
        raise refusal("The charges of the claim on file are not in the patient's ledger, or were voided there")
    if any(charge.charge_id not in before for charge in standing):
        raise refusal("The visit holds charges that the gateway did not post, and a correction would void them")
    for charge in standing:
        details = replies.charges(await calls.call(requests.charge(charge.charge_id)))
        if charge.paid or any(detail.paid for detail in details):
            raise refusal("Payments are posted for the claim on file, and a correction would void their charges")
        if not details or any(detail.billed for detail in details):
            raise refusal("The claim on file has been billed, and AdvancedMD's API cannot send a corrected claim")


def refusal(message: str) -> ClaimRejected:
    """Why a claim on file is left as it is."""
    return errors.refused(actions.SAVE_CHARGES, ErrorCode.UNSUPPORTED, "Claim.related", message, _BY_HAND)


def _posted_before(replaced: Mapping[str, str] | None) -> set[str]:
    return set(replaced["charges"].split(",")) if replaced else set()
