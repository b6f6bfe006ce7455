"""The settings of a generic SMART on FHIR connection: those of every SMART connection, with a vendor's defaults."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from adapters.ehr.smart_fhir.dialects import DIALECTS, DialectName
from gateway.kit.ehr_settings import SmartSettings


class SmartFhirSettings(SmartSettings):
    """One clinic's connection to a FHIR R4 server; the README's table lists the fields."""

    dialect: DialectName = Field(
        default=DialectName.GENERIC,
        description="The vendor whose differences become the defaults of the other settings; what is set here wins.",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_the_dialect(cls, given: Any) -> Any:
        """The dialect's settings below those of the connection."""
        if not isinstance(given, dict):
            return given
        named = given.get("dialect", DialectName.GENERIC)
        dialect = next((held for name, held in DIALECTS.items() if name == named), None)
        return {**dialect.settings, **given} if dialect else given  # the field itself says what is wrong with it
