"""Documents as bytes and as plain values: JSON, form and XML, both ways. Pure.

Plain values are dicts, lists, text, whole numbers, `Decimal`, true and false. In XML a member `@name` is an attribute,
`#text` the text beside attributes, and a list is repeated elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from gateway.canonical import jsonio

_STEP = re.compile(r"\.(?P<name>@?[\w:#-]+)(?:\[(?P<index>\d+)\])?")
_PATH = re.compile(rf"\$(?:{_STEP.pattern.replace('?P<name>', '?:').replace('?P<index>', '?:')})*")
_NOT_IN_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_NAME = re.compile(r"[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?")


class Format(StrEnum):
    """How a document is written."""

    JSON = "json"
    FORM = "form"
    XML = "xml"


CONTENT_TYPES = {
    Format.JSON: "application/json",
    Format.FORM: "application/x-www-form-urlencoded",
    Format.XML: "application/xml; charset=utf-8",
}


class NotReadable(ValueError):
    """The bytes are no document of the wanted format."""


class NotWritable(ValueError):
    """A text that the format cannot carry."""


def write(document: Any, form: Format) -> bytes:
    """The document's bytes, the same for the same document."""
    if form is Format.JSON:
        return jsonio.dumps(document)
    if form is Format.FORM:
        return urlencode(list(_fields(document))).encode()
    ((name, content),) = document.items()
    return ("<?xml version='1.0' encoding='utf-8'?>\n" + "".join(_element(name, content))).encode()


def read(body: bytes, form: Format) -> Any:
    """A document as plain values; raises `NotReadable`. A form is never an answer: it is read as JSON."""
    try:
        if form is not Format.XML:
            return jsonio.loads(body)
        return _read_xml(body)
    except jsonio.NotJson as problem:
        raise NotReadable(str(problem)) from None


def path_problem(path: str) -> str:
    """What is wrong with a path into an answer, or ""."""
    return "" if _PATH.fullmatch(path) else "is no path; write $.member.member[0], or $ for the whole answer"


def holds(document: Any, path: str) -> bool:
    """Whether a path leads somewhere, be it to an empty value or list."""
    above, dot, last = path.rpartition(".")
    parent = at(document, above) if dot else document
    return parent is not None and (not dot or (isinstance(parent, dict) and last.partition("[")[0] in parent))


def at(document: Any, path: str) -> Any:
    """The value at a path such as `$.claims[0].id`, or None."""
    value = document
    for step in _STEP.finditer(path.removeprefix("$")):
        value = value.get(step["name"]) if isinstance(value, dict) else None
        if step["index"]:
            entries = entries_of(value)
            value = entries[int(step["index"])] if int(step["index"]) < len(entries) else None
    return value


def entries_of(value: Any) -> list[Any]:
    """A list as it is; one value, as XML gives it for one element, as a list of one."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def text_of(value: Any) -> str:
    """Text or a number as text; anything else is ""."""
    if isinstance(value, dict):
        value = value.get("#text", "")
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return ""
    return str(value).strip()


def xml_name(name: str) -> bool:
    """Whether a member's name can be an element or attribute."""
    return name == "#text" or bool(_XML_NAME.fullmatch(name.removeprefix("@")))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _fields(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}[{key}]" if name else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _fields(inner, f"{name}[{i}]")
    else:
        yield name, _plain(value)


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("\r", "&#13;")):
        text = text.replace(character, entity)
    if _NOT_IN_XML.search(text):
        raise NotWritable
    return text


def _element(name: str, content: Any) -> Iterator[str]:
    if isinstance(content, list):
        for entry in content:
            yield from _element(name, entry)
        return
    members = content if isinstance(content, dict) else {"#text": content}
    attributes = "".join(
        f' {key[1:]}="{_escaped(_plain(value))}"' for key, value in members.items() if key.startswith("@")
    )
    yield f"<{name}{attributes}>"
    for key, value in members.items():
        if key == "#text":
            yield _escaped(_plain(value))
        elif not key.startswith("@"):
            yield from _element(key, value)
    yield f"</{name}>"


def _read_xml(body: bytes) -> Any:
    from lxml import etree  # noqa: PLC0415  only connections that speak XML pay for it

    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, remove_comments=True)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise NotReadable("not XML") from None
    if root.getroottree().docinfo.doctype:
        raise NotReadable("XML with a document type")
    return {etree.QName(root).localname: _plain_element(root)}


def _plain_element(element: Any) -> Any:
    children = [child for child in element if isinstance(child.tag, str)]
    members: dict[str, Any] = {f"@{name.rpartition('}')[2]}": value for name, value in element.attrib.items()}
    for child in children:
        name, value = child.tag.rpartition("}")[2], _plain_element(child)
        if name in members:
            members[name] = [*entries_of(members[name]), value]
        else:
            members[name] = value
    text = (element.text or "").strip()
    if not members:
        return text
    return {**members, **({"#text": text} if text else {})}
