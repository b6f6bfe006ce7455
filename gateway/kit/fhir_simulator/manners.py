"""How a vendor's FHIR server differs from the standard, as data (generic_smart_fhir sections 2, 3 and 8)."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from gateway.canonical import jsonio
from gateway.kit.simulator_http import Refused, Request, Resource, Response, fhir, refuse

ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
ANCHORS = frozenset({"patient", "subject", "beneficiary", "_id"})


@dataclass(frozen=True, slots=True)
class Manners:
    """One vendor's server; the defaults are the standard's.

    `accept` must stand in the Accept header, else 406 without a body. A search of a type in `anchored` must name the
    patient or an `_id`. `refused_parameters` are "Type.parameter". `types` are those on offer (empty: all). Refusals
    come with HTTP 200 where `refusals_as_200`. Pages: `total` may be missing, `repeats` begins each page with the last
    entry of the one before. Elements in `masked` ("Type.element") are withheld.
    """

    accept: str = ""
    anchored: frozenset[str] = frozenset()
    refused_parameters: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    refusals_as_200: bool = False
    total: bool = True
    repeats: bool = False
    masked: frozenset[str] = frozenset()

    def check(self, request: Request) -> None:
        """Refuse what this vendor refuses; `request.path` is below the FHIR base."""
        if self.accept and self.accept not in request.headers.get("accept", "").lower().replace(" ", ""):
            raise Refused(Response(406))
        parts = request.path.strip("/").split("/")
        names = {name.partition(":")[0] for name, _ in request.pairs()}
        if self.types and parts[0] not in self.types:
            raise refuse(404, "not-supported", "there is no such resource type")
        if len(parts) > 1 or "_page" in names:
            return
        if parts[0] in self.anchored and not names & ANCHORS:
            raise refuse(400, "required", "No supported search parameters provided")
        unknown = sorted(name for name in names if f"{parts[0]}.{name}" in self.refused_parameters)
        if unknown:
            raise refuse(400, "invalid", f"Unknown search parameter {unknown[0]}")

    def refusal(self, response: Response) -> Response:
        """A FHIR refusal as this vendor sends it."""
        if not self.refusals_as_200 or response.status not in (400, 403, 404, 405):
            return response
        outcome = jsonio.loads(response.body)
        entry = {"resource": outcome, "search": {"mode": "outcome"}}
        return fhir({"resourceType": "Bundle", "type": "searchset", "entry": [entry]})


@dataclass(slots=True)
class Shaping:
    """The answers of one server in its vendor's form; remembers the last entry of each page."""

    manners: Manners
    last: dict[str, Any] = field(default_factory=dict)

    def shape(self, request: Request, response: Response) -> Response:
        """A successful answer with what the vendor leaves out, repeats and withholds."""
        manners = self.manners
        if response.status != 200 or (manners.total and not manners.repeats and not manners.masked):
            return response
        body = jsonio.loads(response.body)
        if body.get("resourceType") == "Bundle":
            self._shape_page(request, body)
        else:
            body = self._masked(body)
        return Response(200, jsonio.dumps(body), response.media, response.headers)

    def _shape_page(self, request: Request, bundle: dict[str, Any]) -> None:
        if not self.manners.total:
            bundle.pop("total", None)
        for entry in bundle.get("entry", []):
            entry["resource"] = self._masked(entry["resource"])
        token, _, _ = dict(request.pairs()).get("_page", "").partition(".")
        if self.manners.repeats and token in self.last:
            bundle.setdefault("entry", []).insert(0, self.last[token])
        following = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), "")
        if following:
            self.last[following.rpartition("_page=")[2].partition(".")[0]] = bundle["entry"][-1]

    def _masked(self, resource: Resource) -> Resource:
        kind = resource["resourceType"]
        return {name: _WITHHELD if f"{kind}.{name}" in self.manners.masked else v for name, v in resource.items()}


_WITHHELD = [{"extension": [{"url": ABSENT_REASON, "valueCode": "masked"}]}]


class MinuteLimit:
    """So many calls in each window, and nothing but 429 until the next one; unlimited when `calls` is 0."""

    def __init__(self, calls: int, window_seconds: float) -> None:
        self._calls, self._window = calls, window_seconds
        self._began, self._made = time.monotonic(), 0

    def check(self) -> None:
        """429 without any header when the window's calls are used up (eClinicalWorks)."""
        if not self._calls or not self._window:
            return
        now = time.monotonic()
        if now - self._began >= self._window:
            self._began, self._made = now, 0
        self._made += 1
        if self._made > self._calls:
            raise Refused(Response(429))
