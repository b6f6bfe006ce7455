"""Time from the EHR's webhook to the recorded confirmation of the billing system, with the real processes.

Each run starts simulators, gateway and Postgres anew, signs a warm-up that does not count, then signs encounters evenly
spaced. An encounter's time begins when the EHR simulator starts to send its notification and ends at the
`confirmed_at` that the gateway records in the transaction of the receipt (the flush of that commit comes after it).
Runs with and without time to think at the vendors alternate. `others_cores` says how many cores other programs of the
machine used meanwhile: near 0 when it was quiet.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.command import Benchmark, Document, main_of, say
from benchmarks.figures import bar, percentiles, spread, spread_by_name
from benchmarks.processes import busy_seconds, cpu_seconds, descendants, on_linux
from benchmarks.rig import Rig, open_rig
from benchmarks.surroundings import surroundings
from gateway.canonical.audit_event import Step
from gateway.sandbox.plan import CLINIC_ID, SandboxPlan
from gateway.sandbox.report import Ledgers, report

PERCENTILES = ("p50", "p95", "p99")
WARM_UP = 30
STEPS = {
    "received": Step.NOTIFICATION_RECEIVED,
    "fetched and normalized": Step.ENCOUNTER_NORMALIZED,
    "checked": Step.CLAIM_CHECKED,
    "routed": Step.CLAIM_ROUTED,
    "intended": Step.DISCLOSURE_INTENDED,
    "confirmed": Step.DISCLOSURE_CONFIRMED,
}
BARS = {0.0: {"p50": 40, "p99": 150}, 40.0: {"p99": 500}}
"""Milliseconds at most, by the vendors' time to think in milliseconds."""

_RECORDED = """
select e.ehr_encounter_id, a.step, extract(epoch from min(a.recorded))::float8 as at
from audit_event a join encounter e on e.clinic_id = a.clinic_id and e.id = a.encounter_id
where a.clinic_id = $1 group by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted before and after the measured part of a run."""

    ehr: Counter[str]
    billing: Counter[str]
    cpu_seconds: dict[str, float]
    at: float


def sandbox_plan(options: argparse.Namespace, think_ms: float = 0.0) -> SandboxPlan:
    """A clinic day with the vendors' rate gaps switched off."""
    encounters = WARM_UP + options.encounters
    return SandboxPlan("smart_fhir", "kareo_tebra", encounters, options.seed, None, 0.0, think_ms / 1000)


async def measure(options: argparse.Namespace) -> Document:
    """All rounds, the kinds of run alternating."""
    runs: dict[float, list[Document]] = {think_ms: [] for think_ms in options.think_ms}
    postgres = ""
    for number in range(1, options.rounds + 1):
        for think_ms, found in runs.items():
            async with open_rig(sandbox_plan(options, think_ms)) as rig:
                postgres = await rig.postgres_version()
                found.append(await _run(rig, options))
            p = found[-1]["latency_ms"]
            say(f"  round {number}, think time {think_ms:g} ms: p50 {p['p50']:.1f} ms, p99 {p['p99']:.1f} ms")
    return {
        **surroundings(postgres),
        "arrivals": "evenly spaced",
        "rate_per_second": options.rate,
        "encounters": options.encounters,
        "warm_up": WARM_UP,
        "rounds": options.rounds,
        **{_short_name(think_ms): _medians(found) for think_ms, found in runs.items()},
        "runs": [_summary(think_ms, found) for think_ms, found in runs.items()],
        "bars": [claim for think_ms, found in runs.items() for claim in _bars(think_ms, found)],
    }


def _short_name(think_ms: float) -> str:
    return f"latency_ms_think_{think_ms:g}" if think_ms else "latency_ms"


def _medians(rounds: list[Document]) -> dict[str, float]:
    """The figures that the bars are about, over all rounds."""
    return {name: round(statistics.median(found["latency_ms"][name] for found in rounds), 1) for name in PERCENTILES}


async def _run(rig: Rig, options: argparse.Namespace) -> Document:
    await rig.sign(WARM_UP, options.rate)
    await rig.settled(WARM_UP)
    before = await _count(rig)
    await rig.sign(options.encounters, options.rate)
    await rig.settled(WARM_UP + options.encounters)
    after = await _count(rig)
    return await _figures(rig, before, after)


async def _count(rig: Rig) -> Counters:
    calls = [Counter((await rig.ledger(side))["calls"]) for side in ("ehr", "billing")]
    return Counters(calls[0], calls[1], _cpu(rig) if on_linux() else {}, time.monotonic())


def _cpu(rig: Rig) -> dict[str, float]:
    """Seconds used so far by what is measured, by this process, and by everything else on the machine."""
    ours = {
        "gateway": cpu_seconds(rig.gateway.pid),
        "postgres": sum(cpu_seconds(pid, ended_children=True) for pid in descendants(rig.gateway.pid)),
        "simulators": cpu_seconds(rig.sandbox.pid),
        "benchmark": time.process_time(),
    }
    return {**ours, "others": busy_seconds() - sum(ours.values())}


async def _figures(rig: Rig, before: Counters, after: Counters) -> Document:
    signed = (await rig.ledger("ehr"))["signed"][WARM_UP:]
    rows = await rig.store.report("encounters", CLINIC_ID)
    ehr, billing = after.ehr - before.ehr, after.billing - before.billing
    found = report(
        Ledgers(
            signed=signed,
            encounters=rows,
            claims=(await rig.ledger("billing"))["claims"],
            holds=await rig.store.open_holds(CLINIC_ID),
            ehr_calls=ehr.total(),
            billing_calls=billing.total(),
            audit_events=0,
        )
    )
    confirmed = {row["ehr_encounter_id"]: row["confirmed_at"] for row in rows if row["confirmed_at"] is not None}
    sent = {s["encounter_id"]: s["notified_at"] for s in signed if s["encounter_id"] in confirmed}
    spent = {name: after.cpu_seconds[name] - before.cpu_seconds[name] for name in after.cpu_seconds}
    others = spent.pop("others", 0.0)
    return {
        **{name: found[name] for name in ("submitted", "held", "lost", "duplicates")},
        "latency_ms": percentiles([(confirmed[e] - at) * 1000 for e, at in sent.items()]),
        "steps_ms": _steps(sent, await rig.rows(_RECORDED)),
        "calls_per_encounter": found["calls_per_encounter"],
        "calls": {**_each(ehr, len(signed)), **_each(billing, found["submitted"])},
        "cpu_ms_per_encounter": {name: seconds * 1000 / len(signed) for name, seconds in spent.items()},
        "others_cores": others / (after.at - before.at),
    }


def _each(calls: Counter[str], encounters: int) -> dict[str, float]:
    return {name: round(count / encounters, 2) for name, count in sorted(calls.items())}


def _steps(sent: dict[str, float], recorded: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Milliseconds of each step, from the event before it to its own, over the encounters that were confirmed."""
    at = {(row["ehr_encounter_id"], row["step"]): row["at"] for row in recorded}
    moments = {e: [sent[e], *(at[e, step.value] for step in STEPS.values())] for e in sent}
    durations = [[(b - a) * 1000 for a, b in pairwise(times)] for times in moments.values()]
    return {name: percentiles(column) for name, column in zip(STEPS, zip(*durations, strict=True), strict=True)}


def _summary(think_ms: float, rounds: list[Document]) -> Document:
    first = rounds[0]
    return {
        "think_ms": think_ms,
        **{name: [found[name] for found in rounds] for name in ("submitted", "held", "lost", "duplicates")},
        "latency_ms": spread_by_name([found["latency_ms"] for found in rounds]),
        "steps_ms": {step: spread_by_name([found["steps_ms"][step] for found in rounds]) for step in STEPS},
        "calls_per_encounter": {
            side: spread((found["calls_per_encounter"][side] for found in rounds), 2)
            for side in first["calls_per_encounter"]
        },
        "calls": first["calls"],
        "cpu_ms_per_encounter": spread_by_name([found["cpu_ms_per_encounter"] for found in rounds]),
        "others_cores": spread((found["others_cores"] for found in rounds), 2),
    }


def _bars(think_ms: float, rounds: list[Document]) -> list[Document]:
    found = spread_by_name([each["latency_ms"] for each in rounds])
    return [
        bar(f"{name}, think time {think_ms:g} ms", found[name]["median"], limit, "ms")
        for name, limit in BARS.get(think_ms, {}).items()
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--rate", type=float, default=10.0, help="encounters signed a second (default 10)")
    parser.add_argument("--encounters", type=int, default=300, help="encounters measured in each run (default 300)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; each runs every think time (default 3)")
    parser.add_argument(
        "--think-ms", type=float, nargs="+", default=[0.0, 40.0], help="time vendors take per call (default 0 40)"
    )


BENCHMARK = Benchmark(
    "latency", "Webhook sent to confirmation recorded, with the real processes.", add_options, measure
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
