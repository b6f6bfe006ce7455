"""One session for all workers of a connection: two login posts, a shared token, never a second bad login (section 2).

The token lies in the shared values, sealed with the password. Logins are throttled to one a minute and bad ones lock
the account, so a worker logs in under a lock that all share, and a refusal is remembered there: workers that wait for
the lock do not try the same credentials again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx

from adapters.billing.advancedmd import actions, errors, replies, requests, wire
from adapters.billing.advancedmd.errors import VENDOR
from adapters.billing.advancedmd.settings import LOOPBACK, AdvancedMdSettings
from adapters.billing.advancedmd.throttle import Throttle
from gateway.canonical import jsonio
from gateway.canonical.errors import CredentialsRejected, ErrorCode
from gateway.kit.http import transport_errors
from gateway.kit.sealing import seal, unseal
from gateway.ports.context import AdapterContext

LIFETIME = timedelta(hours=20)
REFUSED_FOR = timedelta(minutes=10)
_TRUSTED = ".advancedmd.com"
_PATH = "/xmlrpc/processrequest.aspx"
_SESSION, _REFUSED = "session", "login-refused"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A session: its token, the address of its server, and until when it is used (UTC, ISO)."""

    token: str
    address: str
    until: str


class Session:
    """The session of one connection, shared by its workers."""

    def __init__(self, settings: AdvancedMdSettings, context: AdapterContext, throttle: Throttle) -> None:
        self._settings, self._context, self._throttle = settings, context, throttle
        self._password = settings.password.get_secret_value()
        self._ticket: Ticket | None = None

    async def ticket(self, client: httpx.AsyncClient, stale: Ticket | None = None) -> Ticket:
        """A session that is not the stale one: remembered, shared, or of a new login."""
        found = self._usable(self._ticket, stale) or self._usable(await self._shared(), stale)
        if found is None:
            async with self._context.lock(f"advancedmd-login/{self._context.connection}"):
                found = self._usable(await self._shared(), stale) or await self._logged_in(client)
        self._ticket = found
        return found

    def _usable(self, ticket: Ticket | None, stale: Ticket | None) -> Ticket | None:
        if ticket is None or (stale is not None and ticket.token == stale.token):
            return None
        return ticket if self._context.now() < datetime.fromisoformat(ticket.until) else None

    async def _shared(self) -> Ticket | None:
        sealed = await self._context.shared.get(_SESSION)
        opened = unseal(sealed, self._password, _SESSION) if sealed else None
        return Ticket(**jsonio.loads(opened)) if opened else None

    async def _logged_in(self, client: httpx.AsyncClient) -> Ticket:
        await self._not_refused_before()
        await self._throttle.admit(actions.LOGIN)
        try:
            ticket = await self._login(client)
        except CredentialsRejected as refusal:
            sealed = seal(refusal.text.encode(), self._password, _REFUSED)
            await self._context.shared.put(_REFUSED, sealed, REFUSED_FOR)
            raise
        value = seal(jsonio.dumps(asdict(ticket)), self._password, _SESSION)
        await self._context.shared.put(_SESSION, value, LIFETIME)
        return ticket

    async def _not_refused_before(self) -> None:
        """A changed password cannot unseal the refusal of the former one, and is tried."""
        sealed = await self._context.shared.get(_REFUSED)
        told = unseal(sealed, self._password, _REFUSED) if sealed else None
        if told is not None:
            text = f"{told.decode()} (refused before; not tried again so soon, bad logins lock the account)"
            raise CredentialsRejected(VENDOR, actions.LOGIN, text)

    async def _login(self, client: httpx.AsyncClient) -> Ticket:
        address = self._settings.login_url
        found = await self._post(client, address)
        if not found.token:
            address = message_address(found.webserver, self._settings.allowed_hosts)
            found = await self._post(client, address)
        elif found.webserver:
            address = message_address(found.webserver, self._settings.allowed_hosts)
        if not found.token:
            text = "the login redirects a second time"
            raise CredentialsRejected(VENDOR, actions.LOGIN, text, code=ErrorCode.UNEXPECTED_RESPONSE)
        return Ticket(found.token, address, (self._context.now() + LIFETIME).isoformat())

    async def _post(self, client: httpx.AsyncClient, address: str) -> replies.LoginReply:
        settings = self._settings
        sent_at = self._context.now().astimezone(self._context.clinic.timezone)
        message = requests.login(settings, sent_at)
        # Both forms log in; the shape of the answer is documented for XML.
        response = await post(client, actions.LOGIN, address, "xml", message)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise errors.throttled(actions.LOGIN, self._throttle.retry_seconds)
        return replies.login_reply(response.status_code, response.content)


def message_address(webserver: str, allowed_hosts: tuple[str, ...]) -> str:
    """Where messages go; raises before the password would be posted to a host that is not AdvancedMD's."""
    address = urlsplit(webserver if "://" in webserver else f"https://{webserver}")
    host = (address.hostname or "").lower()
    secure = address.scheme == "https" or (address.scheme == "http" and host in LOOPBACK)
    trusted = host.endswith(_TRUSTED) or any(host == name or host.endswith(f".{name}") for name in allowed_hosts)
    if not secure or not trusted or address.username is not None:
        text = "the login redirects to a host that is not AdvancedMD's; the password was not sent there"
        raise CredentialsRejected(VENDOR, actions.LOGIN, text, code=ErrorCode.UNEXPECTED_RESPONSE)
    return f"{address.scheme}://{address.netloc}{address.path.rstrip('/')}{_PATH}"


async def post(
    client: httpx.AsyncClient, action: str, address: str, form: wire.Form, message: dict[str, Any]
) -> httpx.Response:
    """One post of a message, with failures of the transport translated."""
    headers = {"content-type": wire.CONTENT_TYPES[form], "accept": wire.CONTENT_TYPES[form].partition(";")[0]}
    body = wire.encode(form, message)
    try:
        with transport_errors(VENDOR, action, may_have_saved=action in actions.CREATES_CLAIM):
            return await client.post(address, content=body, headers=headers)
    except httpx.DecodingError:  # a broken content encoding is an answer, not a transport failure, to httpx
        raise errors.unreadable(action) from None
