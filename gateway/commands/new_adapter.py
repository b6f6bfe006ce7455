"""`gateway new-adapter`: writes the folder of a new adapter, whose tests fail with what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from gateway.scaffold import NewAdapter


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new-adapter")(new_adapter_command)


def new_adapter_command(
    kind: Annotated[Literal["ehr", "billing"], typer.Argument(help="Which side it connects.")],
    name: Annotated[str, typer.Argument(help="Its name in gateway.yaml, in snake_case.")],
    title: Annotated[str, typer.Option(help="Its name for people; by default made of NAME.")] = "",
    directory: Annotated[Path | None, typer.Option(help="Where its folder is made; adapters/KIND by default.")] = None,
    package: Annotated[bool, typer.Option("--package", help="A project of its own, with a pyproject.toml.")] = False,
) -> None:
    """Write a new adapter: every method with what to do in it, a simulator, and tests that name the next step."""
    from gateway.scaffold import new_adapter  # noqa: PLC0415

    made = new_adapter(kind, name, title, directory, package=package)
    for path in made.write():
        typer.echo(f"wrote {path}")
    typer.echo(_next_steps(made))


def _next_steps(made: NewAdapter) -> str:
    from gateway.scaffold import GROUPS  # noqa: PLC0415

    tests = made.folder / "tests"
    if made.project is None:
        lines = [
            f'1. Add to pyproject.toml below [project.entry-points."{GROUPS[made.kind]}"]:',
            f"       {made.entry_point}",
            '   and install it:  pip install -e ".[dev]"',
        ]
    else:
        lines = [f'1. Install it:  pip install -e "{made.project}[dev]"  (its pyproject.toml has the entry point)']
    return "\n".join(
        [
            "",
            *lines,
            "2. See what there is to do, in order; the other tests fail with the same words until it is done:",
            f"       pytest -q --tb=short {tests}/test_steps.py",
            f"3. Do the steps until nothing fails:  pytest -q {tests}",
            f"4. gateway demo --{made.kind} {made.name}",
            f"More: docs/how-to/add-{'an-ehr' if made.kind == 'ehr' else 'a-billing'}-adapter.md",
        ]
    )
