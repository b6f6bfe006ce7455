"""What `gateway superbill` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.app import Gateway, open_gateway
from gateway.canonical.errors import ConfigurationError
from gateway.canonical.jsonio import loads
from gateway.kit.file_drop import FolderDrop
from gateway.pipeline.superbill import Intake, take_file
from gateway.settings import LoadedSettings

console = Console()


async def import_superbills(loaded: LoadedSettings, clinic: str, file: Path, *, shred: bool, as_json: bool) -> int:
    """Take a file in; exit status 0, or 1 when something in it was refused (the file then stays)."""
    _require_superbills(loaded, clinic)
    folder = FolderDrop("superbills", file.parent, file.parent)
    content = await folder.get(file.name)
    async with open_gateway(loaded) as gateway:
        intake = await take_file(gateway.pipeline, clinic, content, source="gateway superbill import")
    if shred and not intake.file.problems:
        await folder.shred(file.name)
    _print_intake(intake, as_json)
    return 1 if intake.file.problems else 0


def _require_superbills(loaded: LoadedSettings, clinic: str) -> None:
    settings = loaded.gateway.clinics.get(clinic)
    if settings is None or settings.superbills is None:
        having = [name for name, each in loaded.gateway.clinics.items() if each.superbills is not None]
        remedy = f"Clinics with superbills: {', '.join(having) or 'none'}."
        raise ConfigurationError(loaded.where("clinics", clinic), "has no superbills.", remedy)


def _print_intake(intake: Intake, as_json: bool) -> None:
    counts = {
        "rows": intake.file.rows,
        "new": intake.taken.new,
        "changed": intake.taken.changed,
        "unchanged": intake.taken.unchanged,
        "refused": len(intake.file.refused),
    }
    if as_json:
        problems = [
            {"line": p.line, "column": p.column, "detail": p.message, "fix": p.fix} for p in intake.file.problems
        ]
        console.print_json(json.dumps({**counts, "problems": problems}))
        return
    console.print(", ".join(f"{count} {name}" for name, count in counts.items()))
    for line in intake.report.splitlines():
        console.print(f"  {line}", style="yellow", highlight=False, markup=False)


async def show_superbills(loaded: LoadedSettings, clinic: str, days: int | None, *, as_json: bool) -> None:
    """Print the superbills without an encounter, of one clinic or of all."""
    if clinic:
        _require_superbills(loaded, clinic)
    async with open_gateway(loaded) as gateway:
        found = {
            name: await _unmatched(gateway, name, settings.superbills.unmatched_days if days is None else days)
            for name, settings in loaded.gateway.clinics.items()
            if settings.superbills is not None and clinic in ("", name)
        }
    if as_json:
        console.print_json(json.dumps(found, default=str))
        return
    for name, rows in found.items():
        console.print(_table(name, rows) if rows else f"{name}: no unmatched superbills")


async def _unmatched(gateway: Gateway, clinic: str, days: int) -> list[dict[str, Any]]:
    rows = await gateway.store.report("superbills", clinic)
    return [_shown(row) for row in rows if row["days"] >= days]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """What an operator needs to find a superbill in the EHR; of a refused one only what it was refused for."""
    claim = loads(row["content"]) if row["content"] else {}
    refused = loads(row["findings"]) if row["findings"] else []
    state = "refused" if refused else "ready" if row["ready"] else "draft"
    return {
        "superbill": next((i["value"] for i in claim.get("identifier", ())), ""),
        "date_of_service": claim.get("created", ""),
        "state": state,
        "days": int(row["days"]),
        "received_at": row["received_at"].isoformat(timespec="minutes"),
        "why": refused[0]["message"] if refused else "",
    }


def _table(clinic: str, rows: list[dict[str, Any]]) -> Table:
    title = f"{clinic}: superbills without an encounter"
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table
