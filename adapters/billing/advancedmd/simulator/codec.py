"""The two forms of a message: XML and JSON in, the same form out, with JSON's collapse of lists of one (section 3)."""

from __future__ import annotations

from typing import Any

from lxml import etree

from gateway.canonical import jsonio

Tree = dict[str, Any]


class BadForm(ValueError):
    """The message cannot be parsed; AdvancedMD answers fault 2052."""


def read_message(body: bytes, content_type: str) -> Tree:
    """The content of `ppmdmsg`: attributes as `@name`, children by name."""
    if "json" in content_type:
        try:
            document = jsonio.loads(body)
        except ValueError:
            raise BadForm from None
        message = document.get("ppmdmsg") if isinstance(document, dict) else None
        if not isinstance(message, dict):
            raise BadForm
        return message
    try:
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True))
    except (etree.XMLSyntaxError, ValueError):
        raise BadForm from None
    if root.tag != "ppmdmsg":
        raise BadForm
    return _object(root)


def write_reply(reply: Tree, content_type: str) -> tuple[bytes, str]:
    """A reply in the form of the request, and its content type."""
    if "json" in content_type:
        return jsonio.dumps({"PPMDResults": collapsed(reply)}), "application/json"
    root = _element("PPMDResults", reply)
    return etree.tostring(root, encoding="ISO-8859-1", xml_declaration=True), "text/xml; charset=ISO-8859-1"


def collapsed(value: Any) -> Any:
    """JSON as AdvancedMD writes it: a list of one element is that element, an empty one is missing."""
    if isinstance(value, list):
        return collapsed(value[0]) if len(value) == 1 else [collapsed(each) for each in value]
    if isinstance(value, dict):
        return {key: collapsed(inner) for key, inner in value.items() if inner != []}
    return value


def children(node: Any, *path: str) -> list[Tree]:
    """The objects at a path of a request."""
    for name in path:
        node = node.get(name) if isinstance(node, dict) else None
    return [each for each in (node if isinstance(node, list) else [node]) if isinstance(each, dict)]


def child(node: Any, *path: str) -> Tree:
    """The first object at a path, or an empty one."""
    return next(iter(children(node, *path)), {})


def _object(element: Any) -> Tree:
    found: Tree = {f"@{name}": value for name, value in element.attrib.items()}
    for inner in element.iterchildren(tag=etree.Element):
        value = _object(inner) if len(inner) or inner.attrib else (inner.text or "")
        if inner.tag not in found:
            found[inner.tag] = value
        elif isinstance(found[inner.tag], list):
            found[inner.tag].append(value)
        else:
            found[inner.tag] = [found[inner.tag], value]
    return found


def _element(name: str, value: Any) -> Any:
    element = etree.Element(name)
    if not isinstance(value, dict):
        element.text = "" if value is None else str(value)
        return element
    for key, inner in value.items():
        if key.startswith("@"):
            element.set(key[1:], str(inner))
        elif key == "#text":
            element.text = str(inner)
        else:
            for each in inner if isinstance(inner, list) else [inner]:
                element.append(_element(key, each))
    return element
