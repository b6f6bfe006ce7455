"""X12 interchanges, for any transaction set: data that is safe to write, segments, envelopes, and a reader.

Written are the usual delimiters `*` `:` `^` `~` and the basic character set; read is whatever the ISA says: its fourth
character separates elements, element 16 gives the component separator, the character after it ends every segment.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

ELEMENT, COMPONENT, REPETITION, TERMINATOR = "*", ":", "^", "~"
Segment = tuple[str, ...]
"""A segment that was read: its name, then its elements; components are not yet split."""

_REPLACED = {
    **dict.fromkeys(map(chr, range(32)), " "),
    **{"*": " ", "~": " ", ":": " ", "^": " ", "`": "'", "|": "/", "\\": "/", "_": "-", "#": " ", "\x7f": " "},
    **{"[": "(", "]": ")", "{": "(", "}": ")", "%": " PCT", "@": " AT ", "$": " USD ", "<": " LT ", ">": " GT "},
}
_TABLE = str.maketrans(_REPLACED)
_LETTERS = str.maketrans(
    {
        **{"Ł": "L", "Ø": "O", "Đ": "D", "Ð": "D", "Þ": "TH", "Æ": "AE", "Œ": "OE", "ẞ": "SS", "Ħ": "H", "ı": "I"},
        **{"Ŋ": "NG", "Ŧ": "T", "’": "'", "‘": "'", "ʼ": "'", "´": "'", "“": '"', "”": '"', "–": "-", "—": "-"},
        **{"‐": "-", "‑": "-", "…": "...", "\u00a0": " ", "\u2007": " ", "\u202f": " ", "×": "X"},
    }
)
_EXACT = re.compile(r"[A-Z0-9!\"&'()+,\-./;?= ]+")
_ISA = re.compile(
    r"ISA([^A-Za-z0-9\s])\d\d\1.{10}\1\d\d\1.{10}\1..\1.{15}\1..\1.{15}\1\d{6}\1\d{4}\1.\1\d{5}\1\d{9}\1[01]\1[A-Z]\1(.)(.)",
    re.DOTALL,
)


class NotInCharacterSet(ValueError):
    """The basic character set has nothing for a character of this value; the text never shows the value."""

    def __init__(self) -> None:
        super().__init__("it holds a character that X12's basic character set lacks")


class NotX12(ValueError):
    """The bytes hold no interchange header."""


def text(value: str) -> str:
    """Free text in the basic character set: upper case, accents folded, delimiters out, blanks single.

    Signs outside the set become a word or their nearest sign (50% is 50 PCT). Raises `NotInCharacterSet` for letters
    of other scripts, because a name must not lose a part in silence.
    """
    upper = value.upper() if value.isascii() else _folded(value)
    return " ".join(upper.translate(_TABLE).split())


def _folded(value: str) -> str:
    upper = value.replace("µ", "u").upper().translate(_LETTERS)
    decomposed = unicodedata.normalize("NFKD", upper).upper()
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    if not plain.isascii():
        raise NotInCharacterSet
    return plain


def exact(value: str) -> str:
    """An identifier: upper case and otherwise as it is; one with other characters is refused.

    Raises `NotInCharacterSet`.
    """
    upper = value.strip().upper()
    if upper and not _EXACT.fullmatch(upper):
        raise NotInCharacterSet
    return upper


def amount(value: Decimal | int | str) -> str:
    """A number without a leading zero or trailing decimals: 265.00 is 265, 0.50 is .5, 0 is 0."""
    plain = f"{Decimal(value):f}"
    if "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    sign, digits = ("-", plain[1:]) if plain.startswith("-") else ("", plain)
    digits = digits.lstrip("0") or "0"
    return digits if digits == "0" else sign + digits


def day(value: str) -> str:
    """CCYYMMDD of a FHIR date or dateTime."""
    return value[:10].replace("-", "")


def digits(value: str) -> str:
    """The digits alone, e.g. of a tax id or telephone number."""
    return "".join(c for c in value if c in "0123456789")


def segment(elements: Sequence[str]) -> str:
    """The segment with its terminator, without trailing empty elements. The elements hold no delimiter."""
    return ELEMENT.join(elements).rstrip(ELEMENT) + TERMINATOR


def composite(parts: Iterable[str]) -> str:
    """The components of one element, without trailing empty ones."""
    return COMPONENT.join(parts).rstrip(COMPONENT)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parties of an interchange: ids of at most 15 characters with their qualifiers (ISA05..08, GS02, GS03).

    `version` is GS08, e.g. 005010X222A1; `functional_id` GS01, e.g. HC; `usage` ISA15.
    """

    sender: str
    receiver: str
    functional_id: str
    version: str
    sender_qualifier: str = "ZZ"
    receiver_qualifier: str = "ZZ"
    usage: str = "P"
    request_ta1: bool = False

    def interchange(self, control_number: int, made_at: datetime, sets: Sequence[str]) -> str:
        """Everything from ISA to IEA around transaction sets that have their ST and SE; `made_at` is local time.

        ISA13, GS06, GE02 and IEA02 are the control number.
        """
        number, date, time = f"{control_number:09d}", f"{made_at:%Y%m%d}", f"{made_at:%H%M}"
        qualifiers = (self.sender_qualifier, self.sender.ljust(15), self.receiver_qualifier, self.receiver.ljust(15))
        last = (REPETITION, "00501", number, "1" if self.request_ta1 else "0", self.usage)
        isa = ELEMENT.join(("ISA", "00", " " * 10, "00", " " * 10, *qualifiers, date[2:], time, *last, COMPONENT))
        if len(isa) != 105:
            raise ValueError("an interchange header has exactly 106 characters")
        group = ("GS", self.functional_id, self.sender, self.receiver, date, time, str(control_number), "X")
        return "".join(
            (
                isa + TERMINATOR,
                segment((*group, self.version)),
                *sets,
                segment(("GE", str(len(sets)), str(control_number))),
                segment(("IEA", "1", number)),
            )
        )


def transaction_set(set_id: str, number: str, version: str, body: str) -> str:
    """ST, the body's segments and SE, which counts them all."""
    count = body.count(TERMINATOR) + 2
    return f"{segment(('ST', set_id, number, version))}{body}{segment(('SE', str(count), number))}"


@dataclass(frozen=True, slots=True)
class Interchange:
    """One interchange of a file. An incomplete one (no IEA that fits its ISA) may still be under way."""

    segments: tuple[Segment, ...]
    component: str
    complete: bool

    @property
    def sender(self) -> str:
        """ISA06 without its padding."""
        return self.segments[0][6].strip()

    @property
    def control_number(self) -> str:
        """ISA13, nine digits."""
        return self.segments[0][13]

    def parts(self, element: str) -> list[str]:
        """The components of an element."""
        return element.split(self.component)

    def transactions(self) -> Iterator[tuple[str, list[Segment]]]:
        """(functional id GS01, the segments from ST to before SE) for each complete transaction set."""
        functional_id, current = "", None
        for found in self.segments:
            if found[0] == "GS":
                functional_id = element(found, 1)
            elif found[0] == "ST":
                current = [found]
            elif found[0] == "SE" and current is not None:
                yield functional_id, current
                current = None
            elif current is not None:
                current.append(found)


def element(found: Segment, position: int) -> str:
    """An element by its number, empty when the segment is shorter."""
    return found[position] if position < len(found) else ""


def interchanges(data: bytes) -> list[Interchange]:
    """Every interchange of a file in order, each read with the delimiters of its own ISA.

    Line breaks between segments do not matter. Raises `NotX12` when there is no interchange header.
    """
    try:
        content = data.decode()
    except UnicodeDecodeError:
        content = data.decode("latin-1")
    headers = list(_ISA.finditer(content))
    if not headers:
        raise NotX12("there is no interchange header")
    ends = [*(header.start() for header in headers[1:]), len(content)]
    return [_interchange(content[header.start() : end], header) for header, end in zip(headers, ends, strict=True)]


def _interchange(content: str, header: re.Match[str]) -> Interchange:
    separator, component, terminator = header[1], header[2], header[3]
    *whole, _rest = content.split(terminator)  # what follows the last terminator is no whole segment
    stripped = (found.strip("\r\n") for found in whole)
    segments = tuple(tuple(found.split(separator)) for found in stripped if found.strip())
    last = segments[-1]
    complete = last[0] == "IEA" and element(last, 2) == segments[0][13]
    return Interchange(segments, component, complete)
