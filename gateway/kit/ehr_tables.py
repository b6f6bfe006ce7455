"""An EHR adapter's maps as the tables of its fact sheet (`EhrAdapterInfo.rows`), for the mapping document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.canonical import superbill_columns
from gateway.canonical.mapping import Row, same
from gateway.kit.ehr_charge_map import CHARGE_MAP_ROWS
from gateway.kit.ehr_charge_rows import CHARGE_TABLES
from gateway.kit.ehr_clinic import CLINIC_RULES
from gateway.kit.ehr_normalize import BUNDLE_RULES, ORDER, RANKED
from gateway.kit.ehr_roles import PROVIDER_RULES, ROLE_RULES
from gateway.kit.ehr_rows import US_CORE, Link, ResourceMap

ROLES = "roles (who, and where)"
_TEAM = re.compile(r"Claim\.careTeam\b(?!.*\b(role|sequence)\b)")
_CHOICES = ("first", "second", "third", "fourth")
_CHARGES = {**CHARGE_TABLES, "charge_map": ("the clinic's charge map", CHARGE_MAP_ROWS)}
_SELECTION = re.compile(r"\[\d*\]|\.where\([^)]*\)")
_BETWEEN = re.compile(r" \| |, ")


def encounter_tables(maps: Mapping[str, ResourceMap], charge_sources: Sequence[str]) -> dict[str, tuple[Row, ...]]:
    """All tables of an EHR adapter over SMART on FHIR: the encounter, its charges by choice, its resources."""
    charges = (_charge_table(source) for source in charge_sources)
    whole = {
        "bundle (the encounter as a whole)": BUNDLE_RULES,
        ROLES: ROLE_RULES,
        **resource_tables(maps),
    }
    if "claim" not in charge_sources:
        whole = {title: tuple(_without_claims(rows, charge_sources)) for title, rows in whole.items()}
    return {
        **{title: rows for title, rows in whole.items() if title not in maps},
        **{
            f"charge ({choice} choice: {resource})": rows
            for choice, (resource, rows) in zip(_CHOICES, charges, strict=False)
        },
        **(superbill_columns.TABLES if "superbill" in charge_sources else {}),
        **{title: rows for title, rows in whole.items() if title in maps},
    }


def _charge_table(source: str) -> tuple[str, tuple[Row, ...]]:
    """The resource and its rows; of a superbill with the columns of its file as sources."""
    resource, rows = _CHARGES[source]
    if source != "superbill":
        return resource, rows
    return "superbill", tuple(_from_vendor(rows, _by_superbill()))


def _by_superbill() -> list[tuple[str, Row]]:
    """What a superbill's columns fill of the Claim that is made of it."""
    return [(f"{owner}.{_plain(row.target)}", row) for owner, own in superbill_columns.MADE.items() for row in own]


def _without_claims(rows: Iterable[Row], charge_sources: Sequence[str]) -> Iterator[Row]:
    """Rows of an EHR whose Claims are not read: what a superbill tells stands in their place."""
    filled = _by_superbill() if "superbill" in charge_sources else []
    for row in rows:
        told = [_told(path, filled) for path in row.source.split(" | ")]
        if source := " | ".join(filter(None, told)):
            yield Row(row.target, source, row.via, row.required, row.note, row.fix)


def _told(path: str, filled: Sequence[tuple[str, Row]]) -> str:
    """A source without what Claims hold; what belongs together is separated by commas."""
    parts: list[str] = []
    for part in path.split(", "):
        if not part.startswith("Claim."):
            parts.append(part)
            continue
        parts += [own.source for target, own in filled if _overlap(_plain(part), target)]
    return ", ".join(dict.fromkeys(parts))


def resource_tables(maps: Mapping[str, ResourceMap]) -> dict[str, tuple[Row, ...]]:
    """One table per resource type: its rows, its repeating elements, and what is asked of its references."""
    added: Mapping[str, tuple[Row, ...]] = {"Encounter": (RANKED,), "Coverage": (ORDER,), **CLINIC_RULES}
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


def vendor_tables(
    own: Mapping[str, Sequence[Row]],
    maps: Mapping[str, ResourceMap] = US_CORE,
    charge_sources: Sequence[str] = ("claim",),
) -> dict[str, tuple[Row, ...]]:
    """The tables of an EHR with an API of its own: what is made of FHIR, with the vendor's fields as its sources.

    `own` are the adapter's rows by the FHIR path under which their targets lie ("Patient", "Claim.item"), words in
    parentheses after it. A kit row is left out when neither the vendor's rows nor gateway.yaml fill its source. Rows of
    the care team have in parentheses whom they name: "Claim.careTeam (referring)".
    """
    filled = [(f"{title.partition(' (')[0]}.{_plain(row.target)}", row) for title, rows in own.items() for row in rows]
    kit = encounter_tables(maps, charge_sources)
    made = {title: tuple(_from_vendor(rows, filled)) for title, rows in kit.items()}
    made[ROLES] = (*_named_roles(own), *_unnamed_roles(made[ROLES], own))
    return {title: rows for title, rows in made.items() if rows}


def _named_roles(own: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """Who is in the care team, role by role."""
    told = PROVIDER_RULES[0]
    for title, rows in own.items():
        for role in _roles(title):
            found = [row for row in rows if _TEAM.match(f"{title.partition(' (')[0]}.{row.target}")]
            if not found:  # a table of the person's own resource
                continue
            sources = dict.fromkeys(row.source for row in found)
            yield Row(f"{role}_provider", " | ".join(sources), _both(found, told), role == "rendering", told.note)


def _unnamed_roles(rows: Sequence[Row], own: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """The rows of those whom the care team does not name: it decides, and the encounter repeats it."""
    named = {f"{role}_provider" for title in own for role in _roles(title)}
    for row in rows:
        left = [target for target in row.target.split(", ") if target not in named]
        if left and not (named and row.target == PROVIDER_RULES[0].target):
            yield replace(row, target=", ".join(left))


def _roles(title: str) -> list[str]:
    """Whom the rows of a table of the care team name."""
    words = title.partition(" (")[2].removesuffix(")").split(", ")
    return [word for word in words if f"{word}_provider" in PROVIDER_RULES[0].target.split(", ")]


def _from_vendor(rows: Sequence[Row], filled: Sequence[tuple[str, Row]]) -> Iterator[Row]:
    for row in rows:
        paths = [_plain(path) for path in _BETWEEN.split(row.source)]
        found = [own for path in paths for target, own in filled if _overlap(path, target)]
        of_clinic = [path for path in row.source.split(" | ") if path.startswith("gateway.yaml")]
        if found or of_clinic:
            sources = dict.fromkeys([*(source for own in found for source in own.source.split(" | ")), *of_clinic])
            needed = row.required or any(own.required for own in found)
            yield Row(row.target, " | ".join(sources), _both(found, row), needed, row.note, row.fix)


def _overlap(path: str, target: str) -> bool:
    return path == target or path.startswith(f"{target}.") or target.startswith(f"{path}.")


def _both(own: Sequence[Row], kit: Row) -> Callable[[Any], Any]:
    """What is done to the value at both steps, in words: the mapping document prints it."""
    told = dict.fromkeys(words for row in (*own, kit) if row.via is not same and (words := _first_line(row.via)))

    def via(value: Any) -> Any:
        return value

    via.__doc__ = "; ".join(told) or "As it is."
    return via


def _first_line(via: Callable[..., Any]) -> str:
    return (via.__doc__ or "").strip().partition("\n")[0].removesuffix(".")


def _plain(path: str) -> str:
    return _SELECTION.sub("", path)
