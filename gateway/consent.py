"""A person's consent at an EHR (`gateway connect`): a callback page on this machine, or the address pasted by hand.

The code of a consent goes from the browser straight to the EHR's token endpoint; neither it nor a token is shown or
logged. Source: RFC 6749 sections 4.1 and 10.12, RFC 8252 section 7.3.
"""

from __future__ import annotations

import asyncio
import hmac
import html
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.api.server import listening_socket, serve
from gateway.app import Gateway, open_gateway
from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import AdapterError, ConfigurationError
from gateway.operations import print_probes
from gateway.pipeline.receive import new_trace
from gateway.ports.context import Probe, utc_now
from gateway.ports.ehr import Consent, EhrAdapter, EhrCapability
from gateway.settings import LoadedSettings

HOST, PATH = "127.0.0.1", "/callback"
_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
    "<body style='font:16px system-ui;margin:4em auto;max-width:36em'><h1>{title}</h1><p>{text}</p></body></html>"
)
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)

Accept = Callable[[str], Awaitable[list[Probe]]]


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """What `gateway connect` was asked for. `show` opens a page for the person; `ask` gives a pasted address."""

    port: int = 8765
    redirect_uri: str = ""
    paste: bool = False
    timeout_seconds: float = 300.0
    show: Callable[[str], object] = print
    ask: Callable[[], str] = input


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to the browser."""

    status: int
    title: str
    text: str


class ConsentFailed(Exception):
    """There is no consent; the text is for the person."""


class Callback:
    """Takes one answer of the EHR, if it brings the state that was sent along, and exchanges its code at once."""

    def __init__(self, state: str, accept: Accept) -> None:
        self._state, self._accept = state, accept
        self.result: asyncio.Future[list[Probe]] = asyncio.get_running_loop().create_future()
        self._used = False

    async def take(self, query: Mapping[str, str]) -> Page:
        """What the browser is shown."""
        given = query.get("state", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._state.encode()):
            return Page(400, "Not the consent that was asked for", "Start again with the address that was printed.")
        if self._used:
            return Page(410, "Used already", "This consent was taken. Close this page.")
        self._used = True
        try:
            probes = await self._accept(_code_of(query))
        except (ConsentFailed, AdapterError) as problem:
            text = problem.text if isinstance(problem, AdapterError) else str(problem)
            self._settle(ConsentFailed(text))
            return Page(400, "Not connected", f"{text[:1].upper()}{text[1:]}.")
        self._settle(probes)
        missing = [probe.what for probe in probes if not probe.ok]
        more = f" Some of it does not work yet: {', '.join(missing)}; the terminal says what to do." if missing else ""
        return Page(200, "Connected", f"The gateway is connected. You may close this page.{more}")

    def _settle(self, outcome: list[Probe] | ConsentFailed) -> None:
        if self.result.done():
            return
        if isinstance(outcome, ConsentFailed):
            self.result.set_exception(outcome)
        else:
            self.result.set_result(outcome)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve ASGI 3: the callback's path alone."""
        page = Page(404, "Nothing here", "The EHR sends the browser to another address.")
        if scope["path"] == PATH and scope["method"] == "GET":
            page = await self.take(_query(scope["query_string"].decode("latin-1")))
        body = _PAGE.format(title=html.escape(page.title), text=html.escape(page.text)).encode()
        await send({"type": "http.response.start", "status": page.status, "headers": list(_HEADERS)})
        await send({"type": "http.response.body", "body": body})


async def connect(loaded: LoadedSettings, target: str, options: ConnectOptions) -> int:
    """Walk a person through the consent; 0 when the connection works, 1 when something is to be fixed."""
    clinic, name = _named(loaded, target)
    async with open_gateway(loaded) as gateway:
        await gateway.session.open()
        info = gateway.connections.ehr_info(clinic, name)
        if EhrCapability.CONSENT not in info.capabilities:
            problem = f"{info.title} needs nobody's consent."
            raise ConfigurationError(target, problem, "`gateway check` tries the connection.")
        try:
            probes = await _consented(gateway.connections.ehr(clinic, name), options)
        except ConsentFailed as failure:
            probes = [Probe("consent", ok=False, detail=str(failure), remedy="Run `gateway connect` again.")]
        else:
            await _resume(gateway, clinic, name)
    print_probes({f"{clinic} / {name} ({info.title})": probes})
    return 0 if all(probe.ok for probe in probes) else 1


async def _consented(adapter: EhrAdapter, options: ConnectOptions) -> list[Probe]:
    redirect_uri = options.redirect_uri or f"http://{HOST}:{options.port}{PATH}"

    async def accept(code: str) -> list[Probe]:
        return await adapter.accept_consent(code, redirect_uri)

    consent = adapter.consent(redirect_uri)
    callback = Callback(consent.state, accept)
    return await (_pasted if options.paste else _called_back)(callback, consent, options)


async def _called_back(callback: Callback, consent: Consent, options: ConnectOptions) -> list[Probe]:
    listening, stop = listening_socket(HOST, options.port), asyncio.Event()
    serving = asyncio.create_task(serve(callback, listening, stop))
    try:
        await asyncio.to_thread(options.show, consent.authorize_url)
        return await asyncio.wait_for(asyncio.shield(callback.result), options.timeout_seconds)
    except TimeoutError:
        minutes = options.timeout_seconds / 60
        raise ConsentFailed(f"nobody consented within {minutes:.0f} minutes") from None
    finally:
        stop.set()
        await serving


async def _pasted(callback: Callback, consent: Consent, options: ConnectOptions) -> list[Probe]:
    await asyncio.to_thread(options.show, consent.authorize_url)
    page = await callback.take(_query(urlsplit((await asyncio.to_thread(options.ask)).strip()).query))
    if not callback.result.done():
        raise ConsentFailed(f"{page.title}: {page.text}")
    return callback.result.result()


def _code_of(query: Mapping[str, str]) -> str:
    if query.get("error") == "access_denied":
        raise ConsentFailed("the consent was refused at the EHR (access_denied)")
    if "error" in query or not query.get("code"):
        raise ConsentFailed("the EHR gave no consent")
    return query["code"]


def _query(text: str) -> dict[str, str]:
    return dict(parse_qsl(text))


def _named(loaded: LoadedSettings, target: str) -> tuple[str, str]:
    """The clinic and the EHR connection that NAME or CLINIC/NAME means."""
    clinic, _, name = target.rpartition("/")
    found = [c for c, s in loaded.gateway.clinics.items() if name in s.ehr and clinic in ("", c)]
    if len(found) == 1:
        return found[0], name
    if found:
        problem, remedy = f"several clinics have a connection named {name}.", f"Name one: {found[0]}/{name}."
    else:
        known = [f"{c}/{n}" for c, s in loaded.gateway.clinics.items() for n in s.ehr]
        problem, remedy = f"has no EHR connection named {target}.", f"It has: {', '.join(known)}."
    raise ConfigurationError(str(loaded.path), problem, remedy)


async def _resume(gateway: Gateway, clinic: str, name: str) -> None:
    """A connection that stopped for want of consent works again."""
    event = AuditEvent(Step.CONNECTION_RESUMED, utc_now(), clinic, new_trace(), target=name)
    async with gateway.store.unit_of_work(clinic) as unit:
        await unit.resume_connection(name)
        await unit.commit(event)
