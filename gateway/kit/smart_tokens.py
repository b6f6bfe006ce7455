"""The tokens of a connection, by the client authentication that its settings name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx

from gateway.canonical.errors import ConfigurationError
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
        key=_key(settings),
        scopes=scopes,
        http=http,
        token_url=settings.token_url,
        now=context.now,
        refusal=refusal,
        before=before,
        dated=settings.assertion_dates,
    )


def published_keys(settings: SmartSettings) -> tuple[Mapping[str, Any], ...]:
    """The public JWKs that the EHR must know: the key in use, and the one that will replace it; none without a key.

    Raises `ConfigurationError` for a key that cannot sign, and for two keys of one id (row K5).
    """
    if settings.client_authentication is not ClientAuthentication.PRIVATE_KEY_JWT:
        return ()
    keys = [_key(settings)]
    if following := settings.next_private_key.get_secret_value():
        keys.append(SigningKey.load(following, settings.algorithm))
    if len({key.key_id for key in keys}) < len(keys):
        remedy = "Give the new key another kid, or leave next_private_key out once it is private_key."
        raise ConfigurationError("next_private_key", "it has the key id of private_key.", remedy)
    return tuple(key.public_jwk() for key in keys)


def _key(settings: SmartSettings) -> SigningKey:
    return SigningKey.load(settings.private_key.get_secret_value(), settings.algorithm, settings.key_id)
