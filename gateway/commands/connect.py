"""`gateway connect`: the consent of a person, where an EHR asks for it."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("gateway.yaml")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(connect)


def connect(  # noqa: PLR0917  (a command's parameters are its options)
    connection: Annotated[str, typer.Argument(help="An EHR connection of gateway.yaml: NAME, or CLINIC/NAME.")],
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The configuration file.", envvar="GATEWAY_CONFIG")
    ] = DEFAULT_CONFIG,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of the callback page on this machine; register it at the EHR.")
    ] = 8765,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the EHR's page by itself.")] = True,
    paste: Annotated[bool, typer.Option("--paste", help="Ask for the address that the browser ends at.")] = False,
    redirect_uri: Annotated[
        str, typer.Option(help="Another redirect address that is registered at the EHR; with --paste.")
    ] = "",
    timeout: Annotated[float, typer.Option(min=1, help="How long to wait for the consent, in seconds.")] = 300.0,
) -> None:
    """Ask a person for the consent that an EHR wants, and keep it: on a callback page, or with --paste over SSH."""
    from gateway.consent import ConnectOptions  # noqa: PLC0415
    from gateway.consent import connect as connect_now  # noqa: PLC0415
    from gateway.settings import load_settings  # noqa: PLC0415
    from gateway.telemetry import set_up_logging  # noqa: PLC0415

    def show(url: str) -> None:
        typer.echo(f"Open this page, sign in as the user whose rights the gateway shall have, and consent:\n\n{url}\n")
        if browser and not paste:
            webbrowser.open(url)

    def ask() -> str:
        return str(typer.prompt("Paste the whole address that the browser ends at", hide_input=True))

    set_up_logging()
    options = ConnectOptions(port, redirect_uri, paste or bool(redirect_uri), timeout, show, ask)
    raise typer.Exit(asyncio.run(connect_now(load_settings(config), connection, options)))
