"""Fixtures of all tests: one real embedded Postgres per test process, a fresh migrated database per test."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.store.embedded import EmbeddedPostgres
from gateway.store.migrate import migrate
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

ROOT = Path(__file__).resolve().parents[1]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Connect arguments of a server whose template database `migrated` is up to date."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
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
