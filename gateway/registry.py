"""Finds adapters by entry point: built-in and third-party ones take the same path."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from gateway.canonical.errors import ConfigurationError

EHR_GROUP = "gateway.ehr_adapters"
BILLING_GROUP = "gateway.billing_adapters"


def adapter_names(group: str) -> list[str]:
    """The names of all installed adapters of a group."""
    return sorted({point.name for point in entry_points(group=group)})


def load_adapter(group: str, name: str, where: str) -> Any:
    """The fact sheet of one adapter; only this one is imported. `where` names the configuration key for messages."""
    points = list(entry_points(group=group, name=name))
    if not points:
        known = ", ".join(adapter_names(group)) or "none"
        raise ConfigurationError(where, f"there is no adapter named {name}.", f"Installed: {known}.")
    if len({point.value for point in points}) > 1:
        raise ConfigurationError(where, f"two installed packages offer an adapter named {name}.", "Remove one.")
    return _loaded(points[0], where)


def _loaded(point: EntryPoint, where: str) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as problem:
        what = f"the adapter {point.name} cannot be imported ({problem.name or 'import error'})."
        raise ConfigurationError(where, what, "Reinstall it, or correct its entry point.") from None
