"""What a connection's workers share through Postgres: call budgets and small values."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from gateway.store.postgres import PostgresStore
from gateway.store.shared import PostgresPacer, PostgresSharedValues

CLINIC = "clinic-a"


async def made(store: PostgresStore, seconds: float) -> int:
    query = "select count(*) from call_budget, unnest(calls) c where c > clock_timestamp() - make_interval(secs => $1)"
    async with store.acquire() as connection:
        return int(await connection.fetchval(query, seconds))


async def test_a_budget_is_never_exceeded_by_all_workers_together(store: PostgresStore) -> None:
    workers = [PostgresPacer(store, CLINIC, f"c{n}") for n in range(3)]
    calls = [asyncio.ensure_future(worker.spend("tier", 4, 60.0)) for worker in workers for _ in range(4)]
    done, waiting = await asyncio.wait(calls, timeout=1.0)
    assert (len(done), len(waiting)) == (4, 8)
    assert await made(store, 60.0) == 4
    for call in waiting:
        call.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_call_that_waits_goes_when_the_window_has_moved_on(store: PostgresStore) -> None:
    pacer = PostgresPacer(store, CLINIC, "c")
    for _ in range(5):
        await asyncio.wait_for(pacer.spend("tier", 2, 0.1), 5)
    assert await made(store, 0.1) <= 2


async def test_budgets_of_other_names_and_clinics_are_apart(store: PostgresStore) -> None:
    for clinic, budget in (("a", "one"), ("a", "two"), ("b", "one")):
        await asyncio.wait_for(PostgresPacer(store, clinic, "c").spend(budget, 1, 60.0), 1)


async def test_values_are_shared_replaced_and_dropped(store: PostgresStore) -> None:
    mine, theirs = (PostgresSharedValues(store, CLINIC, "c") for _ in range(2))
    await mine.put("session", b"one")
    await mine.put("session", b"two", timedelta(hours=1))
    assert await theirs.get("session") == b"two"
    assert await PostgresSharedValues(store, CLINIC, "other").get("session") is None
    await theirs.drop("session")
    assert await mine.get("session") is None


async def test_a_value_whose_lifetime_is_over_is_gone(store: PostgresStore) -> None:
    values = PostgresSharedValues(store, CLINIC, "c")
    await values.put("session", b"old", timedelta(seconds=-1))
    assert await values.get("session") is None
