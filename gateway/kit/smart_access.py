"""The settings that say how the gateway reaches an EHR's FHIR server and proves there who it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from gateway.kit.ehr_client import FHIR_JSON
from gateway.kit.smart_key import safe_url


class ClientAuthentication(StrEnum):
    """How the gateway proves at the token endpoint who it is."""

    PRIVATE_KEY_JWT = "private_key_jwt"
    CLIENT_SECRET_BASIC = "client_secret_basic"  # noqa: S105 - a method's name
    CLIENT_SECRET_POST = "client_secret_post"  # noqa: S105 - a method's name
    NONE = "none"


class SmartAccess(BaseModel):
    """Address, credentials and manners of one FHIR server."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="The EHR's FHIR R4 base URL. https, or http on the same machine.")
    client_authentication: ClientAuthentication = Field(
        default=ClientAuthentication.PRIVATE_KEY_JWT,
        description="private_key_jwt, client_secret_basic, client_secret_post, or none for a server without tokens.",
    )
    client_id: str = Field(default="", description="The client id that the EHR gave to the registered app.")
    private_key: SecretStr = Field(
        default=SecretStr(""), description="The app's private key for private_key_jwt: PEM text or a JWK as JSON text."
    )
    client_secret: SecretStr = Field(
        default=SecretStr(""), description="The app's secret for client_secret_basic and client_secret_post."
    )
    key_id: str = Field(default="", description="The key's kid in the published JWKS; by default the JWK's own kid.")
    next_private_key: SecretStr = Field(
        default=SecretStr(""), description="The key that will replace private_key: published beside it beforehand."
    )
    algorithm: str = Field(
        default="RS384", pattern="^(RS384|ES384)$", description="Signature of the client assertion: RS384 or ES384."
    )
    assertion_dates: bool = Field(
        default=True, description="Send iat and nbf in the client assertion, five seconds back for clocks that differ."
    )
    token_url: str | None = Field(
        default=None, description="The token endpoint, when the EHR's own discovery document lacks it or is wrong."
    )
    accept: str = Field(default=FHIR_JSON, min_length=1, description="The Accept header of FHIR requests.")
    calls_per_minute: int = Field(
        default=0, ge=0, description="The most requests a minute, token requests among them; 0: no limit is known."
    )

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str) -> str:
        return safe_url(value).rstrip("/")

    @field_validator("token_url")
    @classmethod
    def _token(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value)

    @model_validator(mode="after")
    def _registration(self) -> Self:
        """The client id, and the key or the secret that the client authentication asks for."""
        way = self.client_authentication
        if way is ClientAuthentication.NONE:
            return self
        needed = "private_key" if way is ClientAuthentication.PRIVATE_KEY_JWT else "client_secret"
        if not self.client_id or not getattr(self, needed).get_secret_value():
            raise ValueError(f"client_id and {needed} are needed when client_authentication is {way.value}")
        return self
