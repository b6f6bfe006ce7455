"""The tokens of a consent, and the page where it is given. Source: vendor document section 2."""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

import httpx

from adapters.ehr.drchrono.errors import VENDOR
from adapters.ehr.drchrono.settings import DrChronoSettings
from gateway.kit.oauth import ConsentTokens, OAuthClient, SecretPlace, SharedTokens
from gateway.ports.context import AdapterContext
from gateway.ports.ehr import Consent


class DrChronoTokens(ConsentTokens):
    """A user's consent; a refresh token in the settings stands for one as long as none is stored."""

    def __init__(self, settings: DrChronoSettings, context: AdapterContext, http: httpx.AsyncClient) -> None:
        secret = settings.client_secret.get_secret_value()
        client = OAuthClient(VENDOR, f"{settings.base_url}/o/token/", settings.client_id, secret, SecretPlace.BODY)
        super().__init__(client, context, http, scopes=settings.scopes)
        self._given = settings.refresh_token.get_secret_value()

    async def _ask(self, held: SharedTokens | None) -> SharedTokens:
        if held is None and self._given:
            held = SharedTokens("", self._context.now(), (), self._given)
        return await super()._ask(held)


def consent(settings: DrChronoSettings, redirect_uri: str) -> Consent:
    """Where the user consents; the state comes back with the code."""
    state = secrets.token_urlsafe(32)
    asked = {
        "redirect_uri": redirect_uri,
        "response_type": "code",
        "client_id": settings.client_id,
        "scope": " ".join(settings.scopes),
        "state": state,
    }
    return Consent(f"{settings.base_url}/o/authorize/?{urlencode(asked)}", state)
