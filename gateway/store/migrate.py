"""Numbered SQL migrations, applied in order under an advisory lock, each in its own transaction."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from gateway.canonical.errors import ConfigurationError

_LOCK = 7_700_001
_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
MINIMUM_SERVER = 150000


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file: a migration that has been applied must never change."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> list[Migration]:
    """All migrations in order."""
    found = []
    for entry in files("gateway.store").joinpath("migrations").iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            found.append(Migration(int(match[1]), match[2], entry.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


async def migrate(connection: asyncpg.Connection) -> list[int]:
    """Bring the database up to date; returns the numbers applied now. Any number of processes may call it at once."""
    await _require_version(connection)
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        await connection.execute(
            "create table if not exists schema_migration (number integer primary key, name text not null, "
            "checksum text not null, applied_at timestamptz not null default clock_timestamp())"
        )
        applied = {r["number"]: r["checksum"] for r in await connection.fetch("select * from schema_migration")}
        return [m.number for m in migrations() if await _apply(connection, m, applied.get(m.number))]
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)


async def _apply(connection: asyncpg.Connection, migration: Migration, known: str | None) -> bool:
    if known is not None:
        if known != migration.checksum:
            raise ConfigurationError(
                f"migration {migration.number:04}",
                "has changed since it was applied to this database.",
                "Install the release that this database belongs to, or restore the migration file.",
            )
        return False
    async with connection.transaction():
        await connection.execute(migration.sql)
        await connection.execute(
            "insert into schema_migration (number, name, checksum) values ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )
    return True


async def _require_version(connection: asyncpg.Connection) -> None:
    number = int(await connection.fetchval("show server_version_num"))
    if number < MINIMUM_SERVER:
        raise ConfigurationError(
            "GATEWAY_DATABASE_URL",
            f"the server is Postgres {number // 10000}; the gateway needs 15 or newer.",
            "Upgrade the server, or leave the variable empty to use the embedded one.",
        )
