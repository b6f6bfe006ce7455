"""Lines out of a stream of bytes, one held at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.canonical.errors import UnexpectedResponse


async def lines(chunks: AsyncIterator[bytes], longest: int, vendor: str) -> AsyncIterator[tuple[int, bytes]]:
    """(number from 0, line) of each line that is not blank; `UnexpectedResponse` for one of over `longest` bytes."""
    begun, number = bytearray(), 0
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            begun += part
            if begun.strip():
                yield number, bytes(begun)
            begun.clear()
            number += 1
        begun += rest
        if len(begun) > longest:
            raise UnexpectedResponse(vendor, "export", "a line of the export is longer than the gateway accepts")
    if begun.strip():
        yield number, bytes(begun)
