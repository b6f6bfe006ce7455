"""`gateway demo --ehr all --billing all`: the demo of every pair of adapters, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.canonical.errors import ConfigurationError
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names, load_adapter
from gateway.sandbox.demo import DemoOptions, playing, stop_at_signals
from gateway.sandbox.screen import Screen

ALL = "all"


def pairs(ehr: str, billing: str) -> list[tuple[str, str]]:
    """Every EHR adapter with every billing adapter; `all` stands for each that has a simulator."""
    return [(e, b) for e in _named(EHR_GROUP, ehr) for b in _named(BILLING_GROUP, billing)]


def _named(group: str, name: str) -> Iterator[str]:
    if name != ALL:
        yield name
        return
    for each in adapter_names(group):
        if load_adapter(group, each, "gateway demo").simulator:
            yield each


async def run_matrix(options: DemoOptions) -> int:
    """Play each pair and show a line for it; returns 1 when a claim was lost or doubled anywhere, 130 after Ctrl-C."""
    if options.keep:
        raise ConfigurationError(
            "--keep", "keeps one demo, not a matrix of them.", "Name one EHR and one billing system."
        )
    screen, stop = Screen(to_stderr=options.json), stop_at_signals()
    results: list[dict[str, Any]] = []
    status = 0
    for ehr, billing in pairs(options.plan.ehr, options.plan.billing):
        plan = replace(options.plan, ehr=ehr, billing=billing)
        async with playing(replace(options, plan=plan), screen.quiet(), stop) as played:
            results.append({"ehr": ehr, "billing": billing, **played.result})
            status = max(status, played.status)
        screen.pair(results[-1])
        if stop.is_set():
            break
    screen.matrix(results, as_json=options.json)
    return status
