"""One message tree, two forms on the wire, and the reading of lists (sections 3 and 5). Pure.

A tree is what the JSON form shows: an attribute is a member `@name`, a child element is a member of its name, repeated
children are a list, and text beside attributes is `#text`. The XML form is made from the same tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from gateway.canonical import jsonio

Form = Literal["json", "xml"]
Tree = dict[str, Any]

ROOT = "ppmdmsg"
REPLY = "PPMDResults"
TEXT = "#text"
CONTENT_TYPES: dict[Form, str] = {"json": "application/json", "xml": "text/xml; charset=ISO-8859-1"}
_TOKEN_FIRST = "usercontext"  # noqa: S105 - the element's name; the XML form wants it as the first child
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Unreadable(ValueError):
    """The bytes are no AdvancedMD reply."""


def encode(form: Form, message: Tree) -> bytes:
    """The request `ppmdmsg` of a message tree."""
    if form == "json":
        return jsonio.dumps({ROOT: message})
    from lxml import etree  # noqa: PLC0415 - slow to load, and not needed by the JSON form

    ordered = {_TOKEN_FIRST: message[_TOKEN_FIRST], **message} if _TOKEN_FIRST in message else message
    root = _element(etree, ROOT, ordered)
    return bytes(etree.tostring(root, encoding="ISO-8859-1", xml_declaration=True))


def decode(body: bytes) -> Tree:
    """The content of `PPMDResults` of either form; raises `Unreadable`."""
    content = body.strip()
    if content.startswith(b"{"):
        try:
            document = jsonio.loads(content)
        except ValueError:
            raise Unreadable from None
    else:
        document = _parsed(content)
    reply = document.get(REPLY) if isinstance(document, dict) else None
    if not isinstance(reply, dict):
        raise Unreadable
    return reply


def rows(node: Any, *path: str) -> list[Tree]:
    """The objects at a path. A list of one element comes back as an object, an empty one as nothing (section 3)."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    found = node if isinstance(node, list) else [node]
    return [row for row in found if isinstance(row, dict)]


def everywhere(node: Any, name: str) -> Iterator[Tree]:
    """The objects of a name at any depth, in order."""
    if isinstance(node, list):
        for element in node:
            yield from everywhere(element, name)
    elif isinstance(node, dict):
        yield from rows(node, name)
        for key, value in node.items():
            if key != name:
                yield from everywhere(value, name)


def attribute(node: Any, name: str) -> str:
    """An attribute as text, or an empty text."""
    value = node.get(f"@{name}") if isinstance(node, dict) else None
    return "" if value is None else str(value).strip()


def text(node: Any) -> str:
    """The text of an element, with or without attributes beside it."""
    value = node.get(TEXT) if isinstance(node, dict) else node
    return "" if value is None or isinstance(value, dict | list) else str(value).strip()


def _element(etree: Any, name: str, value: Any) -> Any:
    element = etree.Element(name)
    if not isinstance(value, dict):
        element.text = _legal(value)
        return element
    for key, inner in value.items():
        if key.startswith("@"):
            element.set(key[1:], _legal(inner))
        elif key == TEXT:
            element.text = _legal(inner)
        else:
            for each in inner if isinstance(inner, list) else [inner]:
                element.append(_element(etree, key, each))
    return element


def _legal(value: Any) -> str:
    """Text without the control characters that XML 1.0 cannot hold."""
    return _ILLEGAL.sub("\ufffd", str(value))


def _parsed(content: bytes) -> Tree:
    from lxml import etree  # noqa: PLC0415 - slow to load, and not needed by the JSON form

    parser = etree.XMLParser(recover=True, resolve_entities=False, no_network=True, huge_tree=False)
    try:
        root = etree.fromstring(content[content.find(b"<") :], parser)
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable from None
    if root is None:
        raise Unreadable
    return {str(root.tag): _tree(root)}


def _tree(element: Any) -> Any:
    found: Tree = {f"@{name}": value for name, value in element.attrib.items()}
    for child in element:
        if isinstance(child.tag, str):
            _add(found, child.tag, _tree(child))
    content = (element.text or "").strip()
    if not found:
        return content
    return {**found, TEXT: content} if content else found


def _add(found: Tree, name: str, value: Any) -> None:
    if name not in found:
        found[name] = value
    elif isinstance(found[name], list):
        found[name].append(value)
    else:
        found[name] = [found[name], value]
