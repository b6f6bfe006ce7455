"""The settings of one connection to athenahealth (athenaOne)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.kit.ehr_vendor_settings import OwnBilling, VendorSettings
from gateway.kit.smart_key import safe_url

PRODUCTION = "https://api.platform.athenahealth.com"
READ_SCOPES = ("athena/service/Athenanet.MDP.*", "system/Condition.read")
PUSH_SCOPES = ("system/SubscriptionTopic.read", "system/Subscription.read", "system/Subscription.write")


class AthenahealthSettings(VendorSettings):
    """One practice at athenahealth. The app authenticates by a secret or by a private key, never by both."""

    practice_id: str = Field(pattern=r"^\d+$", description="The practice's number at athenahealth.")
    department_ids: tuple[str, ...] = Field(
        default=(), description="Only visits of these departments are followed; none: of all departments."
    )
    host: str = Field(
        default=PRODUCTION,
        description="The API's host. The sandbox's is https://api.preview.platform.athenahealth.com.",
    )
    client_id: str = Field(min_length=1, description="The client id of the registered 2-legged app.")
    client_secret: SecretStr = Field(default=SecretStr(""), description="The app's secret, sent by HTTP Basic.")
    private_key: SecretStr = Field(
        default=SecretStr(""), description="Instead of a secret, the app's private key: PEM text or a JWK as JSON text."
    )
    key_id: str = Field(default="", description="The key's kid at athenahealth; by default the JWK's own kid.")
    algorithm: str = Field(
        default="RS384", pattern="^(RS384|ES384)$", description="Signature of the client assertion: RS384 or ES384."
    )
    scopes: tuple[str, ...] = Field(
        default=(), description="The scopes to ask for; none: those that the other settings need."
    )
    push: bool = Field(
        default=False, description="Subscribe to sign-off events, an alpha feature that athenahealth grants by hand."
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="The secret that signs incoming events; without it all are refused."
    )
    subscription_days: int = Field(default=365, ge=2, description="How many days an event subscription is asked for.")
    poll_seconds: int = Field(
        default=60, ge=0, description="Seconds between reads of the appointments feed; 0: it is not read."
    )
    lookback_minutes: int = Field(
        default=1440,
        ge=0,
        description="How far back the very first poll looks: at consumed rows, and at booked appointments.",
    )
    activation_seconds: float = Field(
        default=1200.0,
        ge=0,
        description="How long after subscribing to the feed the booked appointments are read beside it.",
    )
    settle_seconds: float = Field(
        default=300.0, ge=0, description="How long a closed encounter is left alone: its slip may still change."
    )
    watch_seconds: float = Field(
        default=60.0, ge=0, description="The least time between two looks at an encounter that is not closed yet."
    )
    reopen_days: int = Field(
        default=14, ge=0, description="How far back visits are looked at once a day for having been reopened; 0: not."
    )
    own_billing: OwnBilling = Field(
        default=OwnBilling.HOLD,
        description="hold: hold back a visit that athenahealth has billed itself. ignore: do not look.",
    )
    calls_per_second: int = Field(
        default=50, ge=0, description="Calls per second of this app over all workers (preview: 5); 0: not limited."
    )
    calls_per_day: int = Field(
        default=0, ge=0, description="Calls per day of this app, as agreed with athenahealth; 0: not limited."
    )
    max_connections: int = Field(default=16, ge=1, description="The most connections held open.")

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        """What the token is asked for."""
        return self.scopes or (*READ_SCOPES, *(PUSH_SCOPES if self.push else ()))

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        return safe_url(value).rstrip("/")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        secret, key = self.client_secret.get_secret_value(), self.private_key.get_secret_value()
        if bool(secret) == bool(key):
            raise ValueError("give either client_secret or private_key")
        if self.push and not self.webhook_secret.get_secret_value():
            raise ValueError("webhook_secret is needed when push is on")
        if not self.push and not self.poll_seconds:
            raise ValueError("with push off and poll_seconds 0 nothing would ever be heard")
        return self
