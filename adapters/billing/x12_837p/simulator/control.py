"""What the control routes show and change: the ledger, and the payers' decisions."""

from __future__ import annotations

from typing import Any

from adapters.billing.x12_837p.simulator.account import ACCEPTED, NOT_FOUND, Account, Entry, Event
from adapters.billing.x12_837p.simulator.edits import Status

Json = dict[str, Any]


class ControlRefused(ValueError):
    """A control request that the simulator cannot do; the text says why."""


def ledger(account: Account) -> Json:
    """Everything that came in, oldest first; amounts are strings.

    `claims` holds what passed the edits: one entry a claim, by the gateway's submission id; `rejected` the others.
    """
    return {
        "claims": [_entry(entry) for entry in account.entries if entry.saved],
        "rejected": [_entry(entry) for entry in account.entries if not entry.saved],
        "files": account.files,
        "interchanges": sorted(number for _, _, number in account.interchanges),
        "swallowed": account.swallowed,
    }


def _entry(entry: Entry) -> Json:
    claim = entry.claim
    return {
        "submission_id": claim.submission_id,
        "account_number": claim.account,
        "frequency": claim.frequency,
        "vendor_id": entry.vendor_id,
        "channel": entry.channel,
        "batch": entry.batch,
        "state": entry.state,
        "statuses": [":".join(status.parts()) for status in entry.statuses],
        "payer_control": entry.payer_control,
        "replaced_by": entry.replaced_by,
        "payer_id": claim.payer_id,
        "member_id": claim.member_id,
        "total": str(claim.total),
        "diagnoses": claim.diagnoses,
        "lines": [
            {"procedure": line.procedure, "charge": str(line.charge), "pointers": line.pointers, "day": line.first_day}
            for line in claim.lines
        ],
    }


def advance(account: Account, body: Json) -> list[Event]:
    """Payers decide on the claims that wait, or on one: {"payer": "accept" | "reject", "account"?, "statuses"?}.

    `account` is a patient control number; `statuses` are texts like "A7:33:IL". Without `payer` nothing moves.
    """
    verdict = body.get("payer")
    if verdict is None:
        return []
    if verdict not in ("accept", "reject"):
        raise ControlRefused("payer is accept or reject")
    waiting = account.undecided(body.get("account"))
    if "account" in body and not waiting:
        raise ControlRefused("no claim of this account waits for a payer")
    default = [ACCEPTED if verdict == "accept" else NOT_FOUND]
    statuses = [Status(*text.split(":")) for text in body.get("statuses", ())] or default
    if any(status.rejects for status in statuses) != (verdict == "reject"):
        raise ControlRefused("the statuses say the contrary of the verdict")
    return [account.decide(entry, statuses) for entry in waiting]
