"""`gateway superbill`: take a file in by hand, and see which superbills have found no encounter."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

CONFIG = typer.Option("--config", "-c", help="The configuration file.", envvar="GATEWAY_CONFIG")
JSON = typer.Option("--json", help="Print one JSON object on standard output.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, help="Charges that come as files of superbills.")
    group.command("import")(import_file)
    group.command("list")(list_unmatched)
    app.add_typer(group, name="superbill")


def import_file(
    file: Annotated[Path, typer.Argument(help="A superbill file (CSV).", exists=True, dir_okay=False)],
    clinic: Annotated[str, typer.Option(help="The clinic whose superbills these are.")],
    config: Annotated[Path, CONFIG] = Path("gateway.yaml"),
    shred: Annotated[bool, typer.Option("--shred", help="Overwrite and remove the file once it is taken.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Take a file in: good superbills go to their encounters, each mistake is told by line and column."""
    from gateway.settings import load_settings  # noqa: PLC0415
    from gateway.superbill_operations import import_superbills  # noqa: PLC0415

    file = file.resolve()  # a link that an operator names is meant
    raise typer.Exit(asyncio.run(import_superbills(load_settings(config), clinic, file, shred=shred, as_json=json)))


def list_unmatched(
    clinic: Annotated[str, typer.Option(help="Only this clinic's.")] = "",
    days: Annotated[
        int | None, typer.Option(min=0, help="Waiting for so many days or more; by default unmatched_days.")
    ] = None,
    config: Annotated[Path, CONFIG] = Path("gateway.yaml"),
    json: Annotated[bool, JSON] = False,
) -> None:
    """Superbills that no encounter has joined: drafts, refused ones, and those whose visit is not known."""
    from gateway.settings import load_settings  # noqa: PLC0415
    from gateway.superbill_operations import show_superbills  # noqa: PLC0415

    asyncio.run(show_superbills(load_settings(config), clinic, days, as_json=json))
