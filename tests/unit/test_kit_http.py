"""What a broken connection proves: only one that was never made proves that nothing was saved."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import httpx
import pytest

from gateway.canonical.errors import AdapterError, OutcomeUnknown, VendorUnavailable
from gateway.kit.contract_support import refused_url
from gateway.kit.http import open_client, retry_after_seconds, transport_errors

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The whole request is read, then the connection is closed without a word."""
    await reader.readuntil(b"claim")
    writer.close()


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The same with a TCP reset."""
    await reader.readuntil(b"claim")
    writer.transport.abort()


async def _cut_short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer that ends before its announced length."""
    await reader.readuntil(b"claim")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    writer.close()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never an answer."""
    await reader.read()
    writer.close()


async def _post(url: str, *, may_have_saved: bool) -> None:
    client = open_client(timeout_seconds=0.2)
    try:
        with transport_errors("vendor", "create", may_have_saved=may_have_saved):
            await client.post(url, content=b"claim")
    finally:
        await client.aclose()


@pytest.mark.parametrize("handler", [_closed, _reset, _cut_short, _silent])
@pytest.mark.parametrize(("may_have_saved", "failure"), [(True, OutcomeUnknown), (False, VendorUnavailable)])
async def test_a_connection_that_breaks_after_the_request_leaves_its_outcome_unknown(
    handler: Handler, may_have_saved: bool, failure: type[AdapterError]
) -> None:
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(failure):
        await _post(f"http://127.0.0.1:{port}/", may_have_saved=may_have_saved)
    server.close()


async def test_a_connection_that_was_refused_has_surely_saved_nothing() -> None:
    with pytest.raises(VendorUnavailable):
        await _post(refused_url(), may_have_saved=True)


async def test_a_name_that_does_not_resolve_has_surely_saved_nothing() -> None:
    with pytest.raises(VendorUnavailable):
        await _post("http://billing.invalid/", may_have_saved=True)


async def test_a_connection_that_is_never_taken_up_has_surely_saved_nothing() -> None:
    """A full backlog: the handshake does not come to an end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        try:
            with pytest.raises(VendorUnavailable):
                client = open_client(timeout_seconds=0.3, connect_seconds=0.2)
                with transport_errors("vendor", "create", may_have_saved=True):
                    await client.post(f"http://127.0.0.1:{address[1]}/", content=b"claim")
        finally:
            await client.aclose()
            for each in waiting:
                each.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("999999", 3600.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("nan", 1.0),
        ("inf", 1.0),
        ("soon", 1.0),
        ("9" * 5000, 1.0),
        ("", 1.0),
    ],
)
def test_any_retry_after_is_a_bounded_number_of_seconds(header: str, seconds: float) -> None:
    """RFC 9110 section 10.2.3: a number or a date; anything else says nothing."""
    assert retry_after_seconds(httpx.Response(429, headers={"Retry-After": header})) == seconds
