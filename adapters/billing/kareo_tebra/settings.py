"""The settings of a Kareo/Tebra connection; the documentation's table is printed from the descriptions."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

AccidentKind = Literal["auto", "work", "other"]
ENDPOINT = "https://webservice.kareo.com/services/soap/2.1/KareoServices.svc"
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class InsurancePlan(BaseModel):
    """Tebra's own ids of one payer: sending its name instead would create a new insurance company."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    company_id: int = Field(gt=0, description="Tebra's id of the insurance company.")
    plan_id: int = Field(gt=0, description="Tebra's id of the insurance plan.")


class KareoTebraSettings(BaseModel):
    """One clinic's link to Tebra. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    endpoint: str = Field(ENDPOINT, description="Address of the SOAP 2.1 service.")
    customer_key: SecretStr = Field(description="The practice's customer key, made by its System Admin.")
    user: SecretStr = Field(description="Login of a user with the System Admin role.")
    password: SecretStr = Field(description="Password of that user.")
    practice_name: str = Field(min_length=1, description="Name of the practice exactly as Tebra shows it.")
    encounter_status: Literal["Draft", "Submitted", "Approved"] = Field(
        "Submitted",
        description="Status of a new encounter: Submitted waits for the biller's review, Approved bills it at once.",
    )
    create_patients: bool = Field(True, description="Create a patient whom Tebra does not know.")
    create_patient_case: bool = Field(
        True,
        description="Create the insurance case with a new patient, and add one that a claim needs to a known patient.",
    )
    insurance_plans: dict[str, InsurancePlan] = Field(
        default_factory=dict,
        description="Payer id of the claim to Tebra's company and plan ids; needed to create a patient's case.",
    )
    payer_scenario: str = Field("Insurance", description="Payer scenario of a new case, as the account names it.")
    accident_scenarios: dict[AccidentKind, str] = Field(
        default_factory=dict,
        description="Payer scenario of a new accident case by the kind of accident, where it is another one.",
    )
    learn_rate_gaps: bool = Field(True, description="Ask Tebra once for the account's own minimum gaps between calls.")
    rate_gap_scale: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the documented gaps to keep; below 1 only where Tebra granted more calls.",
    )
    settle_seconds: float = Field(
        120.0, ge=0, description="How long after a lost answer Tebra may still be saving; only then is it looked for."
    )
    timeout_seconds: float = Field(30.0, gt=0, le=300, description="Longest wait for one answer, in seconds.")

    @field_validator("endpoint")
    @classmethod
    def _only_over_tls(cls, endpoint: str) -> str:
        address = urlsplit(endpoint)
        if address.scheme == "https" or (address.scheme == "http" and address.hostname in _LOOPBACK):
            return endpoint
        raise ValueError("must begin with https:// (http:// is only for a simulator on this machine)")
