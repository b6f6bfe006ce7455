"""Bulk Data exports of the simulator: kick-off, status, files, delete (Bulk Data Access 2.0.0; fhir_rest section 6).

An export is a snapshot. It is finished after some polls, each answered 202 with Retry-After; one that comes too early
is answered 429 (as Veradigm does), and so is a second export while one is running (as eClinicalWorks does).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.kit.fhir_simulator.access import Access, Visible
from gateway.kit.fhir_simulator.parameters import parameters_of
from gateway.kit.fhir_simulator.store import Store, Stored
from gateway.kit.fhir_simulator.values import now_instant
from gateway.kit.simulator_http import Request, Response, parse_object, plain_json, refuse

NDJSON = "application/fhir+ndjson"
_FORMATS = frozenset({NDJSON, "application/ndjson", "ndjson"})
_KNOWN = frozenset({"_type", "_since", "_outputFormat"})


@dataclass(frozen=True, slots=True)
class ExportRules:
    """How this server exports.

    `levels` out of "patient", "group"; `polls` that find it running; `retry_after` seconds that it asks to wait;
    `lines` of one file; `post` takes kick-offs by POST alone (NextGen Office).
    """

    levels: frozenset[str] = frozenset({"patient", "group"})
    polls: int = 1
    retry_after: int = 0
    lines: int = 1000
    post: bool = False

    @classmethod
    def of(cls, knobs: Mapping[str, str]) -> ExportRules:
        """From a simulator's knobs `export`, `export_polls`, `export_retry_after`, `export_lines`, `export_post`."""
        return cls(
            frozenset(filter(None, knobs.get("export", "patient,group").split(","))),
            int(knobs.get("export_polls", "1")),
            int(knobs.get("export_retry_after", "0")),
            int(knobs.get("export_lines", "1000")),
            knobs.get("export_post") == "true",
        )


@dataclass(slots=True)
class _Export:
    request: str
    at: str
    files: list[tuple[str, list[bytes]]]
    polls_left: int
    not_before: float = 0.0
    errors: list[bytes] = field(default_factory=list)


class Exports:
    """The exports of one server, by id."""

    def __init__(self, base: str, store: Store, rules: ExportRules) -> None:
        self.base, self.store, self.rules = base, store, rules
        self._exports: dict[str, _Export] = {}
        self._begun = 0
        self.problems: list[bytes] = []
        """Lines of the error file of the next export."""

    @staticmethod
    def handles(request: Request) -> bool:
        """Whether a request (its path below the FHIR base) belongs to an export."""
        path = request.path.strip("/")
        return path.endswith("$export") or path.startswith(("Export/", "Binary/export/"))

    def handle(self, request: Request, access: Access) -> Response:
        """Kick-off, status, delete, or a file."""
        parts = request.path.strip("/").split("/")
        if parts[-1] == "$export":
            return self._kick_off(parts[:-1], request, access)
        export = self._exports.get(parts[1] if parts[0] == "Export" else parts[2] if len(parts) > 2 else "")
        if export is None:
            raise refuse(404, "not-found", "there is no such export")
        if parts[0] == "Binary":
            return self._file(export, parts[3:], access)
        if request.method == "DELETE":
            del self._exports[parts[1]]
            return Response(202)
        return self._status(parts[1], export)

    def _kick_off(self, level: list[str], request: Request, access: Access) -> Response:
        name = level[0].lower() if len(level) == (2 if level[:1] == ["Group"] else 1) else ""
        if name not in self.rules.levels or (request.method == "GET") == self.rules.post:
            raise refuse(404, "not-supported", "this export is not offered")
        if "respond-async" not in request.headers.get("prefer", ""):
            raise refuse(400, "required", "an export needs Prefer: respond-async")
        asked = _parameters(request)
        if asked.keys() - _KNOWN or asked.get("_outputFormat", NDJSON) not in _FORMATS:
            raise refuse(400, "not-supported", "a parameter of the export is not supported")
        if any(export.polls_left for export in self._exports.values()):
            raise refuse(429, "throttled", "an export of this client is running", (("Retry-After", "1"),))
        members = self._members(level[1], access) if name == "group" else None
        self._begun += 1
        key = f"{self._begun:08x}"
        files = list(self._files(asked, members, access))
        url = f"{self.base}/{'/'.join(level)}/$export" + (f"?{request.query}" if request.query else "")
        self._exports[key] = _Export(url, now_instant(), files, self.rules.polls, errors=self.problems)
        self.problems = []
        return Response(202, headers=(("Content-Location", f"{self.base}/Export/{key}"),))

    def _members(self, group_id: str, access: Access) -> frozenset[str]:
        access.require("Group", "r")
        group = self.store.get("Group", group_id)
        if group is None:
            raise refuse(404, "not-found", "there is no such Group")
        members = group.resource.get("member") or []
        return frozenset(m["entity"]["reference"] for m in members if "entity" in m)

    def _files(
        self, asked: Mapping[str, str], members: frozenset[str] | None, access: Access
    ) -> Iterator[tuple[str, list[bytes]]]:
        since = datetime.fromisoformat(asked["_since"]) if "_since" in asked else None
        for name in asked["_type"].split(",") if "_type" in asked else self.store.types():
            visible = access.require(name, "r")
            lines = [s.body for s in self.store.of_type(name).values() if _is_in(s, since, members, visible)]
            for start in range(0, len(lines), self.rules.lines):
                yield name, lines[start : start + self.rules.lines]

    def _status(self, key: str, export: _Export) -> Response:
        wait = (("Retry-After", str(self.rules.retry_after)),)
        if time.time() < export.not_before:
            raise refuse(429, "throttled", "the export is asked for too often", wait)
        if export.polls_left:
            export.polls_left -= 1
            export.not_before = time.time() + self.rules.retry_after
            return Response(202, headers=(*wait, ("X-Progress", "in progress")))
        return plain_json(self._manifest(key, export))

    def _manifest(self, key: str, export: _Export) -> dict[str, Any]:
        address = f"{self.base}/Binary/export/{key}"
        return {
            "transactionTime": export.at,
            "request": export.request,
            "requiresAccessToken": True,
            "output": [
                {"type": name, "url": f"{address}/{name}/{number}", "count": len(lines)}
                for number, (name, lines) in enumerate(export.files)
            ],
            "error": [{"type": "OperationOutcome", "url": f"{address}/errors"}] if export.errors else [],
        }

    def _file(self, export: _Export, rest: list[str], access: Access) -> Response:
        if rest == ["errors"]:
            return Response(200, b"".join(line + b"\n" for line in export.errors), NDJSON)
        number = int(rest[1]) if len(rest) == 2 and rest[1].isdecimal() else len(export.files)
        if number >= len(export.files) or export.polls_left:
            raise refuse(404, "not-found", "there is no such file")
        name, lines = export.files[number]
        access.require(name, "r")
        return Response(200, b"".join(line + b"\n" for line in lines), NDJSON)


def _parameters(request: Request) -> dict[str, str]:
    """From the query, or from a Parameters resource; a parameter given twice is a list."""
    if request.method == "GET":
        pairs = request.pairs()
    else:
        given = parse_object(request.body).get("parameter") or []
        pairs = [(p["name"], next(v for k, v in p.items() if k.startswith("value"))) for p in given]
    asked: dict[str, str] = {}
    for name, value in pairs:
        asked[name] = f"{asked[name]},{value}" if name in asked else str(value)
    return asked


def _is_in(stored: Stored, since: datetime | None, members: frozenset[str] | None, visible: Visible) -> bool:
    if not visible(stored) or (since is not None and datetime.fromisoformat(stored.updated) <= since):
        return False
    patient = parameters_of(stored.type).get("patient")
    if members is None or stored.key in members or (patient is None and stored.type != "Patient"):
        return True
    return patient is not None and any(target in members for target in stored.values(patient))
