"""The few HTTP pieces that a simulator needs on bare ASGI: a request, an answer, and the ways to fail."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from gateway.canonical import jsonio
from gateway.kit.simulator import ConnectionReset, FaultKind

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Resource = dict[str, Any]

FHIR_JSON = "application/fhir+json"
_LOGIN_PAGE = b"<!doctype html><html><title>Sign in</title><body>Please sign in to continue.</body></html>"


@dataclass(slots=True)
class Request:
    """One HTTP request; `path` is below the server's root, header names are in lower case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes = b""

    def pairs(self) -> list[tuple[str, str]]:
        """The query parameters in order, empty values dropped (R4 search: an empty parameter is ignored)."""
        return parse_qsl(self.query)

    def form(self) -> list[tuple[str, str]]:
        """The parameters of a form-encoded body in order."""
        return parse_qsl(self.body.decode("utf-8", "replace"))


@dataclass(slots=True)
class Response:
    """One HTTP answer."""

    status: int = 200
    body: bytes = b""
    media: str = FHIR_JSON
    headers: tuple[tuple[str, str], ...] = ()


class Refused(Exception):
    """Raised anywhere below a route to answer at once with `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status}")
        self.response = response


def fhir(resource: Resource, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A FHIR JSON answer."""
    return Response(status, jsonio.dumps(resource), headers=headers)


def plain_json(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A JSON answer that is not FHIR: discovery, token endpoint, control routes."""
    return Response(status, jsonio.dumps(value), "application/json", headers)


def html(status: int, title: str) -> Response:
    """A page of a web server, such as an error or a maintenance page."""
    page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Response(status, page.encode(), "text/html; charset=utf-8")


def outcome(status: int, code: str, diagnostics: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An OperationOutcome with one error issue; `code` is an R4 issue-type (fhir_rest section 5)."""
    issue = {"severity": "error", "code": code, "diagnostics": diagnostics}
    return fhir({"resourceType": "OperationOutcome", "issue": [issue]}, status, headers)


def refuse(status: int, code: str, diagnostics: str, headers: tuple[tuple[str, str], ...] = ()) -> Refused:
    """The exception that answers with `outcome(...)`."""
    return Refused(outcome(status, code, diagnostics, headers))


def parse_json(body: bytes) -> Any:
    """The JSON of a request body; answers 400 when it is none."""
    try:
        return jsonio.loads(body)
    except jsonio.NotJson as problem:
        raise refuse(400, "structure", str(problem)) from None


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body ({} when the body is empty); answers 400 for anything else."""
    value = parse_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise refuse(400, "structure", "the body is not a JSON object")
    return value


async def read_request(scope: MutableMapping[str, Any], receive: Receive, base_path: str) -> Request:
    """The whole request of an ASGI http scope; the mount point and the base URL's own path are taken off."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix(base_path)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return Request(scope["method"], path, scope["query_string"].decode("latin-1"), headers, body)


async def send_response(send: Send, response: Response) -> None:
    """Send an answer in one piece."""
    headers: list[tuple[bytes, bytes]] = []
    if response.status not in (204, 304):
        length = str(len(response.body)).encode()
        headers += [(b"content-length", length), (b"content-type", response.media.encode())]
    headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def fault_response(kind: FaultKind) -> Response | None:
    """The answer of a fault that has one; None for the faults that answer nothing."""
    return {
        FaultKind.HTTP_500: outcome(500, "exception", "injected failure"),
        FaultKind.HTTP_500_AFTER_SAVE: outcome(500, "exception", "injected failure"),
        FaultKind.RATE_LIMIT: outcome(429, "throttled", "too many requests", (("Retry-After", "1"),)),
        FaultKind.GARBAGE: Response(200, _LOGIN_PAGE, "text/html; charset=utf-8"),
        FaultKind.UNAUTHORIZED: unauthorized("login", "injected refusal"),
    }.get(kind)


def unauthorized(code: str, diagnostics: str) -> Response:
    """401 with the challenge of RFC 6750 section 3: no error code when no token was sent."""
    challenge = "Bearer" if code == "login" else 'Bearer error="invalid_token"'
    return outcome(401, code, diagnostics, (("WWW-Authenticate", challenge),))


async def until_client_leaves(receive: Receive) -> None:
    """Never answer: wait until the client gives up, so that the server can still be shut down."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def reset_connection(receive: Receive, send: Send) -> None:
    """Close the connection without an answer.

    Under uvicorn `send` is a method of the object that owns the socket; behind a wrapper that hides it, an answer
    that ends before its announced length makes the server close the connection instead.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await until_client_leaves(receive)
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000000")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
    raise ConnectionReset
