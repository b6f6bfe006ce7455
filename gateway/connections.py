"""The configured links: adapters opened once per connection, from the settings and the entry points."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import ConfigurationError, UnknownConnection
from gateway.ports.billing import BillingAdapter, BillingAdapterInfo
from gateway.ports.context import AdapterContext, Lock
from gateway.ports.ehr import EhrAdapter, EhrAdapterInfo, EhrCapability
from gateway.registry import BILLING_GROUP, EHR_GROUP, load_adapter
from gateway.settings import LoadedSettings
from gateway.store.postgres import PostgresStore
from gateway.store.shared import PostgresPacer, PostgresSharedValues

DEFAULT_POLL_SECONDS = 60.0
DEFAULT_OUTCOME_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class EhrLink:
    """An open EHR connection."""

    info: EhrAdapterInfo
    adapter: EhrAdapter
    poll_seconds: float
    writes_back: bool = False


@dataclass(frozen=True, slots=True)
class BillingLink:
    """An open billing connection."""

    info: BillingAdapterInfo
    adapter: BillingAdapter
    settle_seconds: float
    outcome_seconds: float = DEFAULT_OUTCOME_SECONDS


class OpenConnections:
    """The `Connections` port over all clinics of the configuration."""

    def __init__(self, public_url: str) -> None:
        self.public_url = public_url
        self._ehr: dict[tuple[str, str], EhrLink] = {}
        self._billing: dict[tuple[str, str], BillingLink] = {}
        self._default: dict[str, str] = {}

    def add_ehr(self, clinic_id: str, connection: str, link: EhrLink) -> None:
        """Add an open EHR connection."""
        self._ehr[clinic_id, connection] = link

    def add_billing(self, clinic_id: str, connection: str, link: BillingLink) -> None:
        """Add an open billing connection."""
        self._billing[clinic_id, connection] = link

    def set_default_billing(self, clinic_id: str, connection: str) -> None:
        """Where the clinic's claims go."""
        self._default[clinic_id] = connection

    def ehr(self, clinic_id: str, connection: str) -> EhrAdapter:
        """An EHR connection's adapter; raises `UnknownConnection`."""
        link = self._ehr.get((clinic_id, connection))
        if link is None:
            raise UnknownConnection("there is no such connection; check the address")
        return link.adapter

    def ehr_info(self, clinic_id: str, connection: str) -> EhrAdapterInfo:
        """An EHR adapter's fact sheet."""
        return self._ehr[clinic_id, connection].info

    def billing(self, clinic_id: str, connection: str) -> BillingAdapter:
        """A billing connection's adapter."""
        return self._billing[clinic_id, connection].adapter

    def billing_info(self, clinic_id: str, connection: str) -> BillingAdapterInfo:
        """A billing adapter's fact sheet."""
        return self._billing[clinic_id, connection].info

    def settle_seconds(self, clinic_id: str, connection: str) -> float:
        """The connection's own setting, else its adapter's."""
        return self._billing[clinic_id, connection].settle_seconds

    def outcome_seconds(self, clinic_id: str, connection: str) -> float:
        """The connection's setting."""
        return self._billing[clinic_id, connection].outcome_seconds

    def default_billing(self, clinic_id: str) -> str:
        """Where a clinic's claims go."""
        return self._default[clinic_id]

    def hook_url(self, clinic_id: str, connection: str) -> str:
        """The address that the EHR shall notify; "" without a public_url."""
        return f"{self.public_url}/hooks/{clinic_id}/{connection}" if self.public_url else ""

    def poll_seconds(self, clinic_id: str, connection: str) -> float:
        """How often a feed is polled."""
        return self._ehr[clinic_id, connection].poll_seconds

    def writes_back(self, clinic_id: str, connection: str) -> bool:
        """Whether the EHR is told what became of claims: it can hold it, and the connection does not forbid it."""
        return self._ehr[clinic_id, connection].writes_back

    def ehr_connections(self) -> list[tuple[str, str]]:
        """(clinic, connection) of every EHR link."""
        return list(self._ehr)

    def billing_connections(self) -> list[tuple[str, str]]:
        """(clinic, connection) of every billing link."""
        return list(self._billing)

    async def aclose(self) -> None:
        """Close all network clients."""
        ehr, billing = self._ehr.values(), self._billing.values()
        closing = [*(link.adapter.aclose() for link in ehr), *(link.adapter.aclose() for link in billing)]
        await asyncio.gather(*closing)


def open_connections(loaded: LoadedSettings, store: PostgresStore, lock: Lock) -> OpenConnections:
    """Open every connection of the configuration; raises `ConfigurationError` for the first mistake."""
    opened = OpenConnections(loaded.gateway.server.public_url)
    for clinic_id, clinic in loaded.gateway.clinics.items():
        facts = clinic.facts(clinic_id)
        for name in clinic.ehr:
            _open_ehr(opened, loaded, clinic_id, name, _context(facts, name, store, lock))
        for name in clinic.billing:
            _open_billing(opened, loaded, clinic_id, name, _context(facts, name, store, lock))
        opened.set_default_billing(clinic_id, _default_billing(loaded, clinic_id))
    return opened


def _context(facts: ClinicFacts, name: str, store: PostgresStore, lock: Lock) -> AdapterContext:
    pacer = PostgresPacer(store, facts.clinic_id, name)
    return AdapterContext(facts, name, pacer, lock, PostgresSharedValues(store, facts.clinic_id, name))


def _open_ehr(
    opened: OpenConnections, loaded: LoadedSettings, clinic_id: str, name: str, context: AdapterContext
) -> None:
    adapter = loaded.gateway.clinics[clinic_id].ehr[name].adapter
    info: EhrAdapterInfo = load_adapter(EHR_GROUP, adapter, loaded.where("clinics", clinic_id, "ehr", name, "adapter"))
    settings = loaded.adapter_settings(info.settings, clinic_id, "ehr", name)
    poll_seconds = float(getattr(settings, "poll_seconds", DEFAULT_POLL_SECONDS))
    writes_back = EhrCapability.WRITE_BACK in info.capabilities and bool(getattr(settings, "write_back", True))
    opened.add_ehr(clinic_id, name, EhrLink(info, info.open(settings, context), poll_seconds, writes_back))


def _open_billing(
    opened: OpenConnections, loaded: LoadedSettings, clinic_id: str, name: str, context: AdapterContext
) -> None:
    adapter, where = loaded.gateway.clinics[clinic_id].billing[name].adapter, ("clinics", clinic_id, "billing", name)
    info: BillingAdapterInfo = load_adapter(BILLING_GROUP, adapter, loaded.where(*where, "adapter"))
    settings = loaded.adapter_settings(info.settings, clinic_id, "billing", name)
    settle_seconds = float(getattr(settings, "settle_seconds", info.settle_seconds))
    outcome_seconds = loaded.gateway.clinics[clinic_id].billing[name].outcome_seconds
    link = BillingLink(info, info.open(settings, context), settle_seconds, outcome_seconds)
    opened.add_billing(clinic_id, name, link)


def _default_billing(loaded: LoadedSettings, clinic_id: str) -> str:
    clinic = loaded.gateway.clinics[clinic_id]
    chosen = clinic.default_billing or (next(iter(clinic.billing)) if len(clinic.billing) == 1 else "")
    if chosen not in clinic.billing:
        raise ConfigurationError(
            loaded.where("clinics", clinic_id, "default_billing"),
            "does not name one of the clinic's billing connections.",
            f"Set it to one of: {', '.join(clinic.billing)}.",
        )
    return chosen
