"""What all settings of gateway.yaml have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from gateway.canonical.codes import npi_is_valid


class Strict(BaseModel):
    """A part of gateway.yaml: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _npi(value: str) -> str:
    if not npi_is_valid(value):
        raise ValueError("the check digit of this NPI is wrong; look the number up in NPPES")
    return value


Npi = Annotated[str, AfterValidator(_npi)]
"""A National Provider Identifier whose check digit holds."""
