"""The settings of a DrChrono connection."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, field_validator

from gateway.canonical.models import SubmissionState
from gateway.kit.ehr_vendor_settings import OwnBilling, VendorSettings
from gateway.kit.smart_key import safe_url

SCOPES = ("user:read", "calendar:read", "patients:read", "clinical:read", "billing:read", "settings:read")
SHORTEST_SECRET = 16
WRITING_SCOPES = ("calendar:write", "billing:write")


class DrChronoSettings(VendorSettings):
    """One clinic's connection to one DrChrono practice."""

    client_id: str = Field(min_length=1, description="The client id of the API app.")
    client_secret: SecretStr = Field(description="The client secret of the API app.")
    base_url: str = Field(
        default="https://app.drchrono.com", description="DrChrono's host; https, or http on the same machine."
    )
    api_version: str = Field(default="v4", description="The API version that is asked for (X-DRC-API-Version).")
    scopes: tuple[str, ...] = Field(
        default=(*SCOPES, *WRITING_SCOPES), min_length=1, description="The scopes that the consent asks for."
    )
    refresh_token: SecretStr = Field(
        default=SecretStr(""),
        description="A consent given beforehand; used once, when none is stored. `gateway connect` needs none.",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""),
        description="The secret token of the app's webhook, 16 characters or more; without it all are refused.",
    )
    practice_group_id: str = Field(
        default="", description="The practice group whose webhooks count; empty: any that the app is told of."
    )
    timezone: str = Field(
        default="", description="IANA zone of DrChrono's local times; empty: the clinic's own. See Doctor.timezone."
    )
    requires_supervisor: bool = Field(
        default=False, description="A note is signed off only when the supervisor has locked it as well."
    )
    own_billing: OwnBilling = Field(
        default=OwnBilling.HOLD,
        description="hold: a visit that DrChrono has billed is held. ignore: its billing dates mean nothing here.",
    )
    left_out_codes: tuple[str, ...] = Field(
        default=(), description="Custom codes of lines that the patient alone pays: they are left out of claims."
    )
    read_authorizations: bool = Field(
        default=True, description="Look for prior authorizations, a call for each encounter (box 23)."
    )
    told_states: tuple[SubmissionState, ...] = Field(
        default=(
            SubmissionState.RECEIVED,
            SubmissionState.ACCEPTED,
            SubmissionState.REJECTED,
            SubmissionState.ADJUDICATED,
        ),
        description="Claim states that are written into the appointment's billing notes; empty: none.",
    )
    billing_status: dict[SubmissionState, str] = Field(
        default_factory=dict,
        description="By claim state: the appointment's billing_status to set, as it is spelt in DrChrono.",
    )
    settle_seconds: float = Field(
        default=600.0, ge=0, description="How long a locked note is left alone: billers add lines after the lock."
    )
    relook_seconds: float = Field(
        default=300.0, ge=0, description="The least time between two looks at a note that is open or has no charges."
    )
    poll_seconds: int = Field(default=300, ge=0, description="Seconds between polls; a poll costs four calls or more.")
    overlap_seconds: int = Field(default=900, ge=0, description="How far each poll reaches behind the one before.")
    hourly_calls: int = Field(
        default=500, ge=0, description="Calls per hour that this clinic may make with the app; 0: not counted."
    )
    live_reserve: int = Field(
        default=150, ge=0, description="Of them, calls kept for signed encounters: polls and backfill leave them."
    )
    calls_per_second: int = Field(
        default=7, ge=0, description="Calls per second, evenly; DrChrono throttles from ten on. 0: not counted."
    )
    list_seconds: float = Field(
        default=5.0, ge=0, description="Pause between two looks at an asynchronous list (backfill)."
    )
    cache_minutes: float = Field(default=60.0, ge=0, description="How long doctors and offices are kept in memory.")
    max_connections: int = Field(default=4, ge=1, description="The most connections held open to DrChrono.")

    @field_validator("base_url")
    @classmethod
    def _base(cls, value: str) -> str:
        return safe_url(value).rstrip("/")

    @field_validator("webhook_secret")
    @classmethod
    def _not_guessed(cls, value: SecretStr) -> SecretStr:
        """Anybody may ask the hook for HMACs made with it, and try guesses on them."""
        if 0 < len(value.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"must have {SHORTEST_SECRET} characters or more, by chance")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key if value else ""
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("is not an IANA time zone, e.g. America/Chicago") from None
