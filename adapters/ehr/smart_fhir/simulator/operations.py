"""The input parameters of $status and $events (subscriptions section 5)."""

from __future__ import annotations

from typing import Any

from gateway.kit.simulator_http import Request, parse_object, refuse


def inputs_of(request: Request) -> dict[str, list[str]]:
    """The input parameters of an operation, from the query or from a Parameters body."""
    found: dict[str, list[str]] = {}
    body: dict[str, Any] = parse_object(request.body) if request.method == "POST" else {}
    posted = [p for p in body.get("parameter") or [] if isinstance(p, dict) and isinstance(p.get("name"), str)]
    pairs = [(p["name"], str(v)) for p in posted for name, v in p.items() if name.startswith("value")]
    for name, value in [*request.pairs(), *pairs]:
        found.setdefault(name, []).append(value)
    return found


def event_range(inputs: dict[str, list[str]], total: int) -> tuple[int, int]:
    """The first and the last event number asked for, both included; all by default."""
    bounds = [inputs.get(name, [""])[0] for name in ("eventsSinceNumber", "eventsUntilNumber")]
    if not all(bound.isdecimal() or not bound for bound in bounds):
        raise refuse(400, "value", "event numbers are whole numbers")
    return int(bounds[0] or 1), int(bounds[1] or total)
