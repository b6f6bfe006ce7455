"""The settings of a Practice Fusion connection: those of every SMART connection, with its own defaults."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from adapters.ehr.practice_fusion.mapping import RECORD_NUMBERS
from gateway.kit.ehr_settings import SmartSettings, SubscriptionStyle

SCOPES = (
    "system/Encounter.rs",
    "system/Patient.rs",
    "system/Practitioner.rs",
    "system/Organization.rs",
    "system/Condition.rs",
    "system/Procedure.rs",
    "system/Coverage.rs",
    "system/RelatedPerson.rs",
    "system/ServiceRequest.rs",
)
"""Of the 22 types that have a scope, those that a claim needs; the sign-off gate adds its own."""

UNSCOPED = ("Location", "PractitionerRole", "ExplanationOfBenefit", "Claim", "ChargeItem", "Task", "List", "*")
"""Types without a scope (vendors practice_fusion section 2)."""

_SOURCES = ("superbill", "charge_map", "procedure")


class PracticeFusionSettings(SmartSettings):
    """One practice's connection; the README's table lists the fields."""

    scopes: tuple[str, ...] = Field(default=SCOPES, description="The scopes to ask for; they leave in scope_style.")
    forbidden_scopes: tuple[str, ...] = Field(default=UNSCOPED, description="Resource types that have no scope here.")
    subscription: SubscriptionStyle = Field(
        default=SubscriptionStyle.NONE, description="none: Practice Fusion has no subscriptions and no webhooks."
    )
    calls_per_minute: int = Field(
        default=120, ge=0, description="The most requests a minute to this practice, over all workers; 0: no limit."
    )
    includes: bool = Field(default=False, description="Fold reads into searches by _include; its names differ there.")
    charge_sources: tuple[str, ...] = Field(
        default=(),
        description="Where charges come from, in order: superbill, charge_map, procedure; by default superbill.",
    )
    record_number_system: str = Field(
        default=RECORD_NUMBERS, description="System of the patient record number that superbills name."
    )

    @field_validator("charge_sources")
    @classmethod
    def _own_sources(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [source for source in value if source not in _SOURCES]:
            raise ValueError(f"{' '.join(unknown)} cannot be had from Practice Fusion; there are {', '.join(_SOURCES)}")
        return value

    @model_validator(mode="after")
    def _without_push(self) -> Self:
        if self.subscription is not SubscriptionStyle.NONE:
            raise ValueError("subscription must be none: Practice Fusion has no subscriptions; encounters are polled")
        return self
