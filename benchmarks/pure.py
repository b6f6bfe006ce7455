"""Microseconds per encounter of the pure steps, over the clean encounters of a generated day.

The records are fetched once from the EHR simulator by the adapter itself, so each is exactly what a gateway works on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx

from adapters.billing.kareo_tebra import operations, requests
from adapters.billing.kareo_tebra.requests import ResolvedIds
from benchmarks.command import Benchmark, Document, main_of
from benchmarks.figures import spread
from benchmarks.rig import ISOLATED, PREFIX
from benchmarks.surroundings import surroundings
from gateway.api.server import listening_socket, serve
from gateway.canonical import jsonio
from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import GatewayError
from gateway.canonical.findings import holds
from gateway.canonical.models import ClaimBundle, EncounterBundle, EncounterRecord, EncounterRef, VendorPayload
from gateway.canonical.validation import check_claim
from gateway.connections import OpenConnections, open_connections
from gateway.edits import run_edits
from gateway.pipeline.normalize import claim_hash
from gateway.ports.billing import BillingAdapter
from gateway.ports.context import utc_now
from gateway.ports.ehr import EhrAdapter
from gateway.sandbox.plan import CLINIC_ID, HOST, Sandbox, SandboxPlan, make_sandbox
from gateway.settings import LoadedSettings, load_settings
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

IDS = ResolvedIds(practice="1", location="2", rendering_provider="3")


async def measure(options: argparse.Namespace) -> Document:
    """Every step over all encounters, `--repeats` times."""
    with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        sandbox = make_sandbox(SandboxPlan("smart_fhir", "kareo_tebra", options.encounters, options.seed, None, 0, 0))
        sandbox.write(Path(name))
        loaded = load_settings(Path(name) / "gateway.yaml", {**sandbox.secrets, **ISOLATED})
        async with _connections(loaded) as connections:
            records = await fetched(sandbox, connections.ehr(CLINIC_ID, "ehr"))
            steps = _steps(connections, loaded.gateway.clinics[CLINIC_ID].facts(CLINIC_ID), records)
            found = {name: _microseconds(step, options.repeats) for name, step in steps.items()}
    return {
        **surroundings(),
        "encounters": len(next(iter(steps.values()))),
        "repeats": options.repeats,
        "microseconds": found,
    }


@asynccontextmanager
async def _connections(loaded: LoadedSettings) -> AsyncIterator[OpenConnections]:
    """The adapters as a gateway opens them; pure steps never touch the store behind them."""

    async def nowhere() -> dict[str, Any]:
        raise LookupError("a pure step asked for the database")

    store = PostgresStore(nowhere)
    connections = open_connections(loaded, store, WorkerSession(store).lock)
    try:
        yield connections
    finally:
        await connections.aclose()


async def fetched(sandbox: Sandbox, ehr: EhrAdapter) -> list[EncounterRecord]:
    """All encounters of the day, signed."""
    url, stop = sandbox.ehr.base_url, asyncio.Event()
    app = sandbox.ehr_simulator.build(sandbox.ehr)
    listening = listening_socket(HOST, urlsplit(url).port or 0)
    serving = asyncio.create_task(serve(app, listening, stop, lifespan=True))
    try:
        async with httpx.AsyncClient(timeout=30) as http:
            signed = await _signed(http, url, serving)
        refs = [EncounterRef(entry["encounter_id"], dedupe_key="") for entry in signed]
        return [await ehr.fetch_encounter(ref) for ref in refs]
    finally:
        stop.set()
        await serving


async def _signed(http: httpx.AsyncClient, url: str, serving: asyncio.Task[None]) -> list[dict[str, Any]]:
    while not serving.done():
        try:
            return list((await http.post(f"{url}/_sim/sign", json={"all": True})).json()["signed"])
        except httpx.ConnectError:
            await asyncio.sleep(0.01)
    raise RuntimeError("the EHR simulator did not start")


def _steps(
    connections: OpenConnections, clinic: ClinicFacts, records: list[EncounterRecord]
) -> dict[str, list[Callable[[], Any]]]:
    """Each step as one call per encounter, ready to be timed, over the results of the step before."""
    ehr, billing = connections.ehr(CLINIC_ID, "ehr"), connections.billing(CLINIC_ID, "billing")
    now = utc_now()
    worked = [found for record in records if (found := _worked(ehr, billing, clinic, record, now))]
    created, today = now.isoformat(timespec="seconds"), clinic.local_date(now)
    header = operations.request_header("key", "password", "user")
    return {
        "normalize": [partial(ehr.normalize, record) for record, *_ in worked],
        "build_claim": [partial(build_claim, bundle, clinic, created=created) for _, bundle, *_ in worked],
        "claim_hash": [partial(claim_hash, claim) for *_, claim, _ in worked],
        "check_claim": [partial(check_claim, claim) for *_, claim, _ in worked],
        "run_edits": [partial(run_edits, claim, today) for *_, claim, _ in worked],
        "kareo_tebra_build": [partial(billing.build, claim, "gw-benchmark") for *_, claim, _ in worked],
        "soap_encode": [partial(_soap, header, jsonio.loads(payload.body)) for *_, payload in worked],
        "audit_event": [partial(_audited, now, claim) for *_, claim, _ in worked],
    }


_Worked = tuple[EncounterRecord, EncounterBundle, ClaimBundle, VendorPayload]


def _worked(
    ehr: EhrAdapter, billing: BillingAdapter, clinic: ClinicFacts, record: EncounterRecord, now: datetime
) -> _Worked | None:
    """An encounter's way through all steps; None for one that is held, which has no further step."""
    try:
        bundle = ehr.normalize(record)
        claim = build_claim(bundle, clinic, created=now.isoformat(timespec="seconds"))
    except GatewayError:
        return None
    findings = (*check_claim(claim), *run_edits(claim, clinic.local_date(now)))
    return None if holds(findings) else (record, bundle, claim, billing.build(claim, "gw-benchmark"))


def _soap(header: str, document: dict[str, Any]) -> bytes:
    contract = requests.create_encounter(document, IDS, "4", "5")
    return operations.request(operations.CREATE_ENCOUNTER, header, contract)


def _audited(now: datetime, claim: ClaimBundle) -> bytes:
    patient, reference = claim.claim["patient"]["reference"], f"Claim/{claim.claim['id']}"
    event = AuditEvent(Step.CLAIM_CHECKED, now, CLINIC_ID, "0" * 32, patient=patient, entities=(reference,))
    return jsonio.dumps(event.resource())


def _microseconds(calls: list[Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Mean per call of each repeat; the spread over the repeats, after one that does not count."""
    means = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        for call in calls:
            call()
        means.append((time.perf_counter() - started) / len(calls) * 1e6)
    return spread(means[1:])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command's own options."""
    parser.add_argument("--encounters", type=int, default=100, help="encounters of the generated day (default 100)")
    parser.add_argument("--repeats", type=int, default=15, help="times that each step is measured (default 15)")


BENCHMARK = Benchmark("pure", "Microseconds of the pure steps of one encounter.", add_options, measure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it."""
    return main_of(BENCHMARK, arguments)


if __name__ == "__main__":
    sys.exit(main())
