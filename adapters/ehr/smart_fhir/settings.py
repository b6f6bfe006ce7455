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
        name = given.get("dialect", DialectName.GENERIC) if isinstance(given, dict) else None
        if name not in DIALECTS:
            return given  # the field says what is wrong
        return {**DIALECTS[DialectName(name)].settings, **given}
