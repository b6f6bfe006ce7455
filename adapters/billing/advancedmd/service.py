"""Calls to AdvancedMD: within the budget, in the shared session, once more after the session has ended."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from adapters.billing.advancedmd import errors, replies
from adapters.billing.advancedmd.errors import SessionExpired
from adapters.billing.advancedmd.requests import Message
from adapters.billing.advancedmd.session import Session, Ticket, post
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.throttle import Throttle
from adapters.billing.advancedmd.wire import Tree
from gateway.kit.http import open_client
from gateway.ports.context import AdapterContext


class AdvancedMdService:
    """The service with one connection's session and budget."""

    def __init__(self, settings: AdvancedMdSettings, context: AdapterContext) -> None:
        self._form, self._context = settings.message_form, context
        self._throttle = Throttle(settings, context.pacer, context.now)
        self._session = Session(settings, context, self._throttle)
        self._client = open_client(timeout_seconds=settings.timeout_seconds)

    async def call(self, message: Message) -> Tree:
        """The `Results` of one call; raises the `AdapterError` that any other answer means."""
        ticket = await self._session.ticket(self._client)
        try:
            return await self._send(message, ticket)
        except SessionExpired:  # nothing was done, so sending once more is safe for any message
            return await self._send(message, await self._session.ticket(self._client, stale=ticket))

    async def sign_in(self) -> None:
        """Have a session; raises the `AdapterError` of a refused login."""
        await self._session.ticket(self._client)

    async def aclose(self) -> None:
        """Close the network client."""
        await self._client.aclose()

    async def _send(self, message: Message, ticket: Ticket) -> Tree:
        await self._throttle.admit(message.action)
        sent_at = self._context.now().astimezone(self._context.clinic.timezone)
        tree = message.tree(ticket.token, sent_at)
        response = await post(self._client, message.action, ticket.address, self._form, tree)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise errors.throttled(message.action, self._throttle.retry_seconds)
        return replies.read(message.action, response.status_code, response.content)


@dataclass(slots=True)
class Calls:
    """The calls made for one purpose, counted."""

    service: AdvancedMdService
    made: int = 0

    async def call(self, message: Message) -> Tree:
        """`AdvancedMdService.call`, counted when it is made, whatever becomes of it."""
        self.made += 1
        return await self.service.call(message)
