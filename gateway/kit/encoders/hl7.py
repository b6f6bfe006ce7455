r"""HL7 v2 syntax (ER7): segments written from addressed values; messages and acknowledgments read. No vendor knowledge.

An address is `SEGMENT-field` or `SEGMENT-field.component`, both counted from 1 as in the standard: `PID-5.1`. A value
is a text, a tuple of components, or `Repeated` values of one field. Delimiters inside a text are escaped (`\F\` and so
on), control characters as `\X0D\`; empty trailing components and fields are not written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

SEGMENT_END = "\r"
ENCODING_CHARACTERS = "^~\\&"
HEADER = "MSH"
_ENVELOPE = frozenset({"FHS", "BHS", "BTS", "FTS"})
_ADDRESS = re.compile(r"(?P<segment>[A-Z][A-Z0-9]{2})-(?P<field>[1-9]\d{0,2})(?:\.(?P<component>[1-9]\d?))?")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_SPECIAL = re.compile(r"[|^~\\&\x00-\x1f\x7f]")
_NAMES = {"|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\\": "\\E\\"}
_ESCAPE = re.compile(r"\\(?:(?P<name>[FSTRE])|X(?P<hex>(?:[0-9A-Fa-f]{2})+)|(?P<break>\.br))\\")
_CHARACTERS = {"F": "|", "S": "^", "T": "&", "R": "~", "E": "\\"}


class NotHl7(ValueError):
    """The text is not an HL7 v2 message; the error never holds its content."""


class Repeated(tuple["Value", ...]):
    """The repetitions of one field."""

    __slots__ = ()


Value: TypeAlias = "str | tuple[str, ...] | Repeated"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a value stands; component 0 means the whole field."""

    segment: str
    field: int
    component: int = 0

    def __str__(self) -> str:
        return f"{self.segment}-{self.field}" + (f".{self.component}" if self.component else "")


@lru_cache(maxsize=4096)
def address(text: str) -> Address:
    """Read `PID-5.1`; raises `ValueError`."""
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an address like PID-5 or PID-5.1")
    return Address(match["segment"], int(match["field"]), int(match["component"] or 0))


def escaped(text: str) -> str:
    """The text with the delimiters and control characters escaped."""
    return _SPECIAL.sub(_escape, text) if _SPECIAL.search(text) else text


def _escape(match: re.Match[str]) -> str:
    return _NAMES.get(match[0]) or f"\\X{ord(match[0]):02X}\\"


def unescaped(text: str) -> str:
    """The reverse of `escaped`; `\\.br\\` becomes a line break, unknown escapes stay as they are."""
    return _ESCAPE.sub(_unescape, text) if "\\" in text else text


def _unescape(match: re.Match[str]) -> str:
    if match["name"]:
        return _CHARACTERS[match["name"]]
    return bytes.fromhex(match["hex"]).decode("latin-1") if match["hex"] else "\n"


def segment(name: str, values: Mapping[str, Value]) -> str:
    """One segment without its end; every address of `values` must lie in it. MSH-1 and MSH-2 are supplied."""
    fields: dict[int, str | dict[int, str]] = {}
    for target, value in values.items():
        at = address(target)
        if not at.component:
            fields[at.field] = _field(value)
            continue
        components = fields.setdefault(at.field, {})
        if isinstance(components, str) or not isinstance(value, str):
            raise ValueError(f"{target}: a field is written either whole or by single components")
        components[at.component] = escaped(value)
    first = 2 if name == HEADER else 0
    texts = [""] * (max(fields, default=first) - first)
    for number, content in fields.items():
        texts[number - first - 1] = content if isinstance(content, str) else _joined(content)
    start = f"{name}|{ENCODING_CHARACTERS}" if name == HEADER else name
    return "|".join([start, *texts]).rstrip("|")


def _field(value: Value) -> str:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, Repeated):
        return "~".join(map(_field, value))
    return "^".join(map(escaped, value)).rstrip("^")


def _joined(components: Mapping[int, str]) -> str:
    texts = [""] * max(components)
    for number, text in components.items():
        texts[number - 1] = text
    return "^".join(texts).rstrip("^")


def message(segments: Sequence[str]) -> str:
    """Segments as one message, each with its end."""
    return "".join(f"{text}{SEGMENT_END}" for text in segments)


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as read. `fields` are raw texts: `fields[n - 1]` is field n (MSH counts its separator as MSH-1)."""

    name: str
    fields: tuple[str, ...]
    separators: str = f"|{ENCODING_CHARACTERS}"

    def field(self, number: int) -> str:
        """A field as it is written, or an empty text."""
        return self.fields[number - 1] if 0 < number <= len(self.fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """The repetitions of a field as they are written; none when it is empty."""
        field = self.field(number)
        return field.split(self.separators[2]) if field else []

    def text(self, number: int, component: int = 1, repetition: int = 0) -> str:
        """The unescaped text of a component, or an empty text."""
        repeated = self.repetitions(number)
        if repetition >= len(repeated):
            return ""
        components = repeated[repetition].split(self.separators[1])
        return unescaped(components[component - 1]) if component <= len(components) else ""


Message: TypeAlias = tuple[Segment, ...]


def messages(text: str) -> list[Message]:
    """The messages of a text, in order; batch envelopes are left out, and lines that are no segments.

    Raises `NotHl7` when there is none.
    """
    found: list[list[Segment]] = []
    separators = f"|{ENCODING_CHARACTERS}"
    for line in filter(None, re.split(r"[\r\n]+", text.strip("\r\n\x0b\x1c "))):
        name = line[:3]
        if name in _ENVELOPE:
            continue
        if name == HEADER:
            separators = _separators(line)
            found.append([])
        elif not found:
            raise NotHl7("not an HL7 message: it does not begin with MSH")
        elif not _NAME.fullmatch(name) or line[3:4] not in ("", separators[0]):
            continue  # the rest of a text that a careless sender broke into lines
        found[-1].append(_segment(line, separators))
    if not found:
        raise NotHl7("not an HL7 message: there is no MSH segment")
    return [tuple(segments) for segments in found]


def _separators(header: str) -> str:
    separators = header[3:8]
    if len(separators) < 5 or separators[0].isalnum():
        raise NotHl7("not an HL7 message: MSH does not name its delimiters")
    return separators


def _segment(line: str, separators: str) -> Segment:
    name, *fields = line.split(separators[0])
    if name == HEADER:
        fields = [separators[0], *fields]
    return Segment(name, tuple(fields), separators)


@dataclass(frozen=True, slots=True)
class AckError:
    """One ERR segment: where (segment, its sequence among its kind, field; empty or 0 when not told) and the codes.

    `code` is of HL7 table 0357, `application_code` the receiver's own. Texts are not read: they may echo a patient.
    """

    segment: str = ""
    sequence: int = 0
    field: int = 0
    component: int = 0
    code: str = ""
    severity: str = "E"
    application_code: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledgment:
    """An acknowledgment: MSA-1, the control id of the message that it answers (MSA-2), its own, and its errors."""

    code: str
    control_id: str
    own_id: str = ""
    errors: tuple[AckError, ...] = ()


def acknowledgments(text: str) -> list[Acknowledgment]:
    """The acknowledgments of a text; messages without MSA are left out. Raises `NotHl7`."""
    return [ack for ack in map(_acknowledgment, messages(text)) if ack is not None]


def _acknowledgment(segments: Message) -> Acknowledgment | None:
    msa = next((s for s in segments if s.name == "MSA"), None)
    if msa is None:
        return None
    errors = [error for s in segments if s.name == "ERR" for error in _errors(s)]
    if not errors and msa.text(6):
        errors = [AckError(code=msa.text(6))]  # until version 2.4 the code may stand in MSA-6 alone
    return Acknowledgment(msa.text(1).strip(), msa.text(2).strip(), segments[0].text(10), tuple(errors))


def _errors(err: Segment) -> list[AckError]:
    if err.field(3) or err.field(2):
        place = (err.text(2, 1), _number(err.text(2, 2)), _number(err.text(2, 3)), _number(err.text(2, 5)))
        return [AckError(*place, code=err.text(3), severity=err.text(4) or "E", application_code=err.text(5))]
    return [_old_error(err, number) for number in range(len(err.repetitions(1)))]


def _old_error(err: Segment, number: int) -> AckError:
    """ERR-1 of versions before 2.5: segment^sequence^field^code."""
    place = (err.text(1, 1, number), _number(err.text(1, 2, number)), _number(err.text(1, 3, number)))
    return AckError(*place, code=err.text(1, 4, number).split(err.separators[4])[0])


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
