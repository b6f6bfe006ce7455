"""An EHR adapter's maps as the tables of its fact sheet (`EhrAdapterInfo.rows`), for the mapping document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.canonical import superbill_columns
from gateway.canonical.mapping import Row
from gateway.kit.ehr_charge_rows import CHARGE_TABLES
from gateway.kit.ehr_normalize import BUNDLE_RULES, ORDER, RANKED
from gateway.kit.ehr_roles import ROLE_RULES
from gateway.kit.ehr_rows import Link, ResourceMap

_CHOICES = ("first", "second", "third")


def encounter_tables(maps: Mapping[str, ResourceMap], charge_sources: Sequence[str]) -> dict[str, tuple[Row, ...]]:
    """All tables of an EHR adapter over SMART on FHIR: the encounter, its charges by choice, its resources."""
    charges = (CHARGE_TABLES[source] for source in charge_sources)
    return {
        "bundle (the encounter as a whole)": BUNDLE_RULES,
        "roles (who, and where)": ROLE_RULES,
        **{
            f"charge ({choice} choice: {resource})": rows
            for choice, (resource, rows) in zip(_CHOICES, charges, strict=False)
        },
        **(superbill_columns.TABLES if "superbill" in charge_sources else {}),
        **resource_tables(maps),
    }


def resource_tables(maps: Mapping[str, ResourceMap]) -> dict[str, tuple[Row, ...]]:
    """One table per resource type: its rows, its repeating elements, and what is asked of its references."""
    added = {"Encounter": (RANKED,), "Coverage": (ORDER,)}
    return {name: (*_rows(name, table), *added.get(name, ())) for name, table in maps.items()}


def _rows(name: str, table: ResourceMap) -> Iterator[Row]:
    links = {link.path: link for link in table.links}
    lists = (Row(f"{repeated.name}[]", f"{name}.{repeated.name}", repeated.via) for repeated in table.lists)
    for row in (*table.rows, *lists):
        link = links.pop(row.target.removesuffix("[]"), None)
        yield replace(row, required=row.required or link.required, note=_leads(link)) if link else row
    for path, link in links.items():
        yield Row(path, f"{name}.{path}", required=link.required, note=_leads(link))


def _leads(link: Link) -> str:
    words = f"rewritten to the {' or '.join(link.types)} that it names"
    words += f"; one that has only an identifier or a name makes a {link.mint}" if link.mint else ""
    return words if link.required else f"{words}; left out when it leads nowhere"
