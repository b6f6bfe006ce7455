"""The feed and the backfill: nothing is missed, nothing known is read twice, and the cursor waits for all pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ehr.drchrono.tests.practice_data import KEY, REF, clinic_context, command, objects
from adapters.ehr.drchrono.times import local, reaching_back
from gateway.canonical.errors import RateLimited, VendorUnavailable
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind

BEGIN = "2020-01-01T00:00:00"
CHICAGO = ZoneInfo("America/Chicago")


at = datetime.fromisoformat  # local times have no zone


async def told(adapter: Any, cursor: str | None) -> list[tuple[str, str]]:
    return [(ref.encounter_id, position) async for ref, position in adapter.changed_encounters(cursor)]


def calls(simulator: Simulator) -> dict[str, int]:
    return dict(simulator.ledger()["calls"])


class TestChanges:
    async def test_open_visits_are_not_told(self, ehr: Any, simulator: Simulator) -> None:
        assert await told(ehr, BEGIN) == []

    async def test_a_locked_visit_is_told_once_it_was_read_no_more(self, ehr: Any, signed: Simulator) -> None:
        found = await told(ehr, BEGIN)
        assert {key for key, _ in found} == {KEY}
        await ehr.fetch_encounter(REF)
        assert await told(ehr, BEGIN) == []

    async def test_the_cursor_is_local_time_without_offset(self, opened: Any, present: Any, signed: Simulator) -> None:
        position = (await told(opened(present), BEGIN))[-1][1]
        assert datetime.fromisoformat(position).tzinfo is None
        assert abs(
            local(position, ZoneInfo("America/New_York"))
            - datetime.now(ZoneInfo("America/New_York")).replace(tzinfo=None)
        ) < timedelta(minutes=5)

    async def test_a_first_poll_looks_back(self, opened: Any, present: Any, signed: Simulator) -> None:
        assert await told(opened(present), None)

    @pytest.mark.parametrize(
        "change",
        [
            {"kind": "appointments", "id": KEY, "members": {"icd10_codes": ["I10", "E11.9"]}},
            {"kind": "line_items", "id": 88102233, "members": {"quantity": "2.00", "billed": "370.00"}},
        ],
    )
    async def test_a_later_change_is_told_again(self, ehr: Any, signed: Simulator, change: dict[str, Any]) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "clock", seconds=5)
        command(signed, "change", **change)
        assert {key for key, _ in await told(ehr, BEGIN)} == {KEY}

    async def test_a_deleted_line_is_told(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "drop_line", line_item_id=88102234)
        assert [key for key, _ in await told(ehr, BEGIN)] == [KEY]

    async def test_a_late_line_is_told(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", encounter_ids=[KEY], late_lines=True)
        await ehr.fetch_encounter(REF)
        command(simulator, "lines", encounter_id=KEY)
        assert KEY in {key for key, _ in await told(ehr, BEGIN)}

    async def test_a_line_that_changes_within_the_second_of_its_reading_is_told(
        self, ehr: Any, signed: Simulator
    ) -> None:
        """Or within the hour of autumn that is written twice: its stamp is then no later than what was read."""
        await ehr.fetch_encounter(REF)
        (line,) = (line for line in objects()["line_items"] if line["id"] == 88102233)
        command(signed, "put", kind="line_items", object={**line, "quantity": "2.00"})
        assert [key for key, _ in await told(ehr, BEGIN)] == [KEY]

    async def test_a_visit_that_was_unlocked_and_then_deleted_is_told(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        unlocked = {"clinical_note": {"locked": False, "updated_at": "2026-03-03T10:12:44"}}
        command(signed, "change", kind="appointments", id=KEY, members=unlocked)
        assert await told(ehr, BEGIN) == []
        command(signed, "withdraw", encounter_id=KEY)
        assert KEY in {key for key, _ in await told(ehr, BEGIN)}

    async def test_a_deleted_visit_that_was_never_read_is_not_told(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "withdraw", encounter_id=KEY)
        assert await told(ehr, BEGIN) == []

    async def test_a_deleted_visit_is_told(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "withdraw", encounter_id=KEY)
        assert KEY in {key for key, _ in await told(ehr, BEGIN)}

    async def test_the_echo_of_a_write_back_is_not_told(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "clock", seconds=60)
        await ehr._api.send_json("write:appointments", "PATCH", f"appointments/{KEY}", {"billing_status": "Settled"})
        assert await told(ehr, BEGIN) == []

    async def test_a_lock_that_moves_no_appointment_is_told_by_its_note(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "clock", seconds=7200)
        since = (datetime.now(ZoneInfo("America/New_York")) + timedelta(hours=1)).replace(tzinfo=None).isoformat()
        command(signed, "supervise", encounter_id=KEY)
        assert [key for key, _ in await told(ehr, since)] == [KEY]

    async def test_a_time_ahead_of_now_does_not_move_the_cursor_there(
        self, opened: Any, present: Any, signed: Simulator
    ) -> None:
        command(signed, "clock", seconds=86400)
        command(signed, "change", kind="appointments", id=KEY, members={"icd10_codes": ["I10"]})
        position = (await told(opened(present), BEGIN))[-1][1]
        assert local(position, CHICAGO) <= datetime.now(ZoneInfo("America/New_York")).replace(tzinfo=None)

    async def test_the_same_state_has_the_same_key_each_time(self, ehr: Any, signed: Simulator) -> None:
        first, again = [[r async for r, _ in ehr.changed_encounters(BEGIN)] for _ in range(2)]
        assert [r.dedupe_key for r in first] == [r.dedupe_key for r in again]


class TestManyAppointments:
    @pytest.fixture
    def data(self) -> Any:
        held = objects()
        appointment, note = held["appointments"][0], held["clinical_notes"][0]
        keys = [str(301_300_000 + i) for i in range(60)]
        held["appointments"] = [
            {**appointment, "id": key, "scheduled_time": f"2026-03-03T{23 - i % 24:02}:00:00"}
            for i, key in enumerate(keys)
        ]
        held["clinical_notes"] = [{**note, "id": key, "appointment": key} for key in keys]
        held["line_items"] = []
        return held

    async def test_all_pages_are_read_before_the_cursor_moves(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", all=True)
        found = await told(ehr, BEGIN)
        assert len({key for key, _ in found}) == 60
        assert calls(simulator)["GET appointments"] == 3  # 25 a page, whatever is asked for
        positions = [position for _, position in found]
        assert positions == sorted(positions)

    async def test_a_failing_page_leaves_the_cursor(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", all=True)
        simulator.fail("line_items", FaultKind.HTTP_500, times=9)
        with pytest.raises(VendorUnavailable):
            await told(ehr, BEGIN)

    async def test_what_was_seen_is_not_read_again_once_all_is_kept(
        self, opened: Any, present: Any, simulator: Simulator
    ) -> None:
        ehr = opened(replace(present, now=lambda: datetime.now(UTC) + timedelta(hours=5)))
        command(simulator, "sign", encounter_ids=["301300000"])
        cursor = (await told(ehr, BEGIN))[-1][1]
        command(simulator, "clock", seconds=7200)
        for key in ("301300001", "301300002"):
            command(simulator, "change", kind="appointments", id=key, members={"reason": "moved"})
        again = await told(ehr, cursor)  # open visits changed: nothing new to tell, but they were seen
        assert {key for key, _ in again} == {"301300000"}
        assert {position for _, position in again} == {cursor}
        command(simulator, "clock", seconds=7200)
        kept = await ehr._feed._start(cursor)
        assert kept > local(cursor, ZoneInfo("America/New_York")) + timedelta(hours=1)
        assert await ehr._feed._start("2026-01-01T00:00:00") == at(
            "2026-01-01T00:00"
        )  # another cursor: not all was kept

    async def test_backfill_lists_what_is_locked_and_resumes(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", count=30)
        found = [(ref.encounter_id, position) async for ref, position in ehr.backfill(date(2026, 1, 1), None)]
        assert len(found) == 30
        assert [position for _, position in found] == sorted(position for _, position in found)
        rest = [ref.encounter_id async for ref, _ in ehr.backfill(date(2026, 1, 1), found[9][1])]
        assert rest == [key for key, _ in found[10:]]

    async def test_backfill_asks_by_ranges_that_the_vendor_allows(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", count=1)
        assert len([1 async for _ in ehr.backfill(date(2024, 1, 1), None)]) == 1
        assert calls(simulator)["POST appointments_list"] == 5


class TestBudget:
    async def test_polls_leave_the_reserve_alone(self, opened: Any, signed: Simulator) -> None:
        context = clinic_context()
        adapter = opened(context, hourly_calls=500, live_reserve=150, calls_per_second=8)
        await told(adapter, BEGIN)
        await adapter.fetch_encounter(REF)
        hours = [(calls_, window) for name, calls_, window in context.pacer.spent if name.endswith("/hour")]
        assert set(hours[:4]) == {(350, 3600.0)}
        assert set(hours[4:]) == {(500, 3600.0)}

    async def test_a_throttled_poll_waits(self, ehr: Any, signed: Simulator) -> None:
        signed.fail("appointments", FaultKind.RATE_LIMIT, times=9)
        with pytest.raises(RateLimited):
            await told(ehr, BEGIN)


class TestTimes:
    def test_a_stored_instant_becomes_local(self) -> None:
        assert local("2026-03-03T12:00:00+00:00", CHICAGO) == at("2026-03-03T06:00")

    @pytest.mark.parametrize(
        ("start", "since"),
        [
            (at("2026-03-03T12:00"), at("2026-03-03T11:45")),
            (at("2026-11-01T01:30"), at("2026-11-01T00:15")),
            (at("2026-11-01T02:10"), at("2026-11-01T00:55")),
            (at("2026-11-01T02:20"), at("2026-11-01T02:05")),
            (at("2026-03-08T03:10"), at("2026-03-08T02:55")),
        ],
    )
    def test_while_clocks_go_back_an_hour_more_is_read(self, start: datetime, since: datetime) -> None:
        assert reaching_back(start, timedelta(minutes=15), CHICAGO) == since

    @given(st.datetimes(at("2026-10-31T00:00"), at("2026-11-02T00:00")), st.integers(0, 7200))
    def test_no_change_after_the_cursor_is_missed(self, moment: datetime, later: int) -> None:
        """Whatever is written after the cursor's instant, its local time is not before what is asked for."""
        instant = moment.replace(tzinfo=UTC)
        cursor = instant.astimezone(CHICAGO).replace(tzinfo=None)
        written = (instant + timedelta(seconds=later)).astimezone(CHICAGO).replace(tzinfo=None)
        assert written >= reaching_back(cursor, timedelta(minutes=15), CHICAGO)
