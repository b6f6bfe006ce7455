"""The ways in which EHRs refuse to be searched practice-wide (vendor document generic_smart_fhir section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlencode

from gateway.kit.simulator_http import Request, Response, fhir, outcome

FEEDS = frozenset({"last_updated", "date", "bulk", "appointments"})


def _entry() -> Response:
    issue = {"severity": "error", "code": "not-supported", "diagnostics": "a patient is needed"}
    refusal = {"resource": {"resourceType": "OperationOutcome", "issue": [issue]}, "search": {"mode": "outcome"}}
    return fhir({"resourceType": "Bundle", "type": "searchset", "total": 0, "entry": [refusal]})


STYLES: Mapping[str, Callable[[], Response]] = {
    "outcome": lambda: outcome(400, "required", "a search needs patient or _id"),
    "forbidden": lambda: outcome(403, "forbidden", "the client may not do this"),
    "oracle": lambda: Response(400, b"No supported search parameters provided", "text/plain"),
    "outcome_200": _entry,
    "empty": lambda: fhir({"resourceType": "Bundle", "type": "searchset", "total": 0}),
}
"""By name; beside them `ignored`: the search is answered as if the parameter had not been sent."""


class Refusals:
    """Which feeds of this server are refused, and how."""

    def __init__(self, styles: Mapping[str, str] | None = None) -> None:
        self.styles: dict[str, str] = {}
        self.set(styles or {})

    def set(self, styles: Mapping[str, str]) -> None:
        """Replace the refusals: feed (`FEEDS`) to style (`STYLES`, or "ignored")."""
        if set(styles) - FEEDS or set(styles.values()) - {*STYLES, "ignored"}:
            raise ValueError("an unknown feed or style")
        self.styles = dict(styles)

    def answer(self, request: Request) -> Response | None:
        """The refusal of a request (its path below the FHIR base), or None; an ignored parameter is taken away."""
        feed, parameter = _feed(request)
        style = self.styles.get(feed)
        if style == "ignored":
            request.query = urlencode([pair for pair in request.pairs() if pair[0] != parameter])
            return None
        return STYLES[style]() if style else None


def _feed(request: Request) -> tuple[str, str]:
    """The feed that a request belongs to, with the parameter that makes it one."""
    path, names = request.path.strip("/"), {name for name, _ in request.pairs()}
    if path.endswith("$export"):
        return "bulk", "_since"
    if path == "Appointment":
        return "appointments", "date"
    if path != "Encounter" or names & {"patient", "subject", "_id"}:
        return "", ""
    if "_lastUpdated" in names:
        return "last_updated", "_lastUpdated"
    return ("date", "date") if "date" in names else ("", "")
