"""From a file of claims to the files that answer it: TA1, 999 and the clearinghouse's 277CA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count, groupby

from adapters.billing.x12_837p.simulator.account import Account, Event
from adapters.billing.x12_837p.simulator.acknowledgments import (
    FUNCTIONAL,
    Judged,
    functional_acknowledgment,
    interchange_acknowledgment,
)
from adapters.billing.x12_837p.simulator.claims import claims_of
from adapters.billing.x12_837p.simulator.envelope import (
    Delimiters,
    Group,
    Interchange,
    Segment,
    Transaction,
    read_interchanges,
)
from adapters.billing.x12_837p.simulator.guide import PROFESSIONAL_CLAIM
from adapters.billing.x12_837p.simulator.situations import situation_errors
from adapters.billing.x12_837p.simulator.statuses import STATUS, status_report
from adapters.billing.x12_837p.simulator.walking import Loop, Walker
from adapters.billing.x12_837p.simulator.writing import ReplyForm, Row, interchange, transaction

VERSION = "005010X222A1"


@dataclass(frozen=True, slots=True)
class Answer:
    """A file for the submitter; `kind` is ta1, 999 or 277ca."""

    kind: str
    text: str


@dataclass
class Intake:
    """The clearinghouse's EDI desk. `form` is how it writes 277CAs, `acknowledgments` how it writes TA1 and 999."""

    account: Account
    form: ReplyForm = field(default_factory=ReplyForm)
    acknowledgments: ReplyForm = field(default_factory=lambda: ReplyForm(Delimiters()))
    patient_children: bool = False

    def __post_init__(self) -> None:
        self._numbers = count(500001)

    def take(self, text: str, channel: str = "sftp") -> tuple[list[Answer], list[Event]]:
        """Read a file; what is not X12 at all has no answer."""
        answers: list[Answer] = []
        events: list[Event] = []
        for received in read_interchanges(text):
            some_answers, some_events = self._interchange(received, channel)
            answers += some_answers
            events += some_events
        return answers, events

    def _interchange(self, received: Interchange, channel: str) -> tuple[list[Answer], list[Event]]:
        if received.problem == "000":
            received.problem = self._refusal(received, channel)
        answers = []
        if received.problem != "000" or received.header[14] == "1":
            rows = interchange_acknowledgment(received)
            answers.append(Answer("ta1", self._written(rows, self.acknowledgments, received)))
        if received.problem != "000":
            return answers, []
        events: list[Event] = []
        for group in received.groups:
            some_answers, some_events = self._group(received, group, channel)
            answers += some_answers
            events += some_events
        return answers, events

    def _refusal(self, received: Interchange, channel: str) -> str:
        """Claim.MD knows the sender by its key, and looks at no control number."""
        credentials = self.account.credentials
        if channel == "claim_md":
            return "000" if received.parties[1] == "CLAIMMD" else "009"
        sender, receiver = received.parties
        if sender != credentials["submitter_id"]:
            return "006"
        if receiver != credentials["receiver_id"]:
            return "009"
        return "000" if self.account.is_new(received.parties, received.control_number) else "025"

    def _group(self, received: Interchange, group: Group, channel: str) -> tuple[list[Answer], list[Event]]:
        if (group.header[1], group.header[8]) != ("HC", VERSION):
            group.problems.insert(0, "1" if group.header[1] != "HC" else "2")
        checked = [_checked(each, received.delimiters) for each in group.transactions]
        rows = transaction("999", FUNCTIONAL[1], functional_acknowledgment(group, [judged for judged, _ in checked]))
        answers = [Answer("999", self._written(rows, self.acknowledgments, received, FUNCTIONAL))]
        events: list[Event] = []
        for judged, root in checked:
            if group.problems or not judged.accepted:
                continue
            batch, submitter = root.segment("BHT")[3], root.first("1000A").segment("NM1")
            some = self.account.receive(claims_of(root, received.delimiters), channel, batch)
            events += some
            answers += self.reports(some, (submitter[3], submitter[9]), received)
        return answers, events

    def reports(
        self, events: Sequence[Event], submitter: tuple[str, str], received: Interchange | None = None
    ) -> list[Answer]:
        """One 277CA of these events, an interchange of its own; none while they are swallowed.

        `submitter` is name and id; without the interchange that it answers it goes to the account's own ids.
        """
        if self.account.swallow:
            return []
        number = next(self._numbers)
        rows = status_report(
            events,
            submitter=submitter,
            clearinghouse_id=self.account.credentials["receiver_id"],
            reference=f"277X{number}",
            moment=self.account.now(),
            patient_children=self.patient_children,
        )
        header = received or self._account_header()
        text = self._written(transaction("277", STATUS[1], rows), self.form, header, STATUS, number)
        return [Answer("277ca", text)]

    def payer_reports(self, events: Sequence[Event]) -> list[Answer]:
        """The 277CAs of payers: one for each payer and batch."""
        submitter = ("SUBMITTER", self.account.credentials["submitter_id"])
        ordered = sorted(events, key=_payer_and_batch)
        groups = [list(group) for _, group in groupby(ordered, _payer_and_batch)]
        return [answer for group in groups for answer in self.reports(group, submitter)]

    def _account_header(self) -> Interchange:
        """The parties of an interchange of this account, to answer to."""
        ids = self.account.credentials
        elements = [""] * 16
        elements[4:8] = "ZZ", ids["submitter_id"], "ZZ", ids["receiver_id"]
        return Interchange(Segment("ISA", tuple(elements)), Delimiters())

    def _written(
        self,
        rows: Sequence[Row],
        form: ReplyForm,
        received: Interchange,
        group: tuple[str, str] | None = None,
        number: int | None = None,
    ) -> str:
        """An answer to an interchange, from its receiver to its sender."""
        header = received.header
        return interchange(
            rows,
            form=form,
            sender=(header[7], header[8].strip()),
            receiver=(header[5], header[6].strip()),
            number=number or next(self._numbers),
            moment=self.account.now(),
            group=group,
            usage=header[15] if header[15] in ("P", "T") else "P",
        )


def _checked(received: Transaction, delimiters: Delimiters) -> tuple[Judged, Loop]:
    walker = Walker(PROFESSIONAL_CLAIM, delimiters)
    walker.walk(received)
    errors = walker.errors or situation_errors(walker.root, delimiters)
    return Judged(received, tuple(errors)), walker.root


def _payer_and_batch(event: Event) -> tuple[str, str]:
    return event.entry.claim.payer_id, event.entry.batch
