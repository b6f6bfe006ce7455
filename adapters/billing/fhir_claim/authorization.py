"""How the gateway shows a FHIR server who it is: nothing, a static token, a password, or SMART Backend Services."""

from __future__ import annotations

import base64

import httpx

from adapters.billing.fhir_claim.errors import VENDOR
from adapters.billing.fhir_claim.settings import Auth, FhirClaimSettings
from gateway.kit.smart import SmartBackendClient
from gateway.kit.smart_key import SigningKey
from gateway.ports.context import AdapterContext


class Authorization:
    """The `Authorization` header of each request; with SMART the token is fetched, kept and renewed."""

    def __init__(self, settings: FhirClaimSettings, context: AdapterContext, http: httpx.AsyncClient) -> None:
        self.smart = _smart_client(settings, context, http) if settings.auth is Auth.SMART else None
        self._static = _static_header(settings)

    async def headers(self, refused: str | None = None) -> dict[str, str]:
        """The header, or none; `refused` is the value of an earlier one that the server answered 401 to."""
        value = self._static
        if self.smart is not None:
            value = f"Bearer {await self.smart.token(refused=refused and refused.removeprefix('Bearer '))}"
        return {"Authorization": value} if value else {}

    async def aclose(self) -> None:
        """Give up a renewal that is under way."""
        if self.smart is not None:
            await self.smart.aclose()


def _static_header(settings: FhirClaimSettings) -> str:
    if settings.auth is Auth.BEARER and settings.token is not None:
        return f"Bearer {settings.token.get_secret_value()}"
    if settings.auth is Auth.BASIC and settings.password is not None:
        pair = f"{settings.user}:{settings.password.get_secret_value()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"
    return ""


def _smart_client(
    settings: FhirClaimSettings, context: AdapterContext, http: httpx.AsyncClient
) -> SmartBackendClient | None:
    if settings.private_key is None:
        return None
    return SmartBackendClient(
        vendor=VENDOR,
        base_url=settings.base_url,
        client_id=settings.client_id,
        key=SigningKey.load(settings.private_key.get_secret_value(), settings.algorithm, settings.key_id),
        scopes=settings.scopes,
        http=http,
        token_url=settings.token_url,
        now=context.now,
    )
