"""What a sandbox shall be: which vendors, which day, how fast."""

from __future__ import annotations

import importlib
import shlex
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, TypedDict

import yaml

from gateway.canonical.errors import ConfigurationError
from gateway.kit.simulator import SandboxConnection, SimulatorOptions, free_ports
from gateway.ports.billing import BillingCapability
from gateway.registry import BILLING_GROUP, EHR_GROUP, load_adapter
from gateway.sandbox.clinic_day import ClinicDay, generate

CLINIC_ID = "demo-clinic"
HOST = "127.0.0.1"
ERROR_RATE = 0.08
PORTS = 5
READ_SECONDS, ASK_SECONDS = 2.0, 60.0  # a look into a mailbox costs little, a question per claim does not


class Manner(TypedDict):
    """The options that both simulators share."""

    seed: int
    pace: float
    think_seconds: float


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """What `gateway sandbox` and `gateway demo` were asked for."""

    ehr: str
    billing: str
    encounters: int
    seed: int
    fhir_data: Path | None
    pace: float
    think_seconds: float

    def manner(self) -> Manner:
        """How both simulators behave."""
        return {"seed": self.seed, "pace": self.pace, "think_seconds": self.think_seconds}

    def command(self, out: Path) -> list[str]:
        """The arguments of `gateway sandbox` for this plan."""
        options = {
            "--out": out,
            "--encounters": self.encounters,
            "--seed": self.seed,
            "--ehr": self.ehr,
            "--billing": self.billing,
            "--pace": self.pace,
            "--think-ms": self.think_seconds * 1000,
        }
        if self.fhir_data:
            options["--fhir-data"] = self.fhir_data.resolve()
        return ["sandbox", *(str(part) for pair in options.items() for part in pair)]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox ready to be served."""

    ehr: SimulatorOptions
    billing: SimulatorOptions
    ehr_simulator: ModuleType
    billing_simulator: ModuleType
    gateway_url: str
    configuration: dict[str, Any]
    secrets: dict[str, str]

    def write(self, out: Path) -> None:
        """Write gateway.yaml and sandbox.env; the secrets' file is readable by its owner only."""
        (out / "gateway.yaml").write_text(yaml.safe_dump(self.configuration, sort_keys=False, allow_unicode=True))
        secrets = out / "sandbox.env"
        secrets.touch(mode=0o600)
        secrets.chmod(0o600)  # one that was there already
        secrets.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.secrets.items()))


def make_sandbox(
    plan: SandboxPlan, first_port: int = 0, directory: Path | None = None, day: ClinicDay | None = None
) -> Sandbox:
    """The configuration that connects a gateway to the simulators of a day, which is generated unless it is given.

    `directory` is where a simulator that exchanges files makes its folders.
    """
    ehr_port, billing_port, gateway_port, *others = _ports(first_port)
    day = day or generate(seed=plan.seed, encounters=plan.encounters, day=date.today(), error_rate=ERROR_RATE)  # noqa: DTZ011
    ehr_module = simulator_of(EHR_GROUP, plan.ehr)
    billing_module = simulator_of(BILLING_GROUP, plan.billing)
    ehr = SimulatorOptions(
        base_url=f"http://{HOST}:{ehr_port}",
        credentials=ehr_module.new_credentials(plan.seed) if hasattr(ehr_module, "new_credentials") else {},
        data=plan.fhir_data or day.resources,
        directory=directory.resolve() if directory else None,
        hook_url=f"http://{HOST}:{gateway_port}/hooks/{CLINIC_ID}/ehr",
        **plan.manner(),
    )
    billing = SimulatorOptions(
        base_url=f"http://{HOST}:{billing_port}",
        data=day.directory,
        ports=tuple(others),
        directory=directory.resolve() if directory else None,
        **plan.manner(),
    )
    gateway_url = f"http://{HOST}:{gateway_port}"
    links = {"ehr": ehr_module.connection(ehr), "billing": billing_module.connection(billing)}
    configuration = _configuration(plan, day, links, gateway_port)
    secrets = {**links["ehr"].secrets, **links["billing"].secrets}
    return Sandbox(ehr, billing, ehr_module, billing_module, gateway_url, configuration, secrets)


def simulator_of(group: str, adapter: str) -> ModuleType:
    """The simulator's module; raises `ConfigurationError` when the adapter has none."""
    info = load_adapter(group, adapter, f"--{'ehr' if group == EHR_GROUP else 'billing'}")
    if not info.simulator:
        raise ConfigurationError(adapter, "has no simulator.", "Choose another adapter, or connect to a real sandbox.")
    return importlib.import_module(info.simulator)


def _configuration(
    plan: SandboxPlan, day: ClinicDay, links: dict[str, SandboxConnection], gateway_port: int
) -> dict[str, Any]:
    info = load_adapter(BILLING_GROUP, plan.billing, "--billing")
    reads = BillingCapability.INBOUND_OUTCOME in info.capabilities
    return {
        "clinics": {
            CLINIC_ID: {
                **_plain(day.clinic),
                **links["ehr"].clinic,
                "ehr": {"ehr": {"adapter": plan.ehr, "settings": links["ehr"].settings}},
                "billing": {
                    "billing": {
                        "adapter": plan.billing,
                        "outcome_seconds": READ_SECONDS if reads else ASK_SECONDS,
                        "settings": links["billing"].settings,
                    }
                },
            }
        },
        "server": {"host": HOST, "port": gateway_port, "public_url": f"http://{HOST}:{gateway_port}"},
        "workers": {"retry_base_seconds": 0.2, "retry_cap_seconds": 5.0},
    }


def _plain(value: Any) -> Any:
    """Decimals as text, so that YAML keeps their cents."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, Decimal) else value


def _ports(first: int) -> tuple[int, ...]:
    """EHR, billing, gateway, and two more for what a billing simulator serves beside HTTP."""
    return tuple(range(first, first + PORTS)) if first else free_ports(PORTS, HOST)
