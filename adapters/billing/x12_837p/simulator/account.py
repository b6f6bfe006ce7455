"""What the clearinghouse holds: claims with their states, the control numbers it has seen, and what it has to tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from adapters.billing.x12_837p.simulator.claims import Claim
from adapters.billing.x12_837p.simulator.edits import RECEIVED, Status, edits

DEFAULT_CREDENTIALS = {
    "submitter_id": "GWSUBMIT",
    "receiver_id": "CLRHOUSE",
    "user": "clinic",
    "password": "pw-demo-sftp",
    "stedi_api_key": "key-demo-stedi",
    "optum_client_id": "client-demo-optum",
    "optum_client_secret": "secret-demo-optum",
    "claim_md_account_key": "key-demo-claimmd",
}
DEFAULT_PAYERS = ({"payer_id": "60054", "name": "Sample Health Plan"}, {"payer_id": "00621", "name": "Medicare Part B"})
DEFAULT_DIRECTORY: dict[str, Any] = {"payers": list(DEFAULT_PAYERS)}
"""The payers that claims can be sent to, all made up."""

ACCEPTED, NOT_FOUND = Status("A2", "20", "PR"), Status("A7", "33", "IL")
"""What a payer says by default."""


@dataclass(eq=False, slots=True)
class Entry:
    """A claim that came in. `state` is received, accepted or rejected; `channel` is sftp, stedi, optum or claim_md."""

    claim: Claim
    vendor_id: str
    channel: str
    batch: str
    state: str
    statuses: list[Status]
    payer_control: str = ""
    replaced_by: str = ""
    saved: bool = True


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell the submitter; `number` counts from 1, `level` is clearinghouse or payer."""

    number: int
    told: datetime
    level: str
    entry: Entry
    statuses: tuple[Status, ...]


@dataclass
class Account:
    """One submitter's account. While `swallow` is set, nobody is told what became of a claim."""

    directory: Mapping[str, Any]
    credentials: Mapping[str, str]
    now: Callable[[], datetime]
    entries: list[Entry] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    interchanges: set[tuple[str, str, str]] = field(default_factory=set)
    files: list[dict[str, str]] = field(default_factory=list)
    on_file: set[str] = field(default_factory=set)
    swallow: bool = False
    swallowed: int = 0

    def __post_init__(self) -> None:
        self.payers = {str(payer["payer_id"]): str(payer["name"]) for payer in self.directory["payers"]}
        self.on_file |= set(self.directory.get("claims_on_file", ()))

    def receive(self, claims: Iterable[Claim], channel: str, batch: str) -> list[Event]:
        """Edit claims and keep those that pass; gives one event a claim."""
        return [self._one(claim, channel, batch) for claim in claims]

    def _one(self, claim: Claim, channel: str, batch: str) -> Event:
        found = edits(claim, self.payers.keys(), self.on_file)
        entry = Entry(claim, f"CH{len(self.entries) + 1:07}", channel, batch, "received", found or [RECEIVED])
        if found:
            entry.state, entry.saved = "rejected", False
        elif claim.frequency in ("7", "8"):
            self._correct(entry)
        self.entries.append(entry)
        return self._tell("clearinghouse", entry)

    def _correct(self, correction: Entry) -> None:
        """The earlier claims stay in the ledger and name what took their place."""
        for entry in self.entries:
            if entry.payer_control == correction.claim.prior_control and not entry.replaced_by:
                entry.replaced_by = correction.vendor_id

    def decide(self, entry: Entry, statuses: list[Status]) -> Event:
        """What the payer says; a claim that it takes gets a payer claim control number."""
        entry.statuses = statuses
        entry.state = "rejected" if any(status.rejects for status in statuses) else "accepted"
        if entry.state == "accepted" and not entry.payer_control:
            entry.payer_control = f"PCN{88001 + len(self.on_file)}"
            self.on_file.add(entry.payer_control)
        return self._tell("payer", entry)

    def _tell(self, level: str, entry: Entry) -> Event:
        event = Event(len(self.events) + 1, self.now(), level, entry, tuple(entry.statuses))
        if self.swallow:
            self.swallowed += 1
        else:
            self.events.append(event)
        return event

    def undecided(self, account_number: str | None) -> list[Entry]:
        """Claims on which no payer has spoken, all or one patient control number's."""
        waiting = [entry for entry in self.entries if entry.saved and entry.state == "received"]
        return [entry for entry in waiting if account_number in (None, entry.claim.account)]

    def is_new(self, parties: tuple[str, str], control_number: str) -> bool:
        """Whether the interchange was never seen; it counts as seen from now on."""
        key = (*parties, control_number)
        known = key in self.interchanges
        self.interchanges.add(key)
        return not known
