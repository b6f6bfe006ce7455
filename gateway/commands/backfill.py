"""`gateway backfill`: visits of former days, behind everything that comes in live."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

Day = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First date of service: YYYY-MM-DD.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last date of service; none: to this day.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backfill")(backfill)


def backfill(  # noqa: PLR0917 - the options of a command
    clinic: Annotated[str, typer.Option(help="The clinic's id in gateway.yaml.")],
    since: Day,
    until: Until = None,
    connection: Annotated[str, typer.Option(help="An EHR connection; none: each that can be listed.")] = "",
    send_before_go_live: Annotated[
        bool,
        typer.Option("--send-before-go-live", help="Visits before the clinic's go_live were not billed elsewhere."),
    ] = False,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", envvar="GATEWAY_CONFIG")
    ] = Path("gateway.yaml"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """List the signed visits since a day and queue them behind live ones; repeat it as often as you like."""
    from gateway.backfill import Request, run_backfill  # noqa: PLC0415
    from gateway.settings import load_settings  # noqa: PLC0415
    from gateway.telemetry import set_up_logging  # noqa: PLC0415

    set_up_logging()
    request = Request(clinic, since.date(), until.date() if until else None, connection, send_before_go_live)
    raise typer.Exit(asyncio.run(run_backfill(load_settings(config), request, as_json=json)))
