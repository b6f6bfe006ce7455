"""The settings that every connection over a vendor's own API has; a vendor's settings inherit them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class OwnBilling(StrEnum):
    """What becomes of a visit that the EHR has billed itself."""

    HOLD = "hold"
    IGNORE = "ignore"


class VendorSettings(BaseModel):
    """How far polls look back, and how much of an answer is waited for and read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lookback_minutes: int = Field(default=1440, ge=0, description="How far back the very first poll looks, in minutes.")
    overlap_seconds: int = Field(default=300, ge=0, description="How far each poll reaches behind the one before.")
    timeout_seconds: float = Field(default=30.0, gt=0, description="How long to wait for one answer.")
    max_response_mb: int = Field(default=32, ge=1, le=512, description="The largest answer that is read, in megabytes.")
