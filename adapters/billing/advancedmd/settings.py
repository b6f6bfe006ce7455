"""The settings of an AdvancedMD connection; the documentation's table is printed from the descriptions."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

LOGIN_URL = "https://partnerlogin.advancedmd.com/practicemanager/xmlrpc/processrequest.aspx"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class AdvancedMdSettings(BaseModel):
    """One clinic's link to AdvancedMD. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    login_url: str = Field(LOGIN_URL, description="Address of the first login post.")
    username: SecretStr = Field(description="Name of the API user.")
    password: SecretStr = Field(description="Password of that user.")
    office_key: SecretStr = Field(description="The clinic's office key (six digits).")
    app_name: str = Field(min_length=1, description="Application name that AdvancedMD gave to the partner.")
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Hosts, beside *.advancedmd.com, to which the login may redirect; only for a simulator."
    )
    message_form: Literal["json", "xml"] = Field("json", description="Form of the messages: json or xml.")
    approval: Literal["1", "0"] = Field(
        "1", description="1: charges wait for the biller's approval; 0: they are posted at once."
    )
    allow_same_day_charges: bool = Field(
        False, description="Let AdvancedMD take a charge that it holds already for the patient, provider and day."
    )
    profiles: dict[str, str] = Field(
        default_factory=dict,
        description="NPI of a rendering provider to the id of the AdvancedMD profile; others are looked up by name.",
    )
    facilities: dict[str, str] = Field(
        default_factory=dict,
        description="NPI of a location to the id of the AdvancedMD facility; others are looked up by name.",
    )
    carriers: dict[str, str] = Field(
        default_factory=dict,
        description="Payer id of the claim to the id of the AdvancedMD carrier; others are looked up by name.",
    )
    financial_class: str = Field("", description="Code of the financial class of a charge; empty: the patient's own.")
    financial_classes: dict[str, str] = Field(
        default_factory=dict, description="Payer id of the claim to the code of the financial class."
    )
    create_patients: bool = Field(True, description="Create a patient whom AdvancedMD does not know.")
    budget_share: float = Field(
        0.9, gt=0, le=1, description="Share of AdvancedMD's free calls per minute that the gateway may use."
    )
    throttle_scale: float = Field(
        1.0, ge=0, le=1, description="Length of the budget's minute; below 1 only for a simulator."
    )
    settle_seconds: float = Field(
        120.0,
        ge=0,
        description="How long after a lost answer AdvancedMD may still be saving; only then is it looked for.",
    )
    timeout_seconds: float = Field(30.0, gt=0, le=300, description="Longest wait for one answer, in seconds.")

    @field_validator("login_url")
    @classmethod
    def _only_over_tls(cls, login_url: str) -> str:
        address = urlsplit(login_url)
        if address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK):
            return login_url
        raise ValueError("must begin with https:// (http:// is only for a simulator on this machine)")
