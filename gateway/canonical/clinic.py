"""What the clinic itself knows and its EHR often does not: who bills, at what price, for what, where, in which zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from gateway.canonical.charge_map import ChargeMap
from gateway.canonical.fee_schedule import FeeSchedule


class ClinicFact(StrEnum):
    """What a claim may need and an EHR may lack, so that the clinic's configuration supplies it."""

    CHARGES = "charges"
    PRICES = "prices"
    PAYER_ID = "payer_id"
    PLACE_OF_SERVICE = "place_of_service"
    FACILITY_NPI = "facility_npi"
    FACILITY_ADDRESS = "facility_address"
    PROVIDER_NPI = "provider_npi"
    PROVIDER_TAXONOMY = "provider_taxonomy"
    BILLING_ADDRESS = "billing_address"
    BILLING_ZIP_PLUS_FOUR = "billing_zip_plus_four"
    BILLING_TAXONOMY = "billing_taxonomy"


@dataclass(frozen=True, slots=True)
class BillingProvider:
    """Who bills: box 33 of the CMS-1500. All values as text; the address is a FHIR Address."""

    name: str
    npi: str
    tax_id: str
    taxonomy: str = ""
    phone: str = ""
    address: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownLocation:
    """What the clinic knows of a place (boxes 24B and 32); empty where it knows nothing. A FHIR Address."""

    place_of_service: str = ""
    npi: str = ""
    name: str = ""
    address: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """What the clinic knows of a provider (box 24J); empty where it knows nothing."""

    npi: str = ""
    taxonomy: str = ""


@dataclass(frozen=True, slots=True)
class ClinicFacts:
    """What the clinic's configuration supplies because EHRs lack it.

    `fee_schedule` gives the unit price in USD per CPT/HCPCS code; `charge_map` what is billed for what the EHR holds;
    `payer_ids` the billing payer id per payer name or EHR payer identifier; `place_of_service` the default POS code;
    `locations` and `providers` what is known by id, NPI or name at the EHR; `go_live` the first date of service that is
    billed here, not by hand or by another system.
    """

    clinic_id: str
    name: str
    timezone: ZoneInfo
    billing_provider: BillingProvider
    place_of_service: str = "11"
    fee_schedule: FeeSchedule = field(default_factory=FeeSchedule)
    payer_ids: dict[str, str] = field(default_factory=dict)
    locations: Mapping[str, KnownLocation] = field(default_factory=dict)
    providers: Mapping[str, KnownProvider] = field(default_factory=dict)
    charge_map: ChargeMap = field(default_factory=ChargeMap)
    go_live: date | None = None

    def local_date(self, instant: datetime) -> date:
        """The calendar date of an instant at the clinic: the date of service must not shift at midnight UTC."""
        return instant.astimezone(self.timezone).date()

    def fee(self, code: str, modifiers: Sequence[str], on: date) -> Decimal | None:
        """The clinic's price of one unit in USD on a date of service, or None when it has none."""
        return self.fee_schedule.price(code, modifiers, on)
