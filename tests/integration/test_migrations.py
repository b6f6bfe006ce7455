"""Migrations: applied once, by any number of processes, and equal to a fresh schema."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from gateway.canonical.errors import ConfigurationError
from gateway.store.migrate import migrate, migrations

CATALOGUE = """
    select table_name, column_name, data_type, is_nullable, column_default, is_identity
    from information_schema.columns where table_schema = 'public' order by 1, 2
"""
INDEXES = "select tablename, indexdef from pg_indexes where schemaname = 'public' order by 1, 2"
TRIGGERS = "select pg_get_triggerdef(oid) from pg_trigger where not tgisinternal order by 1"


async def empty(server: dict[str, Any], name: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(**server)
    await connection.execute(f"drop database if exists {name} with (force)")
    await connection.execute(f"create database {name}")
    await connection.close()
    return await asyncpg.connect(**{**server, "database": name})


async def schema(connection: asyncpg.Connection) -> list[list[tuple[Any, ...]]]:
    return [[tuple(row) for row in await connection.fetch(query)] for query in (CATALOGUE, INDEXES, TRIGGERS)]


async def test_migrated_step_by_step_equals_fresh(server: dict[str, Any]) -> None:
    fresh = await empty(server, "fresh_schema")
    await migrate(fresh)
    stepwise = await empty(server, "stepwise_schema")
    await stepwise.execute(
        "create table schema_migration (number integer primary key, name text not null, "
        "checksum text not null, applied_at timestamptz not null default clock_timestamp())"
    )
    for migration in migrations():
        await stepwise.execute(migration.sql)
        await stepwise.execute(
            "insert into schema_migration values ($1, $2, $3)", migration.number, migration.name, migration.checksum
        )
    assert await migrate(stepwise) == []
    assert await schema(stepwise) == await schema(fresh)
    for connection in (fresh, stepwise):
        await connection.close()


async def test_a_second_run_applies_nothing(database: dict[str, Any]) -> None:
    connection = await asyncpg.connect(**database)
    assert await migrate(connection) == []
    await connection.close()


async def test_processes_that_start_together_migrate_once(server: dict[str, Any]) -> None:
    first = await empty(server, "together")
    others = [await asyncpg.connect(**{**server, "database": "together"}) for _ in range(3)]
    applied = await asyncio.gather(*(migrate(connection) for connection in (first, *others)))
    assert sorted(number for numbers in applied for number in numbers) == [m.number for m in migrations()]
    for connection in (first, *others):
        await connection.close()


async def test_a_changed_migration_is_refused(database: dict[str, Any]) -> None:
    connection = await asyncpg.connect(**database)
    await connection.execute("update schema_migration set checksum = 'other' where number = 1")
    with pytest.raises(ConfigurationError, match=r"migration 0001: has changed"):
        await migrate(connection)
    await connection.close()


def test_numbers_have_no_gaps() -> None:
    assert [m.number for m in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize(
    "table",
    [
        *("job", "submission", "audit_event", "resource", "resource_version", "encounter", "hold"),
        *("superbill", "superbill_intake", "superbill_visit"),
    ],
)
async def test_every_key_begins_with_the_clinic(database: dict[str, Any], table: str) -> None:
    connection = await asyncpg.connect(**database)
    first = await connection.fetchval(
        "select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] "
        "where i.indrelid = $1::regclass and i.indisprimary",
        table,
    )
    assert first == "clinic_id"
    await connection.close()
