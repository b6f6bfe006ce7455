"""Writes replies: the envelope, the two base blocks of every result, rows in schema order, and faults (section 4)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from adapters.billing.kareo_tebra.simulator.parser import SOAP, SoapFault, Values
from adapters.billing.kareo_tebra.simulator.schema import SLASH, Shape
from adapters.billing.kareo_tebra.simulator.types import SCHEMA

CUSTOMER_ID = "48211"
THROTTLED = "429: Too many calls. You have requested more than allowed for this operation, please try again later."

_OPEN = f'<s:Envelope xmlns:s="{SOAP}"><s:Body>'
_CLOSE = "</s:Body></s:Envelope>"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_NO_ERROR = (
    '<ErrorResponse><ErrorMessage i:nil="true"/><IsError>false</IsError><StackTrace i:nil="true"/></ErrorResponse>'
)


class BusinessError(Exception):
    """A refusal in the reply: HTTP 200 with `ErrorResponse/IsError` true and this message."""


class Refused(Exception):
    """A failed authorization: HTTP 200 with a SecurityResponse that says why."""

    def __init__(self, security: Values) -> None:
        super().__init__(security["SecurityResult"])
        self.security = security


def security_block(**changes: Any) -> Values:
    """The SecurityResponse of a call; without changes, of a successful one."""
    success: Values = {
        "Authenticated": True,
        "Authorized": True,
        "CustomerId": CUSTOMER_ID,
        "CustomerKeyValid": True,
        "PermissionsMissing": "",
        "PracticesAuthorized": "",
        "SecurityResult": "Success",
        "SecurityResultSuccess": True,
    }
    return success | changes


def result(operation: str, values: Values) -> bytes:
    """A successful reply."""
    members = write(SCHEMA.shapes[f"{operation}Resp"], values)
    return _envelope(operation, _NO_ERROR + _SECURITY_SUCCESS + members)


def business_error(operation: str, message: str) -> bytes:
    """A reply that refuses: the message is escaped once, as a text."""
    error = f"<ErrorMessage>{escape(message, quote=False)}</ErrorMessage><IsError>true</IsError>"
    block = f'<ErrorResponse>{error}<StackTrace i:nil="true"/></ErrorResponse>'
    return _envelope(operation, block + _SECURITY_SUCCESS)


def refused(operation: str, security: Values) -> bytes:
    """A reply to a caller who may not do this."""
    return _envelope(operation, _NO_ERROR + _element("SecurityResponse", security, "SecurityResponse"))


def fault(problem: SoapFault) -> bytes:
    """The body of an HTTP 500 with `s:Fault`."""
    prefix = "s" if problem.namespace == SOAP else "a"
    return (
        f'{_OPEN}<s:Fault><faultcode xmlns:{prefix}="{problem.namespace}">{prefix}:{problem.code}</faultcode>'
        f'<faultstring xml:lang="en-US">{escape(problem.text, quote=False)}</faultstring></s:Fault>{_CLOSE}'
    ).encode()


def empty_row(row_type: str, key: str) -> Values:
    """A row with no values, every column nil and the key empty: the placeholder for no matches (section 5)."""
    return {**full_row(row_type, {}), key: ""}


def full_row(row_type: str, values: Values) -> Values:
    """All columns of a row type, None where `values` has none."""
    row: Values = dict.fromkeys(SCHEMA.shapes[row_type].columns)
    row.update(values)
    return row


def stamp(moment: datetime | None) -> str | None:
    """A date and time as rows print it: `M/D/YYYY h:mm:ss AM`."""
    if moment is None:
        return None
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    return f"{moment.month}/{moment.day}/{moment.year} {hour}:{moment.minute:02}:{moment.second:02} {half}"


def write(shape: Shape, values: Values) -> str:
    """The members of `values` in the order of `shape`; None is nil, a member that is not there is left out."""
    return "".join(
        _element(member.name, values[member.name], member.type_name)
        for member in shape.members
        if member.name in values
    )


def _element(name: str, value: Any, type_name: str) -> str:
    if value is None:
        return f'<{name} i:nil="true"/>'
    shape = SCHEMA.shapes.get(type_name)
    if isinstance(value, list) and shape:
        content = "".join(f"<{type_name}>{write(shape, item)}</{type_name}>" for item in value)
    elif shape:
        content = write(shape, value)
    else:
        content = text_of(value)
    return f"<{name}>{content}</{name}>"


def text_of(value: str | bool | Decimal | datetime) -> str:
    """A scalar as XML text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat()
    return escape(str(value), quote=False)


def _envelope(operation: str, members: str) -> bytes:
    return (
        f'{_OPEN}<{operation}Response xmlns="{SLASH}"><{operation}Result xmlns:i="{_INSTANCE}">{members}'
        f"</{operation}Result></{operation}Response>{_CLOSE}"
    ).encode()


_SECURITY_SUCCESS = _element("SecurityResponse", security_block(), "SecurityResponse")
