"""The settings that every connection over SMART Backend Services has; a vendor's settings inherit them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from gateway.canonical.models import WITHDRAWN
from gateway.kit.ehr_charge_rows import CHARGE_TABLES
from gateway.kit.ehr_feed_settings import Feed, FeedSettings
from gateway.kit.ehr_signoff import SignOff, SignOffRule
from gateway.kit.smart_access import SmartAccess
from gateway.kit.smart_scopes import ScopeStyle, in_style, is_covered, resource_type

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

SOURCE_SCOPES = {"claim": "system/Claim.rs", "charge_item": "system/ChargeItem.rs"}
"""Not asked for when `charge_sources` does not name the source."""


class SubscriptionStyle(StrEnum):
    """How the gateway asks the EHR to notify it."""

    NONE = "none"
    R4 = "r4"
    BACKPORT = "backport"


class WebhookSignature(StrEnum):
    """How the EHR proves that a notification is its own."""

    NONE = "none"
    HMAC_SHA256 = "hmac_sha256"


class SmartSettings(SmartAccess, FeedSettings):
    """One clinic's connection to one EHR."""

    scopes: tuple[str, ...] = Field(
        default=BACKEND_SCOPES, description="The scopes to ask for, written in v1 or v2; they leave in scope_style."
    )
    scope_style: ScopeStyle = Field(
        default=ScopeStyle.V2,
        description="v2: system/Patient.rs. v1: system/Patient.read. none: none are sent, the registration fixes them.",
    )
    forbidden_scopes: tuple[str, ...] = Field(
        default=(), description="Resource types whose scopes this EHR refuses to be asked for; * is the wildcard scope."
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
    subscription_days: int = Field(
        default=0, ge=0, description="Days until the Subscription ends unless it is renewed; 0: it has no end."
    )
    heartbeat_seconds: int = Field(
        default=60, ge=0, description="How often a topic Subscription shall say that it lives; 0: not asked (backport)."
    )
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
    signoff: SignOff = Field(
        default=SignOff.STATUS,
        description="What proves the signature beside the status: status (nothing), document, composition, provenance, "
        "extension or tag.",
    )
    signoff_values: tuple[str, ...] = Field(
        default=(),
        description="The document states, signature types, or values that mean signed; by default the usual.",
    )
    signoff_url: str = Field(default="", description="The URL of the extension, or the system of the tag, that signs.")
    signoff_document_types: tuple[str, ...] = Field(
        default=(), description="Codes (LOINC) of the documents whose state counts; by default any of the encounter's."
    )
    charge_sources: tuple[str, ...] = Field(
        default=(),
        description="Where charges are looked for, in order: superbill, claim, charge_item, charge_map, procedure; "
        "default all but superbill.",
    )
    modifier_extensions: tuple[str, ...] = Field(
        default=(), description="URLs of extensions that carry a charge's modifiers."
    )
    code_system_aliases: dict[str, str] = Field(
        default_factory=dict,
        description="The EHR's own URIs of code systems, each with the standard URI it stands for.",
    )

    @property
    def followed(self) -> dict[str, str]:
        """The search parameters that select the encounters to follow: signed ones, and those taken back again."""
        return {} if self.follow_unsigned else {"status": ",".join((*self.signed_statuses, WITHDRAWN))}

    @property
    def signoff_rule(self) -> SignOffRule:
        """What must prove the signature."""
        return SignOffRule(self.signoff, self.signoff_values, self.signoff_url, self.signoff_document_types)

    def scopes_for(self, types: Iterable[str] = ()) -> tuple[str, ...]:
        """What the token request asks for, in the server's grammar: the scopes, and those to search `types` as well.

        By default nothing is asked for that this connection does not use.
        """
        scopes = self.scopes if "scopes" in self.model_fields_set else self._used_scopes()
        more = (f"system/{kind}.rs" for kind in (*types, *self._feed_types()))
        return in_style((*scopes, *(scope for scope in more if not is_covered(scope, scopes))), self.scope_style)

    def _used_scopes(self) -> tuple[str, ...]:
        unused = {scope for source, scope in SOURCE_SCOPES.items() if source not in (self.charge_sources or (source,))}
        if self.subscription is SubscriptionStyle.NONE:
            unused.add("system/Subscription.crus")
        return tuple(scope for scope in self.scopes if scope not in unused)

    def _feed_types(self) -> tuple[str, ...]:
        """What finding encounters reads beside them."""
        if self.feed is Feed.APPOINTMENTS or (self.feed is Feed.AUTO and self.patient_anchored):
            return ("Appointment",)
        return ("Group",) if self.feed is Feed.BULK and self.bulk_group else ()

    @field_validator("charge_sources")
    @classmethod
    def _known_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = (*CHARGE_TABLES, "charge_map")
        if unknown := [source for source in value if source not in known]:
            raise ValueError(f"{' '.join(unknown)} is no source of charges; there are {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _topic(self) -> Self:
        if self.subscription is SubscriptionStyle.BACKPORT and not self.subscription_topic:
            raise ValueError("subscription_topic is needed when subscription is backport")
        return self

    @model_validator(mode="after")
    def _scopes(self) -> Self:
        """No scope is asked for that the server refuses or that its grammar cannot say."""
        refused = [scope for scope in self.scopes_for() if resource_type(scope) in self.forbidden_scopes]
        if refused:
            raise ValueError(f"this EHR refuses to be asked for {' '.join(refused)}; see forbidden_scopes")
        return self

    @model_validator(mode="after")
    def _signoff_place(self) -> Self:
        if self.signoff is SignOff.EXTENSION and not self.signoff_url:
            raise ValueError("signoff_url is needed when signoff is extension: the extension's URL")
        if self.signoff is SignOff.TAG and not (self.signoff_url or self.signoff_values):
            raise ValueError("signoff_url or signoff_values is needed when signoff is tag: the tag's system, its codes")
        return self
