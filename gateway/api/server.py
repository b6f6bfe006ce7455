"""Runs an ASGI application until it is told to stop; signals belong to the caller."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from gateway.canonical.errors import ConfigurationError


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signal handlers alone: workers in the same process stop with the server."""
        yield


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; raises `ConfigurationError` when the address is taken or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio switches Nagle's delay off: 40 ms a response otherwise.
        bound = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as problem:
        remedy = "Stop the program that uses the address, or choose another in server.host and server.port."
        raise ConfigurationError(f"{host}:{port}", f"cannot be listened on ({problem.strerror}).", remedy) from None
    return bound


async def serve(app: Any, listening: socket.socket, stop: asyncio.Event, *, lifespan: bool = False) -> None:
    """Serve on a bound socket until `stop` is set; `lifespan` lets the application open and close things of its own."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on" if lifespan else "off",
        timeout_graceful_shutdown=5,
        server_header=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving
