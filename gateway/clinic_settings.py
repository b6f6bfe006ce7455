"""The settings of a clinic: a tenant, who bills for it, and what its EHR does not tell."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from gateway.canonical.clinic import BillingProvider, ClinicFacts, KnownLocation, KnownProvider
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.charge_settings import ChargeMapSettings, FeeScheduleSetting
from gateway.settings_base import Npi, Strict
from gateway.superbill_settings import SuperbillSettings

_ADDRESS = "A FHIR Address: line, city, state, postalCode (ZIP+4), country."


class BillingProviderSettings(Strict):
    """Who bills: box 33 of the CMS-1500."""

    name: str = Field(min_length=1, description="Legal name of the billing provider (box 33).")
    npi: Npi = Field(description="NPI of the billing provider (box 33a), ten digits.")
    tax_id: str = Field(pattern=r"^\d{2}-?\d{7}$", description="EIN (box 25), nine digits, with or without the hyphen.")
    taxonomy: str = Field(default="", description="NUCC provider taxonomy code (PRV*BI).")
    phone: str = Field(default="", description="Telephone number for the payer (PER*IC).")
    address: dict[str, Any] = Field(default_factory=dict, description=_ADDRESS)


class LocationSettings(Strict):
    """What the EHR does not tell of a location."""

    place_of_service: str = Field(
        default="", pattern=r"^(\d{2})?$", description="Place of service of visits there (box 24B)."
    )
    npi: Npi | None = Field(default=None, description="NPI of the facility (box 32a).")
    name: str = Field(default="", description="Name of the facility (box 32).")
    address: dict[str, Any] = Field(default_factory=dict, description=_ADDRESS)

    def known(self) -> KnownLocation:
        """As mappers see it."""
        return KnownLocation(self.place_of_service, self.npi or "", self.name, self.address)


class ProviderSettings(Strict):
    """What the EHR does not tell of a provider."""

    npi: Npi | None = Field(default=None, description="NPI of the provider (box 24J).")
    taxonomy: str = Field(
        default="", pattern=r"^([0-9A-Z]{9}X)?$", description="NUCC taxonomy code of the provider (PRV*PE)."
    )

    def known(self) -> KnownProvider:
        """As mappers see it."""
        return KnownProvider(self.npi or "", self.taxonomy)


class ConnectionSettings(Strict):
    """One link of a clinic to one vendor."""

    adapter: str = Field(description="Name of the adapter, as listed by `gateway adapters`.")
    settings: dict[str, Any] = Field(default_factory=dict, description="The adapter's own settings.")


class BillingConnectionSettings(ConnectionSettings):
    """One link of a clinic to one billing system."""

    outcome_seconds: float = Field(
        default=900.0, gt=0, description="How often the vendor is asked what became of claims, in seconds."
    )


class ClinicSettings(Strict):
    """One clinic: a tenant."""

    name: str = Field(min_length=1, description="The clinic's name.")
    timezone: str = Field(description="IANA time zone; decides the date of service, e.g. America/New_York.")
    billing_provider: BillingProviderSettings = Field(description="Who bills (box 33).")
    place_of_service: str = Field(
        default="11", pattern=r"^\d{2}$", description="Place of service when the EHR gives none (box 24B)."
    )
    fee_schedule: FeeScheduleSetting = Field(
        default_factory=FeeSchedule,
        description="Price of one unit in USD per CPT/HCPCS code, for charges without a price; or the path of a CSV "
        "file with the columns code, modifiers, fee, effective_from, effective_to.",
    )
    charge_map: ChargeMapSettings = Field(
        default_factory=ChargeMapSettings, description="What is billed when the EHR holds no charges."
    )
    payer_ids: dict[str, str] = Field(
        default_factory=dict, description="The billing payer id per payer name or identifier at the EHR."
    )
    locations: dict[str, LocationSettings] = Field(
        default_factory=dict, description="What the EHR does not tell of a location, by its id, NPI or name there."
    )
    providers: dict[str, ProviderSettings] = Field(
        default_factory=dict, description="What the EHR does not tell of a provider, by NPI, or by id there."
    )
    go_live: date | None = Field(
        default=None,
        description="First date of service that is billed here; earlier ones are held, as they were billed elsewhere.",
    )
    ehr: dict[str, ConnectionSettings] = Field(min_length=1, description="EHR connections by name.")
    billing: dict[str, BillingConnectionSettings] = Field(min_length=1, description="Billing connections by name.")
    superbills: SuperbillSettings | None = Field(
        default=None, description="Charges that come as an export of superbills; see how-to/superbills.md."
    )
    default_billing: str = Field(default="", description="Which billing connection claims go to; needed for several.")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("is not an IANA time zone such as America/New_York") from None
        return value

    def facts(self, clinic_id: str) -> ClinicFacts:
        """What adapters and the claim builder may know of the clinic."""
        return ClinicFacts(
            clinic_id=clinic_id,
            name=self.name,
            timezone=ZoneInfo(self.timezone),
            billing_provider=BillingProvider(**self.billing_provider.model_dump()),
            place_of_service=self.place_of_service,
            fee_schedule=self.fee_schedule,
            payer_ids=dict(self.payer_ids),
            go_live=self.go_live,
            locations={key: location.known() for key, location in self.locations.items()},
            providers={key: provider.known() for key, provider in self.providers.items()},
            charge_map=self.charge_map.map(),
        )
