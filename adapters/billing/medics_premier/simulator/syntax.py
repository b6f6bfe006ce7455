"""A lenient reader and a small writer of HL7 v2, of the simulator's own: it shares nothing with the sender."""

from __future__ import annotations

from dataclasses import dataclass

TEXTS = {
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 table 0357."""
_NAMED = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}


@dataclass(frozen=True)
class Part:
    """A segment: its name and its fields, MSH counted so that field 1 is the separator."""

    name: str
    fields: list[str]

    def raw(self, number: int) -> str:
        """A whole field as written."""
        return self.fields[number] if number < len(self.fields) else ""

    def get(self, number: int, component: int = 1, repetition: int = 0) -> str:
        """The plain text of a component."""
        pieces = self.raw(number).split("~")
        if repetition >= len(pieces):
            return ""
        components = pieces[repetition].split("^")
        return plain(components[component - 1]) if component <= len(components) else ""

    def repeats(self, number: int, component: int = 1) -> list[str]:
        """One component of every repetition; none when the field is empty."""
        return (
            [self.get(number, component, n) for n in range(len(self.raw(number).split("~")))]
            if self.raw(number)
            else []
        )


def read(text: str) -> list[list[Part]]:
    """The messages of a text; batch segments are skipped, lines before the first MSH too."""
    found: list[list[Part]] = []
    for line in text.replace("\n", "\r").split("\r"):
        if not line or line[:3] in ("FHS", "BHS", "BTS", "FTS"):
            continue
        fields = line.split("|")
        if fields[0] == "MSH":
            found.append([])
            fields.insert(1, "|")
        if found:
            found[-1].append(Part(fields[0], fields))
    return found


def plain(text: str) -> str:
    """The text with its escapes resolved."""
    pieces = text.split("\\")
    if len(pieces) < 3:
        return text
    result = pieces[0]
    for i in range(1, len(pieces)):
        if i % 2 == 0:
            result += pieces[i]
        elif pieces[i][:1] == "X":
            result += bytes.fromhex(pieces[i][1:]).decode("latin-1")
        else:
            result += _NAMED.get(pieces[i], "")
    return result


@dataclass(frozen=True)
class Problem:
    """Why a message is refused: where, the code and text of HL7 table 0357, and the receiver's own words."""

    segment: str
    sequence: int
    field: int
    code: str
    words: str = ""

    def modern(self) -> str:
        """ERR as of version 2.5."""
        place = f"{self.segment}^{self.sequence}^{self.field}"
        return f"ERR||{place}|{self.code}^{TEXTS[self.code]}^HL70357|E|||{self.words}"

    def old(self) -> str:
        """ERR-1 as before version 2.5."""
        return f"ERR|{self.segment}^{self.sequence}^{self.field}^{self.code}&{TEXTS[self.code]}&HL70357"


def acknowledgment(
    header: Part, code: str, problems: list[Problem], number: int, *, when: str, control_id: str = ""
) -> str:
    """The ACK to a message: the parties changed about, its control id in MSA-2, ERR in the manner of its version."""
    version = header.get(12) or "2.5.1"
    modern = version >= "2.5"
    trigger = f"ACK^{header.get(9, 2)}^ACK" if modern else "ACK"
    parties = "|".join(header.raw(n) for n in (5, 6, 3, 4))
    words = problems[0].words if problems and not modern else ""
    lines = [
        f"MSH|^~\\&|{parties}|{when}||{trigger}|A{number}|{header.get(11) or 'P'}|{version}",
        f"MSA|{code}|{control_id or header.raw(10)}" + (f"|{words}" if words else ""),
        *(problem.modern() if modern else problem.old() for problem in problems),
    ]
    return "".join(f"{line}\r" for line in lines)
