"""The settings that every connection over SMART Backend Services has; a vendor's settings inherit them."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from gateway.canonical.models import WITHDRAWN
from gateway.kit.ehr_feed_settings import FeedSettings
from gateway.kit.smart_key import is_safe_url

BACKEND_SCOPES = (
    "system/Encounter.rs",
    "system/Patient.rs",
    "system/Practitioner.rs",
    "system/PractitionerRole.rs",
    "system/Organization.rs",
    "system/Location.rs",
    "system/Condition.rs",
    "system/Procedure.rs",
    "system/Coverage.rs",
    "system/RelatedPerson.rs",
    "system/ServiceRequest.rs",
    "system/Claim.rs",
    "system/ChargeItem.rs",
    "system/Subscription.crus",
)
"""The least that turning an encounter into a claim needs, in SMART v2 syntax."""


class SubscriptionStyle(StrEnum):
    """How the gateway asks the EHR to notify it."""

    NONE = "none"
    R4 = "r4"
    BACKPORT = "backport"


class WebhookSignature(StrEnum):
    """How the EHR proves that a notification is its own."""

    NONE = "none"
    HMAC_SHA256 = "hmac_sha256"


class SmartSettings(FeedSettings):
    """One clinic's connection to one EHR."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(description="The EHR's FHIR R4 base URL. https, or http on the same machine.")
    client_id: str = Field(min_length=1, description="The client id that the EHR gave to the registered app.")
    private_key: SecretStr = Field(description="The app's private key: PEM text or a JWK as JSON text.")
    key_id: str = Field(default="", description="The key's kid in the published JWKS; by default the JWK's own kid.")
    algorithm: str = Field(
        default="RS384", pattern="^(RS384|ES384)$", description="Signature of the client assertion: RS384 or ES384."
    )
    scopes: tuple[str, ...] = Field(default=BACKEND_SCOPES, description="The scopes to ask for, v1 or v2, never mixed.")
    token_url: str | None = Field(
        default=None, description="The token endpoint, when the EHR's own discovery document lacks it or is wrong."
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="The secret of incoming notifications; without it all are refused."
    )
    webhook_signature: WebhookSignature = Field(
        default=WebhookSignature.NONE,
        description="none: the secret comes as a bearer token. hmac_sha256: it signs the body, in X-Signature.",
    )
    subscription: SubscriptionStyle = Field(
        default=SubscriptionStyle.R4,
        description="r4: a criteria Subscription. backport: a topic Subscription (R5 Backport). none: no Subscription.",
    )
    subscription_topic: str = Field(default="", description="The topic's canonical URL; needed for backport only.")
    poll_seconds: int = Field(
        default=60, ge=0, description="Seconds between polls; 0: only after a notification that names no encounter."
    )
    lookback_minutes: int = Field(default=1440, ge=0, description="How far back the very first poll looks, in minutes.")
    overlap_seconds: int = Field(default=300, ge=0, description="How far each poll reaches behind the one before.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="How long to wait for one answer of the EHR.")
    max_connections: int = Field(default=16, ge=1, description="The most connections held open to the EHR.")
    max_response_mb: int = Field(default=32, ge=1, le=512, description="The largest answer that is read, in megabytes.")
    settle_seconds: float = Field(
        default=0.0, ge=0, description="How long a signed encounter is left alone: its charges may still change."
    )
    includes: bool = Field(default=True, description="Fold reads into searches by _include, where the EHR follows it.")
    patient_anchored: bool = Field(
        default=False,
        description="The EHR refuses searches that do not name the patient; polls go by export or by appointments.",
    )
    follow_unsigned: bool = Field(
        default=False,
        description="Also follow encounters that are not signed off yet: they are held, so that no visit is forgotten.",
    )
    signed_statuses: tuple[str, ...] = Field(
        default=("finished",), min_length=1, description="The Encounter statuses that mean signed off."
    )

    @property
    def followed(self) -> dict[str, str]:
        """The search parameters that select the encounters to follow: signed ones, and those taken back again."""
        return {} if self.follow_unsigned else {"status": ",".join((*self.signed_statuses, WITHDRAWN))}

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str) -> str:
        if not is_safe_url(value):
            raise ValueError("must be an https URL (http is for this machine only)")
        return value.rstrip("/")

    @field_validator("token_url")
    @classmethod
    def _token(cls, value: str | None) -> str | None:
        if value is not None and not is_safe_url(value):
            raise ValueError("must be an https URL (http is for this machine only)")
        return value

    @model_validator(mode="after")
    def _topic(self) -> Self:
        if self.subscription is SubscriptionStyle.BACKPORT and not self.subscription_topic:
            raise ValueError("subscription_topic is needed when subscription is backport")
        return self
