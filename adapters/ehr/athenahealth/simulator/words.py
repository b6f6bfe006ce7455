"""How the v1 API writes: US Eastern clock times, MM/DD/YYYY, omitted empties, members in no order, escaped slashes.

Source: vendor document section 3.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.canonical import jsonio
from gateway.kit.simulator_http import Refused, Response

EASTERN = ZoneInfo("America/New_York")
_DAY, _MOMENT = "%m/%d/%Y", "%m/%d/%Y %H:%M:%S"
_order = random.Random(1)
Row = dict[str, Any]


class Clock:
    """The vendor's clock, which a test may put ahead."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        """The present instant in UTC."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass at once."""
        self._ahead += timedelta(seconds=seconds)


def mdy(day: date) -> str:
    """A date as v1 writes it."""
    return day.strftime(_DAY)


def read_mdy(text: str) -> date:
    """A date of a query; raises `ValueError`."""
    return datetime.strptime(text, _DAY).date()  # noqa: DTZ007 - a calendar date has no zone


def eastern(moment: datetime) -> str:
    """An instant as v1 writes it."""
    return moment.astimezone(EASTERN).strftime(_MOMENT)


def read_eastern(text: str) -> datetime:
    """An instant of a query; raises `ValueError`."""
    return datetime.strptime(text, _MOMENT).replace(tzinfo=EASTERN).astimezone(UTC)


def v1(value: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """An answer of the v1 API."""
    body = jsonio.dumps(_as_written(value)).replace(b"/", rb"\/")
    return Response(status, body, "application/json", headers)


def refuse(status: int, text: str, **more: Any) -> Refused:
    """A v1 error body."""
    return Refused(v1({"error": text, **more}, status))


def missing(*fields: str) -> Refused:
    """400 for required parameters that were not sent."""
    return refuse(400, "Additional fields are required.", missingfields=list(fields), invalidfields=[])


def not_routed() -> Refused:
    """What the vendor's API gateway says of a path that it does not know: a plain string, not JSON."""
    return Refused(Response(404, b"Service not registered with API gateway.", "text/plain"))


def _as_written(value: Any) -> Any:
    if isinstance(value, dict):
        members = [(name, _as_written(member)) for name, member in value.items() if member not in (None, "")]
        _order.shuffle(members)
        return dict(members)
    return [_as_written(member) for member in value] if isinstance(value, list) else value
