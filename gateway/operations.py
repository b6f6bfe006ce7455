"""What the operator's commands do: check, status, holds, recheck, resume, migrate, adapters, mapping."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.app import Database, Gateway, migrate_database, open_gateway
from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.errors import ConfigurationError
from gateway.dry_connection import dry_connection
from gateway.feature_matrix import fact_sheets, matrix
from gateway.feed_status import feed_status
from gateway.mapping_document import mapping_document
from gateway.mapping_print import FORMATS
from gateway.pipeline.receive import new_trace
from gateway.ports.billing import BillingAdapterInfo
from gateway.ports.context import Probe, utc_now
from gateway.ports.ehr import EhrAdapterInfo
from gateway.readiness import Pair, readiness
from gateway.registry import BILLING_GROUP, EHR_GROUP, load_adapter
from gateway.settings import LoadedSettings
from gateway.store.postgres import PostgresStore
from gateway.superbill_intake import probe_superbills

console = Console()
_STATUS = ("states", "queue", "batches", "messages", "dead_letters", "stopped", "backfills")


async def migrate_now(loaded: LoadedSettings) -> list[int]:
    """Apply missing migrations; returns their numbers."""
    database = Database(loaded)
    try:
        return await migrate_database(PostgresStore(database.connect_arguments))
    finally:
        await database.close()


async def check_now(loaded: LoadedSettings, as_json: bool) -> int:
    """Try everything; exit status 0 when all works, 1 when something is to be fixed."""
    async with open_gateway(loaded) as gateway:
        await gateway.session.open()
        database = [Probe("Postgres answers and is migrated", ok=True)]
        probes = {"database": database, **await probes_of(gateway), **_still_missing(loaded, gateway)}
    print_probes(probes, as_json=as_json)
    return 0 if all(probe.ok for found in probes.values() for probe in found) else 1


async def probes_of(gateway: Gateway) -> dict[str, list[Probe]]:
    """What trying each connection has shown, by its name for people."""
    connections = gateway.connections
    probes: dict[str, list[Probe]] = {}
    for clinic, name in connections.ehr_connections():
        found = await connections.ehr(clinic, name).probe()
        title = connections.ehr_info(clinic, name).title
        probes[f"{clinic} / {name} ({title})"] = [*found, *await _stops(gateway, clinic, name)]
    for clinic, name in connections.billing_connections():
        found = await connections.billing(clinic, name).probe()
        title = connections.billing_info(clinic, name).title
        probes[f"{clinic} / {name} ({title})"] = [*found, *await _stops(gateway, clinic, name)]
    for clinic, place in gateway.pipeline.superbills.items():
        probes[f"{clinic} / {place.connection} (superbills)"] = await probe_superbills(place)
    return probes


async def _stops(gateway: Gateway, clinic: str, connection: str) -> list[Probe]:
    """A stop outlives its cause: a person takes it off."""
    rows = await gateway.store.report("stopped", clinic)
    return [
        Probe(
            "stopped",
            ok=False,
            detail=f"since {cell('stopped_at', row['stopped_at'])}, for {row['reason']}: nothing is read or sent",
            remedy=f"When all else here works: `gateway resume {connection}`.",
        )
        for row in rows
        if row["connection"] == connection
    ]


def _still_missing(loaded: LoadedSettings, gateway: Gateway) -> dict[str, list[Probe]]:
    """What each EHR connection and the billing connection that its claims go to need of gateway.yaml."""
    found: dict[str, list[Probe]] = {}
    for clinic, name in gateway.connections.ehr_connections():
        billing = gateway.connections.default_billing(clinic)
        ehr, info = gateway.connections.ehr_info(clinic, name), gateway.connections.billing_info(clinic, billing)
        pair = Pair(
            where=f"clinics.{clinic}",
            clinic=loaded.gateway.clinics[clinic],
            ehr=ehr,
            billing=info,
            ehr_settings=loaded.adapter_settings(ehr.settings, clinic, "ehr", name),
            billing_settings=loaded.adapter_settings(info.settings, clinic, "billing", billing),
        )
        found[f"{clinic} / before the first claim from {name} to {billing}"] = readiness(pair)
    return found


def print_probes(probes: dict[str, list[Probe]], *, as_json: bool = False) -> None:
    """Print what works on each connection, and what to fix."""
    if as_json:
        rows = [
            {"connection": link, "what": p.what, "ok": p.ok, "detail": p.detail, "remedy": p.remedy}
            for link, found in probes.items()
            for p in found
        ]
        _print_json({"ok": all(row["ok"] for row in rows), "probes": rows})
        return
    for link, found in probes.items():
        console.print(f"[bold]{link}[/]")
        for probe in found:
            mark = ("[cyan]note  [/]" if probe.remedy else "[green]works [/]") if probe.ok else "[red]to fix[/]"
            console.print(f"  {mark}  {probe.what}" + (f": {probe.detail}" if probe.detail else ""))
            if probe.remedy:
                console.print(f"          [yellow]{probe.remedy}[/]")


async def show_status(loaded: LoadedSettings, as_json: bool, *, encounters: bool = False) -> None:
    """Print how each clinic stands; with `encounters` each of them with its submissions too."""
    names = (*_STATUS, "encounters") if encounters else _STATUS
    async with open_gateway(loaded) as gateway:
        status = {
            clinic: {
                **{name: await gateway.store.report(name, clinic) for name in names},
                **await feed_status(gateway, clinic),
            }
            for clinic in loaded.gateway.clinics
        }
    if as_json:
        _print_json(status)
        return
    for clinic, parts in status.items():
        for title, rows in parts.items():
            heading = f"{clinic}: {title.replace('_', ' ')}"
            console.print(_table(heading, rows) if rows else f"{heading}: none")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(*(name.replace("_", " ") for name in rows[0]), title=title, title_justify="left")
    for row in rows:
        table.add_row(*(cell(name, value) for name, value in row.items()))
    return table


def cell(name: str, value: Any) -> str:
    """As a person reads it: instants in UTC, whether they come as such or in epoch seconds."""
    if isinstance(value, float):
        if not name.endswith("_at"):
            return f"{value:.1f}"
        value = datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


async def show_holds(loaded: LoadedSettings, as_json: bool) -> None:
    """Print the worklist."""
    async with open_gateway(loaded) as gateway:
        held = {clinic: await gateway.store.open_holds(clinic) for clinic in loaded.gateway.clinics}
    if as_json:
        _print_json(
            {
                c: [{**row, "findings": [f.as_json() for f in row["findings"]]} for row in rows]
                for c, rows in held.items()
            }
        )
        return
    for clinic, rows in held.items():
        console.print(f"[bold]{clinic}[/]: {len(rows)} held")
        for row in rows:
            console.print(
                f"\n[bold]{row['encounter_id']}[/]  held at {row['step']} since {row['created_at']:%Y-%m-%d %H:%M} UTC"
            )
            for finding in row["findings"]:
                console.print(f"  {finding.expression}: {finding.message}", highlight=False, markup=False)
                if finding.fix:
                    console.print(f"    {finding.fix}", style="yellow", highlight=False, markup=False)


async def recheck_holds(loaded: LoadedSettings, encounter: str, *, send_before_go_live: bool = False) -> int:
    """Queue held encounters to be fetched and checked anew; returns how many.

    With `send_before_go_live` they may be from before the clinic's go-live date.
    """
    count = 0
    async with open_gateway(loaded) as gateway:
        for clinic in loaded.gateway.clinics:
            for row in await gateway.store.open_holds(clinic):
                if encounter in ("all", row["encounter_id"]):
                    await _recheck(gateway.store, clinic, row["encounter_id"], send_before_go_live)
                    count += 1
    return count


async def _recheck(store: PostgresStore, clinic: str, encounter_id: str, send_before_go_live: bool) -> None:
    trace, entity = new_trace(), f"Encounter/{encounter_id}"
    event = AuditEvent(Step.RECHECK_REQUESTED, utc_now(), clinic, trace, encounter_id=encounter_id, entities=(entity,))
    async with store.unit_of_work(clinic) as unit:
        if send_before_go_live:
            await unit.allow_before_go_live([encounter_id])
        await unit.recheck(encounter_id, trace)
        await unit.commit(event)


async def resume_connection(loaded: LoadedSettings, connection: str) -> None:
    """Take the stop off a connection of that name in every clinic that has it."""
    clinics = [c for c, s in loaded.gateway.clinics.items() if connection in (*s.ehr, *s.billing)]
    if not clinics:
        raise ConfigurationError(str(loaded.path), f"has no connection named {connection}.", "See `gateway check`.")
    async with open_gateway(loaded) as gateway:
        for clinic in clinics:
            event = AuditEvent(Step.CONNECTION_RESUMED, utc_now(), clinic, new_trace(), target=connection)
            async with gateway.store.unit_of_work(clinic) as unit:
                await unit.resume_connection(connection)
                await unit.commit(event)


def show_adapters(*, as_markdown: bool = False) -> None:
    """Print the feature matrix from the fact sheets; as Markdown it is what README.md holds."""
    if as_markdown:
        print(matrix())  # noqa: T201
        return
    table = Table("direction", "adapter", "system", "can", title="installed adapters")
    for direction, group in (("ehr", EHR_GROUP), ("billing", BILLING_GROUP)):
        for info in fact_sheets(group):
            table.add_row(direction, info.name, info.title, ", ".join(sorted(info.capabilities)))
    console.print(table)


def show_mapping(ehr: str, billing: str, form: str, *, out: Path | None, config: Path | None, connection: str) -> None:
    """Print the mapping document, or write it to `out`; of a connection of `config` where one is named."""
    ehr_info: EhrAdapterInfo = load_adapter(EHR_GROUP, ehr, "--ehr")
    billing_info: BillingAdapterInfo = load_adapter(BILLING_GROUP, billing, "--billing")
    settings, origin = None, ""
    if connection or (config and billing_info.mapping_of):
        with dry_connection(billing, config, connection) as link:
            settings, origin = link.settings, link.origin
    text = FORMATS[form](mapping_document(ehr_info, billing_info, settings, origin))
    if out is None:
        print(text, end="")  # noqa: T201
        return
    try:
        out.write_text(text, "utf-8")
    except OSError as problem:
        raise ConfigurationError(str(out), f"cannot be written ({problem.strerror}).", "Name another file.") from None


def _print_json(value: Any) -> None:
    console.print_json(json.dumps(value, default=str))
