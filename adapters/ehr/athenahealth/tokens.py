"""The app at athenahealth's token endpoint: by secret (HTTP Basic) or by a signed assertion (section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from adapters.ehr.athenahealth.errors import VENDOR
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from gateway.canonical.errors import RateLimited
from gateway.kit.http import transport_errors
from gateway.kit.oauth import ClientSecretTokens, OAuthClient
from gateway.kit.smart import ASSERTION_TYPE
from gateway.kit.smart_key import SigningKey
from gateway.kit.tokens import token_refusal
from gateway.ports.context import AdapterContext


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class AthenaClient(OAuthClient):
    """A 2-legged app. With a `key` it signs; `secret` then only seals the token that all workers share."""

    now: Callable[[], datetime]
    key: SigningKey | None = None

    async def ask(self, http: httpx.AsyncClient, form: Mapping[str, str]) -> httpx.Response:
        """Send a token request; one over the limit is blocked for the rest of the clock's minute."""
        try:
            if self.key is None:
                return await OAuthClient.ask(self, http, form)
            return await self._signed(http, form, self.key)
        except RateLimited as problem:
            pause = max(problem.retry_after or 0.0, 60.0 - self.now().second)
            raise RateLimited(VENDOR, "token", problem.text, retry_after=pause) from None

    async def _signed(self, http: httpx.AsyncClient, form: Mapping[str, str], key: SigningKey) -> httpx.Response:
        assertion = key.assertion(self.client_id, self.token_url, self.now())
        signed = {**form, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        with transport_errors(VENDOR, "token"):
            response = await http.post(self.token_url, data=signed, headers={"Accept": "application/json"})
        if response.status_code not in (200, 201):
            raise token_refusal(VENDOR, response)
        return response


def open_tokens(settings: AthenahealthSettings, context: AdapterContext, http: httpx.AsyncClient) -> ClientSecretTokens:
    """The tokens of a connection; raises `ConfigurationError` for a key that cannot sign."""
    private = settings.private_key.get_secret_value()
    client = AthenaClient(
        vendor=VENDOR,
        token_url=f"{settings.host}/oauth2/v1/token",
        client_id=settings.client_id,
        secret=private or settings.client_secret.get_secret_value(),
        now=context.now,
        key=SigningKey.load(private, settings.algorithm, settings.key_id) if private else None,
    )
    return ClientSecretTokens(client, context, http, scopes=settings.asked_scopes)
