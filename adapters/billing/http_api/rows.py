"""The mapping document's tables of one description: the very rows that map. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.billing.http_api.description import Description
from adapters.billing.http_api.settings import HttpApiSettings
from gateway.kit.mapping import Row


def rows_of(description: Description) -> Mapping[str, Sequence[Row]]:
    """The rows of a configured connection (`settings.description`): those of the document, and those of each list."""
    tables: dict[str, list[Row]] = {}
    for row in (*description.plan.leaves, *description.plan.fixed):
        listed = row.target.rpartition("[]")[0]
        tables.setdefault(f"Field map: {listed}[]" if listed else "Field map", []).append(row)
    return tables


def carried_of(description: Description) -> Mapping[str, str]:
    """Canonical element to the vendor's fields, or to "- why none is needed", of a configured connection."""
    return description.plan.carrying.table


def mapping_of(settings: HttpApiSettings) -> tuple[Mapping[str, str], Mapping[str, Sequence[Row]]]:
    """Both, of a configured connection."""
    return carried_of(settings.description), rows_of(settings.description)
