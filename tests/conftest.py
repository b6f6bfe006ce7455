"""Fixtures of all tests: one real embedded Postgres per test process, a fresh migrated database per test."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from gateway.canonical import codes
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.models import ChargeLine, EncounterBundle
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.migrate import migrate
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

ROOT = Path(__file__).resolve().parents[1]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Connect arguments of a server whose template database `migrated` is up to date.

    GATEWAY_POSTGRES_BIN names another Postgres to run the tests on, e.g. /usr/lib/postgresql/15/bin.
    """
    other = os.environ.get("GATEWAY_POSTGRES_BIN")
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), binaries=Path(other) if other else None)
    postgres.ensure()
    arguments = dict(postgres.connect_arguments())
    asyncio.run(_make_template(arguments))
    yield arguments
    postgres.stop()


async def _make_template(arguments: dict[str, Any]) -> None:
    connection = await asyncpg.connect(**arguments)
    # Hundreds of databases are made and dropped here; what survives a power cut is tested elsewhere.
    await connection.execute("alter system set fsync = off")
    await connection.execute("select pg_reload_conf()")
    await connection.execute("create database migrated")
    await connection.close()
    template = await asyncpg.connect(**{**arguments, "database": "migrated"})
    await migrate(template)
    await template.close()


@pytest.fixture
async def database(server: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Connect arguments of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(**server)
    await connection.execute(f"create database {name} template migrated")
    yield {**server, "database": name}
    await connection.execute(f"drop database {name} with (force)")
    await connection.close()


@pytest.fixture
async def store(database: dict[str, Any]) -> AsyncIterator[PostgresStore]:
    """An open store over a fresh database."""

    async def arguments() -> dict[str, Any]:
        return database

    opened = PostgresStore(arguments)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def session(store: PostgresStore) -> AsyncIterator[WorkerSession]:
    """An open worker session on the same database."""
    worker = WorkerSession(store)
    await worker.open()
    yield worker
    await worker.close()


@pytest.fixture
def clinic() -> ClinicFacts:
    """A clinic with everything that a claim needs."""
    address = {"line": ["100 Clinic Way"], "city": "Tampa", "state": "FL", "postalCode": "336010001"}
    return ClinicFacts(
        clinic_id="clinic-a",
        name="Lakeside Dermatology",
        timezone=ZoneInfo("America/New_York"),
        billing_provider=BillingProvider(
            "Lakeside Dermatology", "1234567893", "12-3456789", "207N00000X", "813-555-0100", address
        ),
        payer_ids={"Sample Health Plan": "60054"},
    )


def _meta(kind: str) -> dict[str, Any]:
    return {"source": "https://ehr.example.test/fhir", "profile": [f"{codes.PROFILE_BASE}/gateway-{kind}"]}


def _patient() -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "ehr.p1",
        "meta": _meta("patient"),
        "name": [{"family": "Canary", "given": ["Jane"]}],
        "gender": "female",
        "birthDate": "1985-06-15",
        "address": [{"line": ["1 Main St"], "city": "Tampa", "state": "FL", "postalCode": "33601"}],
    }


def _coverage() -> dict[str, Any]:
    return {
        "resourceType": "Coverage",
        "id": "ehr.c1",
        "meta": _meta("coverage"),
        "status": "active",
        "subscriber": {"reference": "Patient/ehr.p1"},
        "subscriberId": "007123456",
        "beneficiary": {"reference": "Patient/ehr.p1"},
        "relationship": codes.concept(codes.RELATIONSHIP, "self"),
        "period": {"start": "2026-01-01"},
        "payor": [{"reference": "Organization/ehr.o1"}],
        "order": 1,
    }


def _practitioner() -> dict[str, Any]:
    return {
        "resourceType": "Practitioner",
        "id": "ehr.dr1",
        "meta": _meta("practitioner"),
        "identifier": [{"system": codes.NPI, "value": "1679576722"}],
        "name": [{"family": "Smith", "given": ["Alan"]}],
    }


def _encounter() -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "ehr.e1",
        "meta": _meta("encounter"),
        "status": "finished",
        "class": {"system": codes.ACT_CODE, "code": "AMB"},
        "subject": {"reference": "Patient/ehr.p1"},
        "participant": [{"individual": {"reference": "Practitioner/ehr.dr1"}}],
        "period": {"start": "2026-03-03T10:00:00-05:00", "end": "2026-03-03T10:20:00-05:00"},
    }


@pytest.fixture
def encounter_bundle() -> EncounterBundle:
    """A plain visit: two lines, one modifier, two diagnoses, the patient is the subscriber."""
    payer = {
        "resourceType": "Organization",
        "id": "ehr.o1",
        "meta": _meta("organization"),
        "name": "Sample Health Plan",
    }
    visit = ChargeLine("Claim.item[0]", "G2211", codes.HCPCS, (), Decimal(1), Decimal("16.05"), ("L57.0",))
    drug = ChargeLine("Claim.item[1]", "J3301", codes.HCPCS, ("JZ",), Decimal(4), Decimal("2.10"), ("L40.0", "L57.0"))
    return EncounterBundle(
        encounter=_encounter(),
        resources=(_patient(), _coverage(), payer, _practitioner()),
        charges=(visit, drug),
        diagnosis_codes=("L57.0", "L40.0"),
        roles={"rendering_provider": "Practitioner/ehr.dr1"},
        serviced=date(2026, 3, 3),
        location_code="11",
        source="https://ehr.example.test/fhir/Encounter/e1",
    )
