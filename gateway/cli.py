"""The `gateway` command. Heavy imports wait until a command needs them: `gateway --help` answers at once."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.canonical.errors import ConfigurationError
from gateway.commands import backfill, connect, new_adapter, superbill

if TYPE_CHECKING:
    from gateway.settings import LoadedSettings

app = typer.Typer(
    name="gateway",
    help="Turns signed-off EHR encounters into exactly one claim in the billing system.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Config = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.", envvar="GATEWAY_CONFIG")]
DEFAULT_CONFIG = Path("gateway.yaml")
FOLDER: Any = {"exists": True, "file_okay": False}
OtherConfig = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The configuration file, if any.", envvar="GATEWAY_CONFIG"),
]
Connection = Annotated[str, typer.Option(help="A billing connection of gateway.yaml: NAME, or CLINIC/NAME.")]
MappingFormat = Literal["html", "csv", "md"]
TableFormat = Literal["table", "md"]
JsonOutput = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def main() -> None:
    """Entry point; a configuration mistake ends with exit status 2 and the remedy, never a traceback."""
    try:
        app()
    except ConfigurationError as mistake:
        print(f"gateway: {mistake.where}: {mistake.problem}", file=sys.stderr)  # noqa: T201
        if mistake.remedy:
            print(f"  Remedy: {mistake.remedy}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2) from None


def _loaded(config: Path) -> LoadedSettings:
    from gateway.settings import load_settings  # noqa: PLC0415
    from gateway.telemetry import set_up_logging  # noqa: PLC0415

    set_up_logging()
    return load_settings(config)


def _run(config: Path, *, api: bool, worker: bool) -> None:
    loaded = _loaded(config)
    from gateway.app import run  # noqa: PLC0415

    try:
        import uvloop  # noqa: PLC0415
    except ImportError:
        asyncio.run(run(loaded, api=api, worker=worker))
        return
    uvloop.run(run(loaded, api=api, worker=worker))


@app.command("run")
def run_command(config: Config = DEFAULT_CONFIG) -> None:
    """Run the API and the workers in one process."""
    _run(config, api=True, worker=True)


@app.command()
def serve(config: Config = DEFAULT_CONFIG) -> None:
    """Run the API alone; any number of these, on any number of hosts."""
    _run(config, api=True, worker=False)


@app.command()
def work(config: Config = DEFAULT_CONFIG) -> None:
    """Run the workers alone; any number of these, on any number of hosts."""
    _run(config, api=False, worker=True)


@app.command()
def migrate(config: Config = DEFAULT_CONFIG) -> None:
    """Bring the database up to date."""
    from gateway.operations import migrate_now  # noqa: PLC0415

    applied = asyncio.run(migrate_now(_loaded(config)))
    typer.echo(f"{len(applied)} migrations applied" if applied else "the database is up to date")


@app.command()
def check(config: Config = DEFAULT_CONFIG, json: JsonOutput = False) -> None:
    """Validate the configuration and try each connection: what works, and what to fix."""
    from gateway.operations import check_now  # noqa: PLC0415

    raise typer.Exit(asyncio.run(check_now(_loaded(config), json)))


@app.command()
def status(
    config: Config = DEFAULT_CONFIG,
    encounters: Annotated[bool, typer.Option("--encounters", help="Each encounter with its submissions too.")] = False,
    json: JsonOutput = False,
) -> None:
    """Encounters by state, the queue, open batches, odd messages, dead letters, stopped connections, and the feeds."""
    from gateway.operations import show_status  # noqa: PLC0415

    asyncio.run(show_status(_loaded(config), json, encounters=encounters))


@app.command()
def holds(config: Config = DEFAULT_CONFIG, json: JsonOutput = False) -> None:
    """The worklist: each held encounter with its findings and what to do."""
    from gateway.operations import show_holds  # noqa: PLC0415

    asyncio.run(show_holds(_loaded(config), json))


@app.command()
def recheck(
    encounter: Annotated[str, typer.Argument(help="Encounter id as `gateway holds` prints it, or `all`.")],
    config: Config = DEFAULT_CONFIG,
    send_before_go_live: Annotated[
        bool, typer.Option("--send-before-go-live", help="Also from before go_live: it was not billed elsewhere.")
    ] = False,
) -> None:
    """Fetch and check held encounters again, for instance after the configuration was corrected."""
    from gateway.operations import recheck_holds  # noqa: PLC0415

    count = asyncio.run(recheck_holds(_loaded(config), encounter, send_before_go_live=send_before_go_live))
    typer.echo(f"{count} queued")
    raise typer.Exit(0 if count else 1)


@app.command()
def resume(
    connection: Annotated[str, typer.Argument(help="Name of the stopped connection.")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Let a connection that was stopped (bad credentials) work again."""
    from gateway.operations import resume_connection  # noqa: PLC0415

    asyncio.run(resume_connection(_loaded(config), connection))
    typer.echo(f"{connection} resumed")


@app.command()
def adapters(
    format_: Annotated[
        TableFormat, typer.Option("--format", help="table for people, md as README.md has it.")
    ] = "table",
) -> None:
    """The installed adapters with what they can do."""
    from gateway.operations import show_adapters  # noqa: PLC0415

    show_adapters(as_markdown=format_ == "md")


@app.command()
def mapping(
    ehr: Annotated[str, typer.Option(help="EHR adapter.")],
    billing: Annotated[str, typer.Option(help="Billing adapter.")],
    format_: Annotated[MappingFormat, typer.Option("--format", help="The form of the document.")] = "md",
    out: Annotated[Path | None, typer.Option(help="Write it to this file.", dir_okay=False)] = None,
    config: OtherConfig = None,
    connection: Connection = "",
) -> None:
    """The mapping document: every field from the EHR's source to the canonical element to the vendor's field."""
    from gateway.operations import show_mapping  # noqa: PLC0415

    show_mapping(ehr, billing, format_, out=out, config=config, connection=connection)


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(help="Canonical claims: FHIR Bundles in JSON.", metavar="FILE")],
    billing: Annotated[str, typer.Option(help="Billing adapter.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the exact payload; send nothing.")] = False,
    config: OtherConfig = None,
    connection: Connection = "",
    prior: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE: the vendor's id of the claim that this one replaces or voids.")
    ] = None,
) -> None:
    """Print exactly what the billing system would be sent for a claim in a file."""
    if not dry_run:
        problem = "sends nothing by itself: a claim is sent once, and recorded, by the pipeline."
        raise ConfigurationError("gateway submit", problem, "Sign the encounter in the EHR, or add --dry-run to look.")
    from gateway.submit_file import show_dry_run  # noqa: PLC0415

    raise typer.Exit(show_dry_run(files, billing, config, connection, prior or ()))


@app.command()
def sandbox(
    out: Annotated[Path, typer.Option(help="Where gateway.yaml and sandbox.env are written.")] = Path(".sandbox"),
    encounters: Annotated[int, typer.Option(min=1, max=20000, help="Visits in the generated clinic day.")] = 25,
    seed: Annotated[int, typer.Option(help="Seed of the generator.")] = 1,
    ehr: Annotated[str, typer.Option(help="EHR adapter to simulate.")] = "smart_fhir",
    billing: Annotated[str, typer.Option(help="Billing adapter to simulate.")] = "kareo_tebra",
    fhir_data: Annotated[Path | None, typer.Option(help="Serve this folder of FHIR data instead.", **FOLDER)] = None,
    pace: Annotated[float, typer.Option(min=0, help="Vendor rate gaps: 1 as the vendor's, 0 none.")] = 0.02,
    think_ms: Annotated[float, typer.Option(min=0, help="Time that the vendors take for each answer.")] = 0.0,
    port: Annotated[
        int, typer.Option(help="First of five ports: EHR, billing, gateway, two more; 0 picks free ones.")
    ] = 0,
) -> None:
    """Start the simulated EHR and billing system with a generated clinic day, until Ctrl-C."""
    from gateway.sandbox.plan import SandboxPlan  # noqa: PLC0415
    from gateway.sandbox.serve import serve_sandbox  # noqa: PLC0415

    plan = SandboxPlan(ehr, billing, encounters, seed, fhir_data, pace, think_ms / 1000)
    raise typer.Exit(asyncio.run(serve_sandbox(plan, out, port)))


@app.command()
def demo(
    encounters: Annotated[int, typer.Option(min=1, max=20000, help="Visits to sign off.")] = 25,
    seed: Annotated[int, typer.Option(help="Seed of the generated clinic day.")] = 1,
    rate: Annotated[float, typer.Option(min=0.1, help="Visits signed off per second.")] = 10.0,
    json: JsonOutput = False,
    fhir_data: Annotated[Path | None, typer.Option(help="Use this folder of FHIR data instead.", **FOLDER)] = None,
    ehr: Annotated[str, typer.Option(help="EHR adapter to use, or `all`.")] = "smart_fhir",
    billing: Annotated[str, typer.Option(help="Billing adapter to use, or `all`.")] = "kareo_tebra",
    pace: Annotated[float, typer.Option(min=0, help="Vendor rate gaps: 1 as the vendor's, 0 none.")] = 0.02,
    think_ms: Annotated[float, typer.Option(min=0, help="Time that the vendors take for each answer.")] = 0.0,
    kill: Annotated[int, typer.Option(min=0, help="Times to kill -9 the gateway on the way.")] = 0,
    drop: Annotated[float, typer.Option(min=0, max=1, help="Share of billing answers lost after saving.")] = 0.0,
    directory: Annotated[Path, typer.Option(help="The demo's own directory.")] = Path(".demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running until Ctrl-C; see demo.json.")] = False,
) -> None:
    """See the product do its job: simulated EHR and billing system, real gateway, real Postgres, real HTTP."""
    from gateway.sandbox.demo import DemoOptions, run_demo  # noqa: PLC0415
    from gateway.sandbox.matrix import ALL, run_matrix  # noqa: PLC0415
    from gateway.sandbox.plan import SandboxPlan  # noqa: PLC0415

    plan = SandboxPlan(ehr, billing, encounters, seed, fhir_data, pace, think_ms / 1000)
    options = DemoOptions(plan, rate, json, kill, directory, keep, drop)
    raise typer.Exit(asyncio.run(run_matrix(options) if ALL in (ehr, billing) else run_demo(options)))


for command in (backfill, connect, superbill, new_adapter):
    command.register(app)

if __name__ == "__main__":
    main()
