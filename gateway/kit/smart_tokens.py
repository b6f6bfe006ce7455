"""The tokens of a connection, by the client authentication that its settings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import httpx

from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.oauth import OAuthClient, SecretPlace
from gateway.kit.smart import Discovery, NoTokens, SmartBackendClient, SmartSecretTokens
from gateway.kit.smart_access import ClientAuthentication
from gateway.kit.smart_key import SigningKey
from gateway.kit.tokens import TokenRefusal
from gateway.ports.context import AdapterContext

SmartTokens = SmartBackendClient | SmartSecretTokens | NoTokens

_PLACES: Mapping[ClientAuthentication, SecretPlace] = {
    ClientAuthentication.CLIENT_SECRET_BASIC: SecretPlace.BASIC,
    ClientAuthentication.CLIENT_SECRET_POST: SecretPlace.BODY,
}


def smart_tokens(
    settings: SmartSettings,
    context: AdapterContext,
    http: httpx.AsyncClient,
    *,
    vendor: str,
    scopes: tuple[str, ...],
    refusal: TokenRefusal,
    before: Callable[[str], Awaitable[None]],
) -> SmartTokens:
    """The tokens of one connection; raises `ConfigurationError` for a key that cannot sign.

    `refusal` reads the vendor's token errors; `before` is awaited before each token request.
    """
    way = settings.client_authentication
    if way is ClientAuthentication.NONE:
        return NoTokens()
    if way in _PLACES:
        discovery = Discovery(vendor=vendor, base_url=settings.base_url, http=http, token_url=settings.token_url)
        secret = settings.client_secret.get_secret_value()
        client = OAuthClient(vendor, settings.token_url or "", settings.client_id, secret, _PLACES[way], refusal)
        return SmartSecretTokens(client, context, http, scopes=scopes, discovery=discovery, before=before)
    return SmartBackendClient(
        vendor=vendor,
        base_url=settings.base_url,
        client_id=settings.client_id,
        key=SigningKey.load(settings.private_key.get_secret_value(), settings.algorithm, settings.key_id),
        scopes=scopes,
        http=http,
        token_url=settings.token_url,
        now=context.now,
        refusal=refusal,
        before=before,
        dated=settings.assertion_dates,
    )
