"""What the gateway hands to an adapter when it opens a connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo


class Pacer(Protocol):
    """Keeps a vendor's minimum gap between calls, shared by all workers."""

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Return when this caller may make one call of `operation`."""


class Lock(Protocol):
    """A lock shared by all workers; freed when its holder dies. Not re-entrant."""

    def __call__(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock named `key` (ids only, no PHI)."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One line of `gateway check`: what was tried, whether it works, and what to do when it does not."""

    what: str
    ok: bool
    detail: str = ""
    remedy: str = ""


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
    or EHR payer identifier; `place_of_service` the default POS code.
    """

    clinic_id: str
    name: str
    timezone: ZoneInfo
    billing_provider: BillingProvider
    place_of_service: str = "11"
    fee_schedule: dict[str, Decimal] = field(default_factory=dict)
    payer_ids: dict[str, str] = field(default_factory=dict)

    def local_date(self, instant: datetime) -> date:
        """The calendar date of an instant at the clinic: the date of service must not shift at midnight UTC."""
        return instant.astimezone(self.timezone).date()


def utc_now() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class AdapterContext:
    """Everything an adapter may use of the gateway."""

    clinic: ClinicFacts
    connection: str
    pacer: Pacer
    lock: Lock
    now: Callable[[], datetime] = utc_now
