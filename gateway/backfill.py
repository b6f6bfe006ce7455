"""The operator's side of `gateway backfill`: which connections, a progress bar on standard error, and the counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.app import open_gateway
from gateway.canonical.errors import ConfigurationError, GatewayError
from gateway.connections import OpenConnections
from gateway.pipeline import backfill as pipeline_backfill
from gateway.pipeline.backfill import Backfill
from gateway.ports.ehr import EhrCapability
from gateway.settings import LoadedSettings

_PROGRESS = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command was asked for; an empty `connection` means each one of the clinic that can be listed."""

    clinic: str
    since: date
    until: date | None = None
    connection: str = ""
    send_before_go_live: bool = False


async def run_backfill(loaded: LoadedSettings, request: Request, *, as_json: bool) -> int:
    """Exit status 0, or 1 when a connection could not be listed to its end or visits had to be left out undated."""
    _require_go_live(loaded, request)
    rows: list[dict[str, Any]] = []
    async with open_gateway(loaded) as gateway:
        await gateway.session.open()
        for connection in _connections(loaded, gateway.connections, request):
            wanted = Backfill(request.clinic, connection, request.since, request.until, request.send_before_go_live)
            began, problem = time.monotonic(), ""
            progress = pipeline_backfill.Progress()
            with _shown(connection) as show:
                try:
                    await pipeline_backfill.backfill(gateway.pipeline, wanted, progress, show)
                except GatewayError as failure:
                    problem = str(failure)
            rows.append(_row(connection, progress, time.monotonic() - began, problem))
    _print(rows, as_json)
    return 0 if all(not row["problem"] and not row["undated"] for row in rows) else 1


def _require_go_live(loaded: LoadedSettings, request: Request) -> None:
    """Visits of former days may have been billed by hand: somebody has to say from which day on they were not."""
    clinic = loaded.gateway.clinics.get(request.clinic)
    if clinic is None:
        raise ConfigurationError("--clinic", f"is not a clinic of {loaded.path.name}.", "See `clinics` there.")
    if clinic.go_live is None and not request.send_before_go_live:
        raise ConfigurationError(
            loaded.where("clinics", request.clinic, "go_live"),
            "is missing: the gateway cannot tell which visits were billed before it.",
            "Set it to the first date of service that is billed here; or add --send-before-go-live if none was billed.",
        )
    if request.until is not None and request.until < request.since:
        raise ConfigurationError("--until", "is before --since.", "Give the days in order.")


def _connections(loaded: LoadedSettings, opened: OpenConnections, request: Request) -> list[str]:
    able = [
        name
        for clinic, name in opened.ehr_connections()
        if clinic == request.clinic and EhrCapability.BACKFILL in opened.ehr_info(clinic, name).capabilities
    ]
    chosen = [name for name in able if request.connection in ("", name)]
    if not chosen:
        named = f"connection {request.connection}" if request.connection else "EHR connection"
        problem = f"has no {named} of which former visits can be listed."
        where = loaded.where("clinics", request.clinic, "ehr")
        raise ConfigurationError(where, problem, "See `gateway adapters`: it needs backfill.")
    return chosen


@contextmanager
def _shown(connection: str) -> Iterator[Callable[[pipeline_backfill.Progress], None]]:
    """A line that moves while visits are listed: how many, how fast, at which date of service."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    began = time.monotonic()
    with Progress(*columns, console=_PROGRESS) as bar:
        task = bar.add_task(connection, total=None, counts="")

        def show(progress: pipeline_backfill.Progress) -> None:
            bar.update(task, counts=_counts(progress, time.monotonic() - began))

        yield show


def _counts(progress: pipeline_backfill.Progress, seconds: float) -> str:
    rate = progress.listed / seconds if seconds > 0 else 0.0
    at = f" · at {progress.serviced}" if progress.serviced else ""
    waiting = f" · {progress.waiting}" if progress.waiting else ""
    return f"{progress.listed} listed · {progress.new} new · {rate:.0f}/s{at}{waiting}"


def _row(connection: str, progress: pipeline_backfill.Progress, seconds: float, problem: str) -> dict[str, Any]:
    counts = {k: v for k, v in asdict(progress).items() if k not in ("serviced", "waiting")}
    return {"connection": connection, **counts, "seconds": round(seconds, 3), "problem": problem}


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    console = Console()
    if as_json:
        console.print_json(json.dumps({"ok": not any(row["problem"] for row in rows), "connections": rows}))
        return
    table = Table(*(name.replace("_", " ") for name in rows[0]), title="backfill", title_justify="left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table)
