"""What the demo shows: steps, a progress bar over a live table, and the summary."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Update = Callable[[int, list[dict[str, Any]]], None]
_STATES = ("received", "normalized", "ready", "routed", "submitted", "held")
RECENT = 8


class Screen:
    """The demo's terminal; with JSON output all else goes to standard error."""

    def __init__(self, *, to_stderr: bool, quiet: bool = False) -> None:
        self._console = Console(stderr=to_stderr, quiet=quiet)

    def quiet(self) -> Screen:
        """A screen that shows nothing: the demos of a matrix have a line each and no more."""
        return Screen(to_stderr=True, quiet=True)

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """A line that says what is being done."""
        if not self._console.is_terminal:
            self._console.print(f"{what} ...")
            yield
            return
        with self._console.status(what):
            yield
        self._console.print(f"[green]done[/]  {what}")

    @contextmanager
    def progress(self, total: int) -> Iterator[Update]:
        """A progress bar and the latest encounters, as they move."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        signed = bar.add_task("signed off at the EHR", total=total)
        ended = bar.add_task("submitted or held   ", total=total)
        if not self._console.is_terminal:
            self._console.print(f"{total} encounters are signed off at the EHR ...")
            yield lambda *_: None
            return
        with Live(bar, console=self._console, refresh_per_second=8, transient=True) as live:

            def update(count: int, rows: list[dict[str, Any]]) -> None:
                done = sum(row["state"] in ("submitted", "held") for row in rows)
                bar.update(signed, completed=count)
                bar.update(ended, completed=done)
                live.update(Group(bar, _states(rows), _recent(rows)))

            yield update

    def summary(self, result: dict[str, Any], *, as_json: bool) -> None:
        """The result as tables, or as one JSON object on standard output."""
        if as_json:
            sys.stdout.write(json.dumps(result) + "\n")
            sys.stdout.flush()
            return
        self._console.print(_totals(result))
        if result["findings"]:
            self._console.print(_findings(result["findings"]))
        good = not result["lost"] and not result["duplicates"]
        verdict = "[green]Every signed encounter became exactly one claim or one hold.[/]"
        self._console.print(verdict if good else "[red]Claims were lost or doubled: this is a defect.[/]")

    def pair(self, result: dict[str, Any]) -> None:
        """A line for one pair of a matrix."""
        latency = result["latency_ms"]["p50"]
        self._console.print(
            f"{_verdict(result)}  {result['ehr']:16} {result['billing']:16} {result['submitted']:4} submitted "
            f"{result['held']:3} held {result['lost']:3} lost {result['duplicates']:3} doubled  p50 {latency} ms",
            highlight=False,
            soft_wrap=True,
        )

    def matrix(self, results: list[dict[str, Any]], *, as_json: bool) -> None:
        """What all pairs come to, or all results as one JSON object on standard output."""
        lost, doubled = (sum(result[name] for result in results) for name in ("lost", "duplicates"))
        if as_json:
            whole = {"pairs": results, "lost": lost, "duplicates": doubled}
            sys.stdout.write(json.dumps(whole) + "\n")
            sys.stdout.flush()
            return
        signed = sum(result["encounters"] for result in results)
        self._console.print(f"{len(results)} pairs, {signed} encounters: {lost} lost, {doubled} doubled.")

    def kept(self, urls: dict[str, str], directory: Path, file: Path) -> None:
        """What keeps running, and where its addresses and credentials are."""
        for name, url in urls.items():
            self._console.print(f"{name:10} {url}")
        self._console.print(f"Addresses and demo credentials: {file}")
        self._console.print(f"Worklist: . {directory}/sandbox.env && gateway holds --config {directory}/gateway.yaml")
        self._console.print("Ctrl-C ends the demo.")


def _verdict(result: dict[str, Any]) -> str:
    if result["lost"] or result["duplicates"]:
        return "[red]defect[/]"
    return "[green]good  [/]" if result["submitted"] else "[yellow]held  [/]"


def _states(rows: list[dict[str, Any]]) -> Table:
    counts = Counter(row["state"] for row in rows)
    table = Table(*_STATES, box=None, padding=(0, 2))
    table.add_row(*(str(counts.get(state, 0)) for state in _STATES))
    return table


def _recent(rows: list[dict[str, Any]]) -> Table:
    table = Table("encounter", "state", "submission", "vendor says", box=None, padding=(0, 2))
    for row in rows[-RECENT:]:
        colour = {"submitted": "green", "held": "yellow"}.get(row["state"], "cyan")
        table.add_row(
            row["ehr_encounter_id"],
            f"[{colour}]{row['state']}[/]",
            row["submission_id"] or "",
            row["submission_state"] or "",
        )
    return table


def _totals(result: dict[str, Any]) -> Table:
    latency, calls = result["latency_ms"], result["calls_per_encounter"]
    percentiles = ", ".join(f"{name} {value} ms" for name, value in latency.items())
    rows = {
        "encounters signed at the EHR": result["encounters"],
        "claims submitted": result["submitted"],
        "claims held for a person": result["held"],
        "refused by the billing system": result["rejected"],
        "claims the billing system now holds": result["billing_claims"],
        "lost": result["lost"],
        "duplicates": result["duplicates"],
        "webhook to recorded confirmation": percentiles,
        "calls per encounter": f"{calls['ehr']} to the EHR, {calls['billing']} to the billing system",
        "FHIR AuditEvents": result["audit_events"],
        "gateway memory, at most": f"{result['gateway_memory_mb']} MB",
        "times the gateway was restarted": result["gateway_restarts"],
    }
    table = Table("", "", title="What happened", show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def _findings(findings: list[dict[str, Any]]) -> Table:
    table = Table("held", title="Why claims are held")
    for heading in ("element", "what is wrong", "what to do"):
        table.add_column(heading, overflow="fold")
    alike = Counter((f["expression"], f["message"], f["fix"]) for f in findings)
    for (expression, message, fix), count in alike.most_common():
        table.add_row(str(count), expression, message, fix)
    return table
