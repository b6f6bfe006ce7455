"""What the practice has on file in this MedicsPremier: providers, locations, payers, procedures, and their codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DEFAULT_DIRECTORY: dict[str, Any] = {
    "practice": {"name": "Lakeside Dermatology", "npi": "1234567893"},
    "providers": [{"npi": "1679576722", "family": "Stone", "given": "Alan"}],
    "locations": [{"name": "Lakeside Main", "npi": "1999999984", "place_of_service": "11"}],
    "payers": [{"payer_id": "60054", "name": "Pine Health Plan", "plan": "Standard"}],
    "procedures": ["99213", "17000"],
}
DEFAULT_CREDENTIALS = {
    "sending_application": "CLAIMGW",
    "sending_facility": "LAKESIDE",
    "receiving_application": "MEDICSPREMIER",
    "receiving_facility": "0001",
    "gateway_key": "gk-demo-4471",
    "secret_key": "sk-demo-8e2d",
}
PAYMENT_CODE = "PATPAY"


@dataclass(frozen=True)
class Directory:
    """The tables by the codes that a message may name them with."""

    providers: frozenset[str]
    locations: frozenset[str]
    companies: frozenset[str]
    procedures: frozenset[str]

    @classmethod
    def of(cls, data: dict[str, Any]) -> Directory:
        """The tables of a practice directory."""
        return cls(
            providers=frozenset(row["npi"] for row in data["providers"]),
            locations=frozenset({*location_codes(data).values(), *(row["name"] for row in data["locations"])}),
            companies=frozenset({*company_codes(data).values(), *(row["payer_id"] for row in data["payers"])}),
            procedures=frozenset(data["procedures"]),
        )


def location_codes(data: dict[str, Any]) -> dict[str, str]:
    """NPI of a place to its location code."""
    return {row["npi"]: f"LOC{number}" for number, row in enumerate(data["locations"], start=1)}


def company_codes(data: dict[str, Any]) -> dict[str, str]:
    """Payer id to the insurance company's code."""
    return {row["payer_id"]: f"INS{100 + number}" for number, row in enumerate(data["payers"], start=1)}
