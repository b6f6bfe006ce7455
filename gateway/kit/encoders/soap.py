"""SOAP 1.1 syntax for WCF services: envelopes written as text, replies read with lxml. No vendor knowledge.

Members of a WCF data contract are an `xs:sequence` in ordinal order of their names (MS-NRTP, DataContract order
rule), so a mapping is always written sorted; a service drops members that come out of order.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

from lxml import etree

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

Value: TypeAlias = "str | int | Decimal | bool | Mapping[str, Value] | Sequence[Value] | None"
"""A member's content: a scalar, a nested contract, or a list that repeats the element. None writes nothing."""

Element: TypeAlias = Any
"""An lxml element; lxml carries no types of its own."""


class NotSoap(ValueError):
    """The bytes are not a SOAP envelope with a body; the text never holds their content."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP 1.1 fault: `faultcode` and `faultstring` as they came; the text may echo the request."""

    code: str
    text: str


_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKUP = re.compile("[&<>\r]")
_ESCAPED = re.compile("&(?:amp;)*lt;")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


def escaped(text: str) -> str:
    """Text as XML character data; what XML 1.0 cannot hold at all becomes U+FFFD, so that the loss is visible."""
    if _ILLEGAL.search(text):
        text = _ILLEGAL.sub("\ufffd", text)
    return _MARKUP.sub(lambda match: _ENTITIES[match[0]], text) if _MARKUP.search(text) else text


def unescaped(text: str, levels: int = 3) -> str:
    """Text whose markup was escaped, perhaps more than once, as some services do with XML inside XML."""
    for _ in range(levels):
        if not _ESCAPED.search(text):
            break
        text = html.unescape(text)
    return text


def scalar(value: str | int | Decimal | bool) -> str:
    """A scalar in its XML Schema form; decimals never in exponent notation."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    return escaped(str(value))


def members(contract: Mapping[str, Value], prefix: str) -> str:
    """The members of a data contract in ordinal order, each in the namespace of `prefix`."""
    return "".join(_member(f"{prefix}:{name}", contract[name], prefix) for name in sorted(contract))


def _member(tag: str, value: Value, prefix: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return f"<{tag}>{members(value, prefix)}</{tag}>"
    if isinstance(value, str | int | Decimal):
        return f"<{tag}>{scalar(value)}</{tag}>"
    return "".join(_member(tag, element, prefix) for element in value)


def envelope(body: str, namespaces: Mapping[str, str]) -> bytes:
    """A UTF-8 envelope around a ready body; `namespaces` maps the prefixes that the body uses to their URIs."""
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in namespaces.items())
    text = f'<s:Envelope xmlns:s="{ENVELOPE}"{declared}><s:Body>{body}</s:Body></s:Envelope>'
    return text.encode()


def parse(data: bytes) -> Element:
    """The first child of the envelope's Body; raises `NotSoap`. Entities and DTDs are never expanded or loaded."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise NotSoap("not well-formed XML") from None
    body = root.find(f"{{{ENVELOPE}}}Body") if root.tag == f"{{{ENVELOPE}}}Envelope" else None
    content = next((part for part in body if isinstance(part.tag, str)), None) if body is not None else None
    if content is None:
        raise NotSoap("no SOAP envelope with a body")
    return content


def fault(content: Element) -> Fault | None:
    """The fault that a body holds, or None."""
    if content.tag != f"{{{ENVELOPE}}}Fault":
        return None
    return Fault(text(content, "faultcode"), text(content, "faultstring"))


def child(element: Element | None, *path: str) -> Element | None:
    """The first descendant along local names, namespaces ignored, or None."""
    for name in path:
        element = next(iter(children(element, name)), None)
    return element


def children(element: Element | None, name: str) -> list[Element]:
    """The direct children with a local name."""
    return [] if element is None else [part for part in element if local_name(part) == name]


def descendants(element: Element | None, name: str) -> list[Element]:
    """All descendants with a local name, in document order."""
    return [] if element is None else [part for part in element.iter() if local_name(part) == name]


def text(element: Element | None, *path: str) -> str:
    """The stripped text at the end of the path; empty when it is absent, empty or nil."""
    found = child(element, *path)
    if found is None or found.get(_NIL) in ("true", "1"):
        return ""
    return (found.text or "").strip()


def record(element: Element) -> dict[str, str]:
    """Local name to text of the children that hold no elements themselves: one row of a list reply."""
    return {local_name(part): text(part) for part in element if isinstance(part.tag, str) and not len(part)}


def local_name(element: Element) -> str:
    """The tag without its namespace; empty for comments and processing instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
