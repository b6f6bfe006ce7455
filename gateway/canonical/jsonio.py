"""JSON in and out without loss: 105.00 stays 105.00, as FHIR asks of decimals (R4 section 2.24.0.1)."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

_BYTE = re.compile(r"byte (\d+)")
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_sorted_encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")


class NotJson(ValueError):
    """The bytes are not JSON; the text names the byte position, never the content."""


def loads(data: bytes | str) -> Any:
    """Parse JSON; numbers with a fraction or exponent become `Decimal` with their scale kept."""
    try:
        return _decoder.decode(data)
    except InvalidOperation:
        raise NotJson("not JSON (a number is out of all bounds)") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        found = _BYTE.search(str(problem))
        raise NotJson(f"not JSON (byte {found[1]})" if found else "not JSON (it ends too early)") from None


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON with `Decimal` written as numbers."""
    return _encoder.encode(value)


def canonical_bytes(value: Any) -> bytes:
    """The same JSON with sorted members: equal content gives equal bytes, for content hashes."""
    return _sorted_encoder.encode(value)
