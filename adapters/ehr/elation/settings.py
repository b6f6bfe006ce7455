"""The settings of an Elation connection."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from adapters.ehr.elation.keys import public_key
from gateway.kit.ehr_vendor_settings import OwnBilling, VendorSettings
from gateway.kit.smart_key import safe_url


class ElationSettings(VendorSettings):
    """One clinic's connection to Elation; the README's table lists the fields."""

    base_url: str = Field(
        default="https://app.elationemr.com/api/2.0",
        description="The root of the API. https, or http on the same machine.",
    )
    client_id: str = Field(min_length=1, description="The client id of the app's credentials.")
    client_secret: SecretStr = Field(description="The client secret of the app's credentials.")
    scopes: tuple[str, ...] = Field(
        default=(), description="The scopes to ask for; by default Elation grants all that the credentials have."
    )
    token_url: str = Field(default="", description="The token endpoint; by default oauth2/token/ below base_url.")
    practice_id: str = Field(
        default="", pattern=r"^\d*$", description="Bills of this practice only; needed when the app sees several."
    )
    signing_public_keys: tuple[str, ...] = Field(
        default=(),
        description="signing_pub_key of the subscriptions, to pin them; by default learned when subscribing.",
    )
    own_billing: OwnBilling = Field(
        default=OwnBilling.HOLD,
        description="A bill that somebody else has marked as billed. hold: it is held. ignore: the mark means nothing.",
    )
    poll_seconds: int = Field(
        default=300, ge=0, description="Seconds between polls; 0: only after a notification that names no bill."
    )
    window_days: int = Field(
        default=30, ge=1, description="How long after the visit a poll still looks for changes of its bill, in days."
    )
    settle_seconds: float = Field(
        default=60.0, ge=0, description="How long a bill is left alone after a notice: it may still change."
    )
    max_connections: int = Field(default=8, ge=1, description="The most connections held open to Elation.")

    @property
    def token_endpoint(self) -> str:
        """Where tokens come from."""
        return self.token_url or f"{self.base_url}/oauth2/token/"

    @field_validator("base_url", "token_url")
    @classmethod
    def _url(cls, value: str) -> str:
        url = value and safe_url(value)
        return url if url.endswith("token/") else url.rstrip("/")

    @field_validator("signing_public_keys")
    @classmethod
    def _keys(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            public_key(text)
        return value
