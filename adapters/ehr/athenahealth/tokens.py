"""The app at athenahealth's token endpoint: by secret (HTTP Basic) or by a signed assertion (section 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import httpx

from adapters.ehr.athenahealth.errors import VENDOR, token_refused
from adapters.ehr.athenahealth.settings import AthenahealthSettings
from gateway.kit.http import transport_errors
from gateway.kit.oauth import ClientSecretTokens, OAuthClient
from gateway.kit.smart import ASSERTION_TYPE
from gateway.kit.smart_key import SigningKey
from gateway.ports.context import AdapterContext


@dataclass(frozen=True, slots=True, repr=False, kw_only=True)
class SigningClient(OAuthClient):
    """A client that signs; its `secret`, the private key, then only seals the token that all workers share."""

    key: SigningKey
    now: Callable[[], datetime]

    async def ask(self, http: httpx.AsyncClient, form: Mapping[str, str]) -> httpx.Response:
        """Send a token request with a fresh assertion; raises what the refusal means."""
        assertion = self.key.assertion(self.client_id, self.token_url, self.now())
        signed = {**form, "client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        with transport_errors(VENDOR, "token"):
            response = await http.post(self.token_url, data=signed, headers={"Accept": "application/json"})
        if response.status_code not in (200, 201):
            raise self.refusal(VENDOR, response)
        return response


def open_tokens(settings: AthenahealthSettings, context: AdapterContext, http: httpx.AsyncClient) -> ClientSecretTokens:
    """The tokens of a connection; raises `ConfigurationError` for a key that cannot sign."""
    url, private = f"{settings.host}/oauth2/v1/token", settings.private_key.get_secret_value()
    client = OAuthClient(
        VENDOR, url, settings.client_id, settings.client_secret.get_secret_value(), refusal=token_refused
    )
    if private:
        key = SigningKey.load(private, settings.algorithm, settings.key_id)
        client = SigningClient(
            VENDOR, url, settings.client_id, private, refusal=token_refused, key=key, now=context.now
        )
    return ClientSecretTokens(client, context, http, scopes=settings.asked_scopes)
