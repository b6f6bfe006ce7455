"""Reads a SOAP request as WCF's data contract serializer does (vendor document, section 2.1).

An element that is unknown or out of order is dropped without a word. Only when the dropped element was required does
the service fault. A request can therefore succeed and still lose data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from lxml import etree

from adapters.billing.kareo_tebra.simulator.schema import SLASH, Member, Shape
from adapters.billing.kareo_tebra.simulator.types import OPERATIONS, SCHEMA

Values = dict[str, Any]
"""A parsed element: member name -> str, datetime, Decimal, bool, None (nil), Values or a list of Values."""

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_DISPATCHER = "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher"
_ADDRESSING = "http://schemas.microsoft.com/ws/2005/05/addressing/none"
_ISO_DATE_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,7})?(Z|[+-]\d{2}:\d{2})?)?")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


class SoapFault(Exception):
    """An HTTP 500 with `s:Fault`: `code` is the local part of the fault code in `namespace`."""

    def __init__(self, code: str, text: str, namespace: str = _DISPATCHER) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.namespace = namespace


def null_reference() -> SoapFault:
    """What the server says when it met a null that it did not expect."""
    return SoapFault("InternalServiceFault", "Object reference not set to an instance of an object.")


def action_mismatch(action: str) -> SoapFault:
    """What the server says to a SOAPAction that is not in its contract (section 2)."""
    return SoapFault(
        "ActionNotSupported",
        f"The message with Action '{action}' cannot be processed at the receiver, due to a ContractFilter mismatch at "
        "the EndpointDispatcher. This may be because of either a contract mismatch (mismatched Actions between sender "
        "and receiver) or a binding/security mismatch between the sender and the receiver.",
        _ADDRESSING,
    )


def operation_of(soap_action: str) -> str | None:
    """The operation that a SOAPAction header names, or None; the value has to be in double quotes."""
    prefix, suffix = f'"{SLASH}KareoServices/', '"'
    if not (soap_action.startswith(prefix) and soap_action.endswith(suffix)):
        return None
    name = soap_action[len(prefix) : -len(suffix)]
    return name if name in OPERATIONS else None


def parse_request(operation: str, body: bytes) -> Values:
    """The parameter of `operation` in a SOAP envelope. Raises SoapFault."""
    wrapper = _operation_element(operation, _root(body))
    shape = SCHEMA.shapes[f"{operation}Req"]
    tags = {f"{{{SLASH}}}{name}" for name in OPERATIONS[operation].parameters}
    for child in wrapper:
        if child.tag in tags:
            return read(shape, child)
    raise null_reference()


def read(shape: Shape, element: Any) -> Values:
    """The members of `element` that come in the order of `shape`; all others are dropped."""
    values: Values = {}
    position = 0
    for child in element:
        found = shape.positions.get(child.tag)
        if found is None or found[0] < position:
            continue
        place, member = found
        position = place + 1
        values[member.name] = _value(member, child)
    for member in shape.members:
        if member.required and member.name not in values:
            raise _expecting(member, element)
    return values


def _value(member: Member, element: Any) -> Any:
    shape = SCHEMA.shapes.get(member.type_name)
    if element.get(_NIL) == "true" and (shape or not member.required or member.type_name == "string"):
        return None
    if member.many:
        assert shape is not None, "lists hold complex types"
        item = f"{{{SLASH}}}{member.type_name}"
        return [read(shape, child) for child in element if child.tag == item]
    return read(shape, element) if shape else _scalar(member.type_name, element.text or "")


def _scalar(type_name: str, text: str) -> Any:
    allowed = SCHEMA.enumerations.get(type_name)
    if allowed is not None:
        if text in allowed:
            return text
        raise _undeserializable(f"Invalid enum value '{text}' cannot be deserialized into type '{type_name}'.")
    try:
        return _SCALARS[type_name](text)
    except (ValueError, KeyError, InvalidOperation):
        raise _undeserializable(f"The value '{text}' cannot be parsed as the type '{type_name}'.") from None


def _date_time(text: str) -> datetime:
    if not _ISO_DATE_TIME.fullmatch(text.strip()):
        raise ValueError("not xs:dateTime")
    return datetime.fromisoformat(text.strip()).replace(tzinfo=None)


def _decimal(text: str) -> Decimal:
    value = Decimal(text.strip())
    if not value.is_finite():
        raise ValueError("not xs:decimal")
    return value


def _boolean(text: str) -> bool:
    return _BOOLEANS[text.strip()]


def _text(text: str) -> str:
    return text


_SCALARS: dict[str, Callable[[str], Any]] = {
    "string": _text,
    "toggle": _text,
    "dateTime": _date_time,
    "decimal": _decimal,
    "boolean": _boolean,
}


def _root(body: bytes) -> Any:
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as problem:
        raise SoapFault("Client", f"The message could not be read: {problem.msg}", SOAP) from None
    if root.getroottree().docinfo.doctype:
        raise SoapFault("Client", "DTD is prohibited in this XML document.", SOAP)
    return root


def _operation_element(operation: str, root: Any) -> Any:
    body = root.find(f"{{{SOAP}}}Body") if root.tag == f"{{{SOAP}}}Envelope" else None
    first = next(iter(body), None) if body is not None else None
    if first is None or first.tag != f"{{{SLASH}}}{operation}":
        raise SoapFault(
            "DeserializationFailed",
            f"Error in deserializing body of request message for operation '{operation}'. OperationFormatter "
            f"encountered an invalid Message body. Expected to find node type 'Element' with name '{operation}' and "
            f"namespace '{SLASH}'.",
        )
    return first


def _expecting(member: Member, element: Any) -> SoapFault:
    name = etree.QName(element)
    return _undeserializable(
        f"'EndElement' '{name.localname}' from namespace '{name.namespace}' is not expected. "
        f"Expecting element '{member.name}'."
    )


def _undeserializable(reason: str) -> SoapFault:
    return SoapFault(
        "DeserializationFailed",
        "The formatter threw an exception while trying to deserialize the message: There was an error while trying to "
        f"deserialize parameter {SLASH}:request. The InnerException message was '{reason}'. Please see InnerException "
        "for more details.",
    )
