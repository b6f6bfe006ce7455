"""The destructive feed: nothing is lost by a crash, by another reader, or by a subscription that takes its time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.ehr.athenahealth.reopened import FAILURES_MOST
from adapters.ehr.athenahealth.simulator.notification import Event, bundle
from adapters.ehr.athenahealth.values import EASTERN, eastern_from, eastern_until
from gateway.canonical import jsonio
from gateway.canonical.errors import UnsupportedOperation, VendorUnavailable
from gateway.canonical.models import NotificationRequest
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind


async def poll(ehr: Any, cursor: str | None = None) -> list[Any]:
    return [pair async for pair in ehr.changed_encounters(cursor)]


def ids(found: list[Any]) -> list[str]:
    return [ref.encounter_id for ref, _ in found]


def add_visits(app: Any, count: int) -> None:
    practice = app.practice
    for key in map(str, range(1, count + 1)):
        practice.appointments[key] = {**practice.appointments["1050322"], "appointmentid": key, "encounterid": key}
        practice.encounters[key] = {**practice.encounters["62014"], "appointmentid": key, "encounterid": key}
        practice.encounters[key].pop("lastreopened", None)


async def test_a_row_that_was_read_and_not_kept_comes_again_from_the_former_cursor(
    connect: Any, simulator: Simulator
) -> None:
    """A worker dies between reading and keeping: the rows are gone from the feed, and yet are found."""
    before = datetime.now(UTC) - timedelta(minutes=1)
    dying = connect()
    assert ids(await poll(dying, before.isoformat())) == ["62014"]
    assert simulator.ledger()["calls"]["appointments/changed"] >= 2
    assert ids(await poll(connect(), before.isoformat())) == ["62014"]


async def test_the_very_first_poll_is_repeatable_too(connect: Any, simulator: Simulator) -> None:
    assert ids(await poll(connect())) == ["62014"]
    assert ids(await poll(connect())) == ["62014"]


async def test_the_cursor_of_consumed_rows_stays_until_new_ones_come(ehr: Any, simulator: Simulator, act: Any) -> None:
    """Kept page by page: from each cursor on, all that is not kept yet can be read again."""
    start = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    ((_, first),) = await poll(ehr, start)
    act(simulator, "amend", encounter_id="62014")
    again = await poll(ehr, start)
    assert [cursor for _, cursor in again][:1] == [start]
    assert again[-1][1] >= first


async def test_a_connection_that_another_one_of_its_key_forestalls_moves_its_cursor_too(
    connect: Any, simulator: Simulator
) -> None:
    """Two connections of one practice, each with departments of its own: both read what either has consumed."""
    start = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    await poll(connect(overlap_seconds=0), start)
    ((_, cursor),) = await poll(connect(overlap_seconds=0), start)
    assert cursor > start


async def test_one_appointment_that_cannot_be_read_hides_no_other_and_stays_behind_the_cursor(
    connect: Any, simulator: Simulator, app: Any
) -> None:
    row = app.practice.appointments["1050322"]
    silent = {k: v for k, v in row.items() if k != "encounterid"}
    adapter, start = connect(), (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    async def consumed(*_: Any) -> list[Any]:
        return [{**silent, "appointmentid": "7"}, row]

    adapter.feed._consumed = consumed
    simulator.fail("appointment", FaultKind.GARBAGE, times=9)
    found = []
    with pytest.raises(VendorUnavailable):
        async for pair in adapter.changed_encounters(start):
            found.append(pair)  # noqa: PERF401 - it ends with an error
    assert [(ref.encounter_id, cursor) for ref, cursor in found] == [("62014", start)]


async def test_rows_of_other_departments_are_not_read_again_at_every_poll(
    connect: Any, context: Any, simulator: Simulator
) -> None:
    """The cursor moves with pointers only; where there are none for days, the window must not grow with them."""
    now, start = datetime.now(UTC), (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    quiet = connect(replace(context, now=lambda: now), department_ids=("7",), overlap_seconds=60)
    assert await poll(quiet, start) == []
    assert await quiet.feed._since(start) == now - timedelta(seconds=60)
    assert (await quiet.feed._since(now.isoformat())) == now, "another cursor knows nothing of it"


async def test_a_poll_that_could_not_read_all_has_not_seen_it(connect: Any, simulator: Simulator, app: Any) -> None:
    row = {k: v for k, v in app.practice.appointments["1050322"].items() if k != "encounterid"}
    app.feeds["appointments"]._row = lambda _: row
    adapter, start = connect(), (datetime.now(UTC) - timedelta(minutes=30)).isoformat()
    simulator.fail("appointment", FaultKind.HTTP_500)
    with pytest.raises(VendorUnavailable):
        await poll(adapter, start)
    assert ids(await poll(adapter, start)) == ["62014"]


async def test_rows_without_news_have_the_same_key(ehr: Any, simulator: Simulator) -> None:
    (first,) = await poll(ehr)
    (second,) = await poll(ehr, first[1])
    assert first[0].dedupe_key == second[0].dedupe_key
    assert first[0].last_updated == second[0].last_updated


async def test_closing_changes_the_key_of_a_row_that_is_read_again(
    connect: Any, control: Simulator, act: Any, app: Any
) -> None:
    """No event tells of the close; the row that is re-read does."""
    app.feeds["appointments"].subscribe({})
    act(control, "check_out", encounter_id="62014")
    ehr = connect()
    (open_,) = await poll(ehr)
    act(control, "sign", encounter_ids=["62014"])
    (closed,) = await poll(ehr, open_[1])
    assert ids([open_, closed]) == ["62014", "62014"]
    assert open_[0].dedupe_key != closed[0].dedupe_key


async def test_a_second_api_key_has_its_own_place(connect: Any, simulator: Simulator, app: Any) -> None:
    assert ids(await poll(connect())) == ["62014"]
    app.access.secrets = {**app.access.secrets, "other": "other-secret"}
    assert ids(await poll(connect(client_id="other", client_secret="other-secret"))) == ["62014"]


async def test_workers_of_one_key_read_one_after_another(connect: Any, context: Any, simulator: Simulator) -> None:
    held: list[str] = []

    class Watched(type(context.lock)):  # type: ignore[misc]
        def __call__(self, key: str) -> Any:
            held.append(key)
            return super().__call__(key)

    watched = replace(context, lock=Watched())
    await poll(connect(watched))
    await poll(connect(watched))
    assert len({key for key in held if "feed" in key}) == 1
    assert len([key for key in held if "feed" in key]) == 2
    assert not any("sandbox" in key for key in held if "feed" in key)


async def test_feed_backfill_and_event_name_a_visit_by_the_same_id(ehr: Any, simulator: Simulator) -> None:
    """However it is told, it is one encounter of the gateway, and so one claim."""
    event = Event("Encounter.signoff", "195900", "62014", "7965", "162")
    body = jsonio.dumps(
        bundle(event, "s1", "https://x.test/fhir/r4/SubscriptionTopic/Encounter.signoff", datetime.now(UTC))
    )
    told = ehr.parse_notification(NotificationRequest("POST", "", {}, {}, body, "192.0.2.7")).refs
    former = [ref async for ref, _ in ehr.backfill(date(2026, 3, 1), None)]
    assert {ref.encounter_id for ref in (*told, *former)} == set(ids(await poll(ehr))) == {"62014"}


@pytest.mark.parametrize(("days_ago", "found"), [(2, ["62014"]), (30, [])])
async def test_the_backfill_lists_visits_that_are_still_to_be_closed(
    ehr: Any, app: Any, days_ago: int, found: list[str]
) -> None:
    """The feed tells of appointments: they were over before it began, and nothing tells of the close."""
    on = datetime.now(UTC) - timedelta(days=days_ago)
    app.clinicians.reopen("62014")
    app.practice.appointments["1050322"].update(date=on.strftime("%m/%d/%Y"), appointmentstatus="3")
    assert [ref.encounter_id async for ref, _ in ehr.backfill(on.date(), None)] == found


async def test_only_followed_departments_are_yielded(connect: Any, simulator: Simulator) -> None:
    assert await poll(connect(department_ids=("7",))) == []
    assert ids(await poll(connect(department_ids=("7", "162")))) == ["62014"]


async def test_a_row_that_does_not_name_its_encounter_is_looked_up(ehr: Any, app: Any) -> None:
    row = app.practice.appointments["1050322"]
    feed = app.feeds["appointments"]
    feed._row = lambda _: {k: v for k, v in row.items() if k != "encounterid"}
    assert ids(await poll(ehr)) == ["62014"]
    row["appointmentstatus"] = "f"
    assert ids(await poll(ehr, datetime.now(UTC).isoformat())) == []


async def test_visits_before_the_feed_takes_effect_are_found_among_the_booked_ones(
    connect: Any, control: Simulator, act: Any, app: Any
) -> None:
    """The subscription takes minutes; a visit that ends meanwhile never is in the feed."""
    app.feeds["appointments"]._delay = 600.0
    app.practice.appointments["1050322"]["date"] = datetime.now(UTC).strftime("%m/%d/%Y")
    ehr = connect(activation_seconds=900)
    await ehr.subscribe("https://gw.example.test/hook")
    cursor = datetime.now(UTC).isoformat()
    assert await poll(ehr, cursor) == []
    act(control, "check_out", encounter_id="62014")
    assert ids(await poll(ehr, cursor)) == ["62014"]
    assert app.feeds["appointments"]._changes == []


async def test_a_feed_that_had_ended_is_made_up_for_since_the_last_poll(
    connect: Any, control: Simulator, app: Any
) -> None:
    """After days without the gateway: what was not subscribed to meanwhile never is in the feed."""
    app.feeds["appointments"]._delay = 600.0
    visited = datetime.now(UTC) - timedelta(days=4)
    app.practice.appointments["1050322"].update(date=visited.strftime("%m/%d/%Y"), appointmentstatus="3")
    ehr = connect(activation_seconds=900)
    await ehr.subscribe("https://gw.example.test/hook")
    assert ids(await poll(ehr, (visited - timedelta(days=1)).isoformat())) == ["62014"]
    assert await poll(ehr, (visited + timedelta(days=3)).isoformat()) == []


async def test_once_it_is_effective_booked_appointments_are_not_read(ehr: Any, simulator: Simulator) -> None:
    await poll(ehr, datetime.now(UTC).isoformat())
    assert "booked" not in simulator.ledger()["calls"]


async def test_a_connection_that_does_not_poll_says_so(connect: Any, simulator: Simulator) -> None:
    with pytest.raises(UnsupportedOperation):
        await poll(connect(poll_seconds=0, push=True))


class TestReopened:
    """Closed, billed, reopened without a word of the feed, and closed again."""

    @pytest.fixture
    def later(self, connect: Any, context: Any, app: Any, simulator: Simulator) -> Any:
        """Opens adapters on later days; the visit is of today."""
        app.practice.appointments["1050322"]["date"] = datetime.now(UTC).strftime("%m/%d/%Y")

        def opened(days: int, **changes: Any) -> Any:
            return connect(replace(context, now=lambda: datetime.now(UTC) + timedelta(days=days)), **changes)

        return opened

    async def test_they_are_found_on_the_next_day(self, later: Any, app: Any) -> None:
        cursor = datetime.now(UTC).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        app.clinicians.close("62014")
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        assert await poll(later(0), cursor) == []
        ((ref, position),) = await poll(later(1), cursor)
        assert (ref.encounter_id, position) == ("62014", cursor)
        assert await poll(later(1), cursor) == []

    async def test_what_a_look_found_and_a_crash_lost_is_found_once_more(self, later: Any, app: Any) -> None:
        """Nor is one lost that is reopened after the look, on a day that is not over yet where the practice is."""
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        assert [len(await poll(later(day), cursor)) for day in (1, 2, 3)] == [1, 1, 0]

    async def test_one_that_is_open_again_is_found_before_it_is_closed(self, later: Any, app: Any) -> None:
        """Some days later its date would be too old to be news."""
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        app.practice.appointments["1050322"]["appointmentstatus"] = "2"
        assert ids(await poll(later(1), cursor)) == ["62014"]

    async def test_one_chart_that_cannot_be_read_is_passed_over(
        self, later: Any, app: Any, simulator: Simulator
    ) -> None:
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        add_visits(app, 1)
        simulator.fail("encounter", FaultKind.HTTP_500)
        assert ids(await poll(later(1), cursor)) in ([], ["62014"])
        read = simulator.ledger()["calls"]["encounter"]
        assert await poll(later(1), cursor) == []
        assert simulator.ledger()["calls"]["encounter"] == read, "they are not all read again at each poll"

    async def test_a_look_that_fails_again_and_again_is_done_anew(
        self, later: Any, app: Any, simulator: Simulator
    ) -> None:
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        add_visits(app, FAILURES_MOST)
        simulator.fail("encounter", FaultKind.HTTP_500, times=FAILURES_MOST + 1)
        with pytest.raises(VendorUnavailable):
            await poll(later(1), cursor)
        assert ids(await poll(later(1), cursor)) == ["62014"]

    async def test_a_second_reopening_has_another_key(self, later: Any, app: Any) -> None:
        await poll(later(0))
        app.clinicians.reopen("62014")
        keys = [
            ref.dedupe_key
            for day in (1, 2)
            for ref in [r async for r in later(day).reopened._found(date.min, date(2026, 1, day))]
        ]
        assert len(set(keys)) == 2

    async def test_visits_that_were_not_reopened_are_left_alone(self, later: Any) -> None:
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        assert await poll(later(1), cursor) == []

    async def test_it_can_be_switched_off(self, later: Any, app: Any, simulator: Simulator) -> None:
        cursor = (datetime.now(UTC) + timedelta(minutes=9)).isoformat()
        await poll(later(0), cursor)
        app.clinicians.reopen("62014")
        assert await poll(later(1, reopen_days=0), cursor) == []
        assert "booked" not in simulator.ledger()["calls"]


@given(st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_window_in_eastern_time_never_leaves_out_what_lies_in_it(instant: datetime) -> None:
    """In autumn an hour is shown twice: whichever is meant, the window holds the instant."""
    for fold in (0, 1):
        start, end = (
            datetime.strptime(text, "%m/%d/%Y %H:%M:%S").replace(tzinfo=EASTERN, fold=fold)
            for text in (eastern_until(instant), eastern_from(instant))
        )
        assert start.astimezone(UTC) <= instant < end.astimezone(UTC) + timedelta(seconds=1)
