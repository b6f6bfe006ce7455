"""What the clinic itself knows and its EHR often does not: who bills, at what price, in which time zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo


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
class ClinicFacts:
    """What the clinic's configuration supplies because EHRs lack it.

    `fee_schedule` gives the unit price in USD per CPT/HCPCS code; `payer_ids` the billing payer id per payer name
    or EHR payer identifier; `place_of_service` the default POS code;
    `go_live` the first date of service that is billed here, not by hand or by another system.
    """

    clinic_id: str
    name: str
    timezone: ZoneInfo
    billing_provider: BillingProvider
    place_of_service: str = "11"
    fee_schedule: dict[str, Decimal] = field(default_factory=dict)
    payer_ids: dict[str, str] = field(default_factory=dict)
    go_live: date | None = None

    def local_date(self, instant: datetime) -> date:
        """The calendar date of an instant at the clinic: the date of service must not shift at midnight UTC."""
        return instant.astimezone(self.timezone).date()
