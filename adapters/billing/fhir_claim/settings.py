"""The settings of a connection to a FHIR R4 server that takes claims; the README's table lists the fields."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from gateway.kit.smart_key import safe_url


class Mode(StrEnum):
    """How a claim is handed over."""

    SUBMIT = "submit"
    TRANSACTION = "transaction"


class Auth(StrEnum):
    """How the gateway shows who it is."""

    NONE = "none"
    BEARER = "bearer"
    BASIC = "basic"
    SMART = "smart"


SCOPES = ("system/Claim.crs", "system/ClaimResponse.rs")
_NEEDS = {
    Auth.NONE: (),
    Auth.BEARER: ("token",),
    Auth.BASIC: ("user", "password"),
    Auth.SMART: ("client_id", "private_key"),
}


class FhirClaimSettings(BaseModel):
    """One clinic's link to a FHIR server. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="The server's FHIR R4 base URL. https, or http on the same machine.")
    mode: Mode = Field(
        Mode.SUBMIT,
        description="submit: the operation Claim/$submit. transaction: a transaction Bundle, for servers without it.",
    )
    submit_body: Literal["bundle", "parameters"] = Field(
        "bundle", description="What is posted to Claim/$submit: the Bundle itself, or Parameters that hold it."
    )
    supporting: Literal["update", "create"] = Field(
        "update",
        description="What a transaction does with a patient, coverage or provider that the server has from an earlier "
        "claim. update: bring it up to date. create: leave it as it is.",
    )
    conditional_create: bool = Field(
        True,
        description="Ask the server not to save a second claim of one submission (If-None-Exist, ifNoneExist); false "
        "only for a server that refuses the question.",
    )
    auth: Auth = Field(
        Auth.NONE, description="none, bearer (token), basic (user, password), or smart (SMART Backend Services)."
    )
    token: SecretStr | None = Field(None, description="The static access token; for bearer.")
    user: str = Field("", description="The user name; for basic.")
    password: SecretStr | None = Field(None, description="The password; for basic.")
    client_id: str = Field("", description="The client id that the server gave to the gateway; for smart.")
    private_key: SecretStr | None = Field(
        None, description="The gateway's private key, PEM text or a JWK as JSON text; for smart."
    )
    key_id: str = Field("", description="The key's kid in the published JWKS; by default the JWK's own kid.")
    algorithm: Literal["RS384", "ES384"] = Field(
        "RS384", description="Signature of the client assertion: RS384 or ES384."
    )
    scopes: tuple[str, ...] = Field(
        SCOPES, description="The scopes to ask for, v1 or v2, never mixed; a transaction writes more types."
    )
    token_url: str | None = Field(
        None, description="The token endpoint, when the server's own discovery document lacks it or is wrong."
    )
    settle_seconds: float = Field(
        120.0,
        ge=0,
        description="How long after a lost answer the server may still be saving; only then is it searched.",
    )
    timeout_seconds: float = Field(30.0, gt=0, le=300, description="Longest wait for one answer, in seconds.")

    @field_validator("base_url", "token_url")
    @classmethod
    def _only_over_tls(cls, value: str | None) -> str | None:
        return None if value is None else safe_url(value).rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        missing = [name for name in _NEEDS[self.auth] if not getattr(self, name)]
        if missing:
            raise ValueError(f"auth: {self.auth.value} needs {' and '.join(missing)}")
        return self
