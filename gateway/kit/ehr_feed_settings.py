"""The settings of a FHIR connection's feed: how encounters are found beside the notifications."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, Field


class Feed(StrEnum):
    """The rungs of the ladder, and `auto`: the first one that works at this EHR."""

    AUTO = "auto"
    LAST_UPDATED = "last_updated"
    DATE = "date"
    BULK = "bulk"
    APPOINTMENTS = "appointments"


class FeedSettings(BaseModel):
    """Inherited by the settings of every SMART connection."""

    feed: Feed = Field(
        default=Feed.AUTO,
        description="How changed encounters are found: auto (tried out), last_updated, date, bulk or appointments.",
    )
    feed_lookback_days: int = Field(
        default=14, ge=1, le=365, description="How many days back visits are looked at for late signatures and changes."
    )
    feed_children: bool = Field(
        default=True,
        description="Also follow charges, procedures and diagnoses that change without their Encounter.",
    )
    feed_reread_days: tuple[int, ...] = Field(
        default=(1, 3, 7),
        description="Feeds date and appointments: how many days after its last change an encounter is read once more.",
    )
    bulk_group: str = Field(
        default="", pattern=r"^[A-Za-z0-9\-.]{0,64}$", description="The Group that is exported; empty: all patients."
    )
    bulk_post: bool = Field(default=False, description="Begin exports by POST (NextGen Office) in place of GET.")
    bulk_seconds: int = Field(default=3600, ge=0, description="The least time between two exports, in seconds.")
