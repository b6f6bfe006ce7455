"""The only reader of the environment and of gateway.yaml.

Secrets are given by reference: `env:NAME` or `file:PATH` (relative to gateway.yaml). Unknown keys are refused. Every
mistake names the file, the line, the key and the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from gateway.canonical.errors import ConfigurationError
from gateway.clinic_settings import ClinicSettings
from gateway.kit.smart_key import safe_url
from gateway.settings_base import Strict

_Model = TypeVar("_Model", bound=BaseModel)


class ServerSettings(Strict):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on.")
    public_url: str = Field(
        default="",
        description="How EHRs reach this gateway, e.g. https://gateway.clinic.example; for subscriptions. https only.",
    )
    max_body_bytes: int = Field(default=5_000_000, gt=0, description="Largest webhook body that is read.")

    @field_validator("public_url")
    @classmethod
    def _private_on_the_way(cls, value: str) -> str:
        """Notifications carry a secret, and may carry a whole encounter."""
        return value and safe_url(value).rstrip("/")


class WorkerSettings(Strict):
    """The workers."""

    concurrency: int = Field(default=16, ge=1, le=256, description="Encounters worked on at once per process.")
    retry_base_seconds: float = Field(default=1.0, gt=0, description="First back-off; doubles with each failure.")
    retry_cap_seconds: float = Field(default=300.0, gt=0, description="Longest back-off.")
    give_up_hours: float = Field(
        default=24.0, gt=0, description="After this time of failures without a break a job becomes a dead letter."
    )


class DatabaseSettings(Strict):
    """Where Postgres is."""

    url: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql:// URL of a Postgres 15 or newer; empty: the embedded server. "
        "GATEWAY_DATABASE_URL overrides it.",
    )
    directory: str = Field(default=".gateway", description="Directory of the embedded server, beside gateway.yaml.")
    max_connections: int = Field(default=12, ge=2, description="Connections in the pool of one process.")


class GatewaySettings(Strict):
    """gateway.yaml."""

    clinics: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], ClinicSettings] = Field(
        min_length=1, description="The clinics by id (a-z, 0-9, hyphen)."
    )
    server: ServerSettings = Field(default_factory=ServerSettings, description="The HTTP server.")
    workers: WorkerSettings = Field(default_factory=WorkerSettings, description="The workers.")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, description="Where Postgres is.")


class LoadedSettings(Strict):
    """The settings with where they came from and what the environment adds."""

    path: Path
    gateway: GatewaySettings
    lines: dict[str, int]
    environment: dict[str, str] = Field(default_factory=dict, repr=False)

    @property
    def directory(self) -> Path:
        """The embedded server's directory."""
        return (self.path.parent / self.gateway.database.directory).resolve()

    @property
    def database_url(self) -> str:
        """The Postgres URL, or "" for the embedded server."""
        return self.environment.get("GATEWAY_DATABASE_URL", "") or self.gateway.database.url.get_secret_value()

    @property
    def postgres_binaries(self) -> Path | None:
        """Another Postgres' bin directory for the embedded launcher (GATEWAY_POSTGRES_BIN)."""
        given = self.environment.get("GATEWAY_POSTGRES_BIN")
        return Path(given) if given else None

    def where(self, *keys: str) -> str:
        """`gateway.yaml:12 clinics.lakeside...`, for messages."""
        return _where(self.path, self.lines, keys)

    def adapter_settings(self, model: type[_Model], clinic: str, direction: str, connection: str) -> _Model:
        """A connection's settings as its adapter's model; raises `ConfigurationError` for each kind of mistake."""
        clinic_settings = self.gateway.clinics[clinic]
        raw = getattr(clinic_settings, direction)[connection].settings
        keys = ("clinics", clinic, direction, connection, "settings")
        try:
            return model.model_validate(raw)
        except ValidationError as invalid:
            raise _problem(self.path, self.lines, keys, invalid) from None


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read and check gateway.yaml; references to secrets are resolved. Raises `ConfigurationError`."""
    variables = dict(os.environ if environment is None else environment)
    try:
        text = path.read_text("utf-8")
    except OSError as problem:
        raise ConfigurationError(
            str(path),
            f"cannot be read ({problem.strerror}).",
            "Write one (see docs/configuration.md) or name it with --config; `gateway sandbox --out .` makes a sample.",
        ) from None
    raw, lines = _parse(path, text)
    resolved = _resolve(raw, path, lines, variables, ())
    try:
        gateway = GatewaySettings.model_validate(resolved, context={"folder": path.parent})
    except ValidationError as invalid:
        raise _problem(path, lines, (), invalid) from None
    kept = {name: value for name, value in variables.items() if name.startswith("GATEWAY_")}
    return LoadedSettings(path=path, gateway=gateway, lines=lines, environment=kept)


def _parse(path: Path, text: str) -> tuple[Any, dict[str, int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        raw = yaml.safe_load(text)
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigurationError(where, "is not YAML here.", "Check indentation, colons and quotes.") from None
    if not isinstance(raw, dict):
        raise ConfigurationError(str(path), "is empty or not a mapping.", "It begins with `clinics:`.")
    return raw, dict(_line_numbers(node, ()))


def _line_numbers(node: yaml.Node | None, keys: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*keys, str(key.value))
            yield ".".join(below), key.start_mark.line + 1
            yield from _line_numbers(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            below = (*keys, str(number))
            yield ".".join(below), value.start_mark.line + 1
            yield from _line_numbers(value, below)


def _resolve(value: Any, path: Path, lines: dict[str, int], variables: dict[str, str], keys: tuple[str, ...]) -> Any:
    """Replace `env:` and `file:` references anywhere in the configuration."""
    if isinstance(value, dict):
        return {key: _resolve(inner, path, lines, variables, (*keys, str(key))) for key, inner in value.items()}
    if not isinstance(value, str):
        return value
    if value.startswith("env:"):
        name = value[4:]
        if not variables.get(name):
            remedy = f"Set {name} before the start, or use file:PATH."
            raise ConfigurationError(_where(path, lines, keys), f"environment variable {name} is not set.", remedy)
        return variables[name]
    if value.startswith("file:"):
        try:
            return (path.parent / value[5:]).read_text("utf-8").strip()
        except OSError as problem:
            remedy = "Check the path (relative to gateway.yaml) and its permissions."
            where = _where(path, lines, keys)
            raise ConfigurationError(where, f"the file cannot be read ({problem.strerror}).", remedy) from None
    return value


def _where(path: Path, lines: dict[str, int], keys: tuple[str, ...]) -> str:
    known = next((".".join(keys[:n]) for n in range(len(keys), 0, -1) if ".".join(keys[:n]) in lines), None)
    line = f":{lines[known]}" if known else ""
    return f"{path}{line} {'.'.join(keys)}".rstrip()


_REMEDIES = {
    "description": "",  # such a message says itself what to do
    "string_type": "Put it between quotation marks.",  # YAML takes codes of digits for numbers
}


def _written(
    lines: dict[str, int], keys: tuple[str, ...], place: tuple[int | str, ...], *, missing: bool
) -> tuple[str, ...]:
    """The keys of a place in the models, without what is no key of the file: which alternative was tried."""
    for number, part in enumerate(place):
        below = (*keys, str(part))
        is_last = missing and number == len(place) - 1
        keys = below if ".".join(below) in lines or is_last else keys
    return keys


def _problem(path: Path, lines: dict[str, int], keys: tuple[str, ...], invalid: ValidationError) -> ConfigurationError:
    """The first mistake in words; values are never repeated, they may be secrets."""
    first = invalid.errors(include_input=False, include_url=False)[0]
    kind = first["type"]
    at = _written(lines, keys, first["loc"], missing=kind == "missing")
    if kind == "extra_forbidden":
        return ConfigurationError(_where(path, lines, at), "is not a known key.", "Correct its spelling or remove it.")
    if kind == "missing":
        return ConfigurationError(_where(path, lines, at), "is missing.", "Add it; see docs/configuration.md.")
    message = first["msg"].removeprefix("Value error, ")
    remedy = _REMEDIES.get(kind, "Correct the value.")
    more = f" ({invalid.error_count() - 1} more to correct)" if invalid.error_count() > 1 else ""
    return ConfigurationError(_where(path, lines, at), f"{message}.{more}", remedy)
