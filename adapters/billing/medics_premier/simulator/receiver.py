"""The receiver: what it checks in a message, what it keeps, and what it answers (vendor document sections 4.2-4.5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.billing.medics_premier.simulator.directory import PAYMENT_CODE, Directory
from adapters.billing.medics_premier.simulator.syntax import Part, Problem, acknowledgment

VERSIONS = frozenset({"2.3", "2.3.1", "2.4", "2.5", "2.5.1"})
EVENTS = {"ADT": ("A04", "A08"), "DFT": ("P03", "P11")}
_ADDRESSES = (
    (3, "sending_application"),
    (4, "sending_facility"),
    (5, "receiving_application"),
    (6, "receiving_facility"),
)
_REQUIRED = {
    "EVN": (2,),
    "PID": (3, 5),
    "PV1": (2,),
    "FT1": (4, 6, 7),
    "DG1": (1, 6),
    "GT1": (1, 3),
    "IN1": (1, 2, 3),
}
_DATE = re.compile(r"\d{8}(\d{4,6})?([+-]\d{4})?")
_MODIFIER = re.compile(r"[0-9A-Z]{2}")
_DIAGNOSIS = re.compile(r"[A-Z]\d[0-9A-Z]\.?[0-9A-Z]{0,4}")

Message = list[Part]


@dataclass
class Claim:
    """A visit's charges. `state` is pending until somebody releases the queue, then posted."""

    vendor_id: str
    submission_id: str
    mrn: str
    lines: list[dict[str, Any]]
    segments: list[str]
    state: str = "pending"


@dataclass
class Receiver:
    """The interface of one practice. `refuse_duplicates` answers a known FT1-2 with AE 205 instead of ignoring it."""

    directory: Directory
    credentials: dict[str, str]
    patients: dict[str, dict[str, str]] = field(default_factory=dict)
    queue: list[dict[str, Any]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)
    ignored_duplicates: int = 0
    refuse_duplicates: bool = False
    _known: set[str] = field(default_factory=set)
    _answers: int = 0

    def take(self, message: Message) -> str:
        """Check a message, keep what it says, and answer it."""
        problems = list(self._header_problems(message[0]))
        if problems:
            return self.answer(message[0], "AR", problems)
        problems = list(self._content_problems(message))
        if problems:
            return self.answer(message[0], "AE", problems)
        self._save(message)
        return self.answer(message[0], "AA")

    def answer(self, header: Part, code: str, problems: list[Problem] | None = None, control_id: str = "") -> str:
        """An acknowledgment; in commit mode (MSH-15 AL, MSH-16 NE) with CA, CE, CR."""
        self._answers += 1
        if header.get(15) == "AL" and header.get(16) == "NE":
            code = code.replace("A", "C", 1)
        when = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
        return acknowledgment(header, code, problems or [], self._answers, when=when, control_id=control_id)

    def refuse_sender(self, header: Part) -> str:
        """AR: the sending application is not registered."""
        return self.answer(header, "AR", [Problem("MSH", 1, 3, "204", "sender not registered")])

    def register(self, mrn: str, patient: dict[str, str]) -> None:
        """Put a patient on file."""
        self.patients[mrn] = patient

    def _header_problems(self, header: Part) -> Iterator[Problem]:
        for number, name in _ADDRESSES:
            if header.get(number) != self.credentials[name]:
                yield Problem("MSH", 1, number, "204", f"{header.get(number)} not registered")
        if header.get(9) not in EVENTS:
            yield Problem("MSH", 1, 9, "200")
        elif header.get(9, 2) not in EVENTS[header.get(9)]:
            yield Problem("MSH", 1, 9, "201")
        if header.get(11) not in ("P", "T", "D"):
            yield Problem("MSH", 1, 11, "202")
        if header.get(12) not in VERSIONS:
            yield Problem("MSH", 1, 12, "203")

    def _content_problems(self, message: Message) -> Iterator[Problem]:
        if not 0 < len(message[0].get(10)) <= 20:
            yield Problem("MSH", 1, 10, "101" if not message[0].get(10) else "102")
        yield from _missing(message)
        is_charge = message[0].get(9) == "DFT"
        counts: dict[str, int] = {}
        for part in message:
            counts[part.name] = counts.get(part.name, 0) + 1
            yield from self._segment_problems(part, counts[part.name], is_charge)
        known = [part.get(2) in self._known for part in message if part.name == "FT1"]
        if known and all(known) and self.refuse_duplicates:
            yield Problem("FT1", 1, 2, "205", "transaction already on file")

    def _segment_problems(self, part: Part, number: int, is_charge: bool) -> Iterator[Problem]:
        if part.name == "PID" and is_charge and not self._knows_patient(part.get(3)):
            yield Problem("PID", 1, 3, "204", f"patient {part.get(5)}, {part.get(5, 2)} {part.get(3)} not on file")
        if part.name == "PV1":
            yield from self._visit_problems(part)
        if part.name == "IN1" and part.get(3) not in self.directory.companies:
            yield Problem("IN1", number, 3, "204", f"company {part.get(3)} not on file")
        if part.name == "DG1" and not _DIAGNOSIS.fullmatch(part.get(3)):
            yield Problem("DG1", number, 3, "103", part.get(3))
        if part.name == "FT1":
            yield from self._charge_problems(part, number)

    def _visit_problems(self, part: Part) -> Iterator[Problem]:
        if part.get(3) and part.get(3) not in self.directory.locations:
            yield Problem("PV1", 1, 3, "204", f"location {part.get(3)} not on file")
        if part.get(7) and part.get(7) not in self.directory.providers:
            yield Problem("PV1", 1, 7, "204", f"provider {part.get(7)} not on file")

    def _charge_problems(self, part: Part, number: int) -> Iterator[Problem]:
        if not all(_DATE.fullmatch(day) for day in filter(None, (part.get(4), part.get(4, 2)))):
            yield Problem("FT1", number, 4, "102", part.get(4))
        if part.get(6) == "PY":
            if part.get(7) != PAYMENT_CODE:
                yield Problem("FT1", number, 7, "103", part.get(7))
            return
        if part.get(6) != "CG":
            yield Problem("FT1", number, 6, "103", part.get(6))
        if part.get(7) not in self.directory.procedures:
            yield Problem("FT1", number, 7, "103", f"procedure {part.get(7)} not on file")
        if not all(_DIAGNOSIS.fullmatch(code) for code in part.repeats(19)):
            yield Problem("FT1", number, 19, "103")
        if part.get(20) not in self.directory.providers:
            yield Problem("FT1", number, 20, "204", f"provider {part.get(20)} not on file")
        if not all(_MODIFIER.fullmatch(code) for code in part.repeats(26)):
            yield Problem("FT1", number, 26, "103")

    def _knows_patient(self, mrn: str) -> bool:
        return mrn in self.patients or any(mrn == entry["patient"]["patient_number"] for entry in self.queue)

    def _save(self, message: Message) -> None:
        patient = next(part for part in message if part.name == "PID")
        mrn = patient.get(3)
        if message[0].get(9) == "ADT":
            self.register(mrn, {"family": patient.get(5), "given": patient.get(5, 2), "born": patient.get(7)})
            return
        charges = [part for part in message if part.name == "FT1"]
        fresh = [part for part in charges if part.get(2) not in self._known]
        self.ignored_duplicates += len(charges) - len(fresh)
        self._known |= {part.get(2) for part in fresh}
        if fresh:
            lines = [_line(part) for part in fresh]
            names = [part.name for part in message]
            self.claims.append(Claim(f"C{len(self.claims) + 1:06d}", fresh[0].get(3), mrn, lines, names))


def _missing(message: Message) -> Iterator[Problem]:
    present = {part.name for part in message}
    wanted = ("EVN", "PID", "PV1") + (("FT1", "DG1", "IN1") if message[0].get(9) == "DFT" else ())
    yield from (Problem(name, 1, 1, "101", "segment missing") for name in wanted if name not in present)
    counts: dict[str, int] = {}
    for part in message:
        counts[part.name] = counts.get(part.name, 0) + 1
        for number in _REQUIRED.get(part.name, ()):
            if not part.raw(number):
                yield Problem(part.name, counts[part.name], number, "101")


def _line(part: Part) -> dict[str, Any]:
    return {
        "transaction_id": part.get(2),
        "type": part.get(6),
        "code": part.get(7),
        "units": part.get(10),
        "amount": part.get(11),
        "modifiers": part.repeats(26),
        "diagnoses": part.repeats(19),
        "provider": part.get(20),
        "place_of_service": part.get(16, 9),
    }
