"""A billing connection opened without network, Postgres or vendor: only its pure verbs work.

Its settings are those of gateway.yaml, or where there are none, those that its simulator gives to a sandbox.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from gateway.canonical import codes
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.errors import ConfigurationError
from gateway.canonical.models import ClaimBundle
from gateway.kit.samples import directory
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.billing import BillingAdapter, BillingAdapterInfo
from gateway.ports.context import AdapterContext
from gateway.registry import BILLING_GROUP, load_adapter
from gateway.settings import LoadedSettings, load_settings

CONFIG = Path("gateway.yaml")
SAMPLE = "sample"
SAMPLE_ZONE = "America/New_York"
_NOWHERE = "http://127.0.0.1:9"  # the discard port; nothing is sent, so nothing need listen


@dataclass(frozen=True, slots=True)
class DryConnection:
    """What an adapter is opened with; `origin` says in words where the settings are from."""

    info: BillingAdapterInfo
    name: str
    settings: Any
    clinic: ClinicFacts
    origin: str

    def open(self) -> BillingAdapter:
        """The adapter; a verb that needs more than the claim raises `RuntimeError`."""
        nowhere = _Nowhere()
        return self.info.open(self.settings, AdapterContext(self.clinic, self.name, nowhere, nowhere, nowhere))


@contextmanager
def dry_connection(
    adapter: str, config: Path | None, connection: str, claim: ClaimBundle | None = None
) -> Iterator[DryConnection]:
    """The connection of gateway.yaml that `connection` names (NAME or CLINIC/NAME), else the only one of the adapter.

    Without `config` it is the gateway.yaml of this folder; where that is absent or has none of the adapter, one with
    sample settings whose clinic is the biller of `claim`. Raises `ConfigurationError`.
    """
    info: BillingAdapterInfo = load_adapter(BILLING_GROUP, adapter, "--billing")
    path = config or CONFIG
    loaded = load_settings(path) if config or connection or path.exists() else None
    chosen = configured(loaded, adapter, connection) if loaded else None
    if loaded and chosen:
        clinic_id, name = chosen
        settings = loaded.adapter_settings(info.settings, clinic_id, "billing", name)
        facts = loaded.gateway.clinics[clinic_id].facts(clinic_id)
        yield DryConnection(info, name, settings, facts, f"connection {name} of clinic {clinic_id} in {path}")
        return
    with sample_connection(info, claim) as link:
        yield link


@contextmanager
def sample_connection(info: BillingAdapterInfo, claim: ClaimBundle | None = None) -> Iterator[DryConnection]:
    """A connection with the settings that the adapter's simulator gives, whatever gateway.yaml there is."""
    with TemporaryDirectory() as folder:
        origin = f"sample settings of the {info.name} simulator, clinic time zone {SAMPLE_ZONE}"
        yield DryConnection(info, SAMPLE, _sample_settings(info, Path(folder)), _sample_clinic(claim), origin)


def configured(loaded: LoadedSettings, adapter: str, connection: str) -> tuple[str, str] | None:
    """(clinic, name) of the connection, or None when no name was given and there is none of the adapter."""
    links = [
        (clinic, name)
        for clinic, settings in loaded.gateway.clinics.items()
        for name, link in settings.billing.items()
        if link.adapter == adapter and connection in ("", name, f"{clinic}/{name}")
    ]
    if len(links) > 1:
        names = ", ".join(f"{clinic}/{name}" for clinic, name in links)
        raise ConfigurationError(str(loaded.path), "has several such connections.", f"Give --connection: {names}.")
    if connection and not links:
        problem = f"has no billing connection {connection} of the adapter {adapter}."
        raise ConfigurationError(str(loaded.path), problem, "See `clinics` there for the names.")
    return links[0] if links else None


def _sample_settings(info: BillingAdapterInfo, folder: Path) -> Any:
    if not info.simulator:
        remedy = "Name a gateway.yaml that has a connection of it with --config."
        raise ConfigurationError(info.name, "has no simulator and so no sample settings.", remedy)
    simulator = importlib.import_module(info.simulator)
    sandbox = simulator.connection(
        SimulatorOptions(base_url=_NOWHERE, data=directory(), ports=(9, 9), directory=folder)
    )
    try:
        return info.settings.model_validate(_resolved(sandbox.settings, sandbox.secrets))
    except ValidationError as invalid:
        problem = f"its sample settings are refused ({invalid.error_count()} mistakes)."
        raise ConfigurationError(info.name, problem, "Name a gateway.yaml with --config.") from None


def _resolved(value: Any, secrets: Mapping[str, str]) -> Any:
    """The settings with their `env:NAME` references replaced."""
    if isinstance(value, dict):
        return {key: _resolved(inner, secrets) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, secrets) for inner in value]
    if isinstance(value, str) and value.startswith("env:"):
        return secrets[value.removeprefix("env:")]
    return value


def _sample_clinic(claim: ClaimBundle | None) -> ClinicFacts:
    """A clinic whose billing provider is the claim's own."""
    biller = (claim.find((claim.claim.get("provider") or {}).get("reference")) if claim else None) or {}
    name = str(biller.get("name", "Sample Clinic"))
    phones = [t.get("value", "") for t in biller.get("telecom") or () if t.get("system") == "phone"]
    types = [c.get("code", "") for kind in biller.get("type") or () for c in codes.codings(kind)]
    provider = BillingProvider(
        name=name,
        npi=codes.identifier(biller, codes.NPI) or "",
        tax_id=codes.identifier(biller, codes.EIN) or "",
        taxonomy=next(iter(types), ""),
        phone=next(iter(phones), ""),
        address=next(iter(biller.get("address") or ()), {}),
    )
    return ClinicFacts(SAMPLE, name, ZoneInfo(SAMPLE_ZONE), provider)


class _Nowhere:
    """Pacer, lock and shared values of a connection that is never used."""

    async def wait(self, operation: str, gap_seconds: float) -> None:
        """Never."""
        raise _not_dry()

    async def spend(self, budget: str, calls: int, window_seconds: float) -> None:
        """Never."""
        raise _not_dry()

    async def get(self, key: str) -> bytes | None:
        """Never."""
        raise _not_dry()

    async def put(self, key: str, value: bytes, lifetime: timedelta | None = None) -> None:
        """Never."""
        raise _not_dry()

    async def drop(self, key: str) -> None:
        """Never."""
        raise _not_dry()

    def __call__(self, key: str) -> AbstractAsyncContextManager[None]:
        """Never."""
        raise _not_dry()


def _not_dry() -> RuntimeError:
    return RuntimeError("a dry run neither sends nor stores anything")
