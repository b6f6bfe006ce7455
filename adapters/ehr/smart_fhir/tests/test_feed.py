"""The feed ladder against the simulator over real HTTP: each rung, their choice, and going from one to another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.ehr.smart_fhir import ADAPTER
from adapters.ehr.smart_fhir.simulator import build, connection
from gateway.canonical import jsonio
from gateway.canonical.errors import AdapterError, RateLimited, UnsupportedOperation
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.contract_support import LocalValues, Simulator, simulator_running
from gateway.kit.simulator import FaultKind, SimulatorOptions
from gateway.ports.context import AdapterContext

SCOPES = (
    *(f"system/{name}.rs" for name in ("Encounter", "Patient", "Condition", "Procedure", "Claim", "ChargeItem")),
    "system/Appointment.rs",
    "system/Group.rs",
)
STYLES = ("outcome", "forbidden", "oracle", "outcome_200", "empty", "ignored")
FEEDS = ("last_updated", "date", "bulk", "appointments")
NOW = datetime.now(UTC)


def visit(number: int, days_back: int, **more: Any) -> list[Resource]:
    """An encounter of a patient of its own, so many days ago."""
    start = (NOW - timedelta(days=days_back, minutes=30)).isoformat(timespec="seconds")
    patient = {"resourceType": "Patient", "id": f"p{number}"}
    encounter = {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/p{number}"},
        "period": {"start": start, "end": start},
        **more,
    }
    return [patient, encounter]


DAY = [*visit(0, 0), *visit(1, 3), *visit(2, 10)]


class Ehr:
    """A simulator, and adapters that are opened to it."""

    def __init__(self, simulator: Simulator, credentials: dict[str, str], context: AdapterContext) -> None:
        self.simulator, self.context = simulator, context
        url = str(simulator.client.base_url).rstrip("/")
        offered = connection(SimulatorOptions(url, credentials=credentials))
        secrets = {f"env:{name}": value for name, value in offered.secrets.items()}
        self.settings = {k: secrets.get(v, v) if isinstance(v, str) else v for k, v in offered.settings.items()}
        self.opened: list[Any] = []

    def adapter(self, **settings: Any) -> Any:
        chosen = {"scopes": SCOPES, "bulk_seconds": 0, "overlap_seconds": 0, **settings}
        self.opened.append(ADAPTER.open(ADAPTER.settings(**{**self.settings, **chosen}), self.context))
        return self.opened[-1]

    def tell(self, name: str, **body: Any) -> None:
        self.simulator.client.post(f"/_sim/{name}", json=body).raise_for_status()

    def sign(self, *ids: str) -> None:
        self.tell("sign", encounter_ids=list(ids))

    def calls(self, name: str) -> int:
        return int(self.simulator.ledger()["calls"].get(name, 0))

    def choice(self) -> dict[str, Any]:
        kept = self.context.shared.kept["feed-choice"]  # type: ignore[attr-defined]
        return dict(jsonio.loads(kept))


@pytest.fixture
async def serve(credentials: dict[str, str], context: AdapterContext) -> AsyncIterator[Callable[..., Ehr]]:
    """Starts an EHR over resources, with the simulator's knobs."""
    with ExitStack() as running:
        made: list[Ehr] = []

        def start(data: list[Resource], **knobs: str) -> Ehr:
            known = {**credentials, **knobs}
            url = running.enter_context(simulator_running(build, credentials=known, data=data))
            client = running.enter_context(httpx.Client(base_url=url, trust_env=False))
            made.append(Ehr(Simulator(client), known, context))
            return made[-1]

        yield start
        for ehr in made:
            for adapter in ehr.opened:
                await adapter.aclose()


async def poll(adapter: Any, cursor: str | None = None) -> list[tuple[EncounterRef, str]]:
    """One poll to its end; an export that is being made is asked for again, as the pipeline does."""
    while True:
        try:
            return [pair async for pair in adapter.changed_encounters(cursor)]
        except RateLimited as wait:
            assert wait.retry_after is not None and wait.retry_after < 1


def ids(found: list[tuple[EncounterRef, str]]) -> set[str]:
    return {ref.encounter_id for ref, _ in found}


class TestRungs:
    @pytest.mark.parametrize("feed", FEEDS)
    async def test_signed_encounters_are_found_and_unsigned_ones_are_not(self, serve: Any, feed: str) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        assert ids(await poll(ehr.adapter(feed=feed))) == {"e0"}

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_a_late_signature_is_found_from_the_cursor_on(self, serve: Any, feed: str) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        adapter = ehr.adapter(feed=feed, feed_lookback_days=12)
        cursor = (await poll(adapter))[-1][1]
        ehr.sign("e2")
        found: set[str] = set()
        for _ in range(12):  # appointments: one earlier day at each poll
            found |= ids(await poll(adapter, cursor))
        assert "e2" in found and "e1" not in found

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_a_window_read_again_gives_the_same_keys(self, serve: Any, feed: str) -> None:
        ehr = serve(DAY)
        ehr.sign("e0", "e1", "e2")
        adapter = ehr.adapter(feed=feed)
        since = (NOW - timedelta(days=12)).isoformat()
        first, again = await poll(adapter, since), await poll(adapter, since)
        assert ids(first) == {"e0", "e1", "e2"}
        assert {ref.dedupe_key for ref, _ in first} == {ref.dedupe_key for ref, _ in again}

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_the_oldest_change_comes_first_and_only_the_last_moves_the_cursor_past_it(
        self, serve: Any, feed: str
    ) -> None:
        ehr = serve(DAY)
        for number in (2, 0, 1):
            ehr.sign(f"e{number}")
        since = (NOW - timedelta(days=12)).isoformat()
        found = await poll(ehr.adapter(feed=feed), since)
        moments = [ref.last_updated for ref, _ in found]
        assert len(moments) == 3 and moments == sorted(moments)
        cursors = [datetime.fromisoformat(cursor) for _, cursor in found]
        assert cursors == sorted(cursors)
        assert all(
            ref.last_updated and at <= ref.last_updated for (ref, _), at in zip(found, cursors[:-1], strict=False)
        )

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_an_encounter_entered_in_error_is_followed(self, serve: Any, feed: str) -> None:
        ehr = serve(DAY)
        ehr.tell("withdraw", encounter_id="e0")
        assert ids(await poll(ehr.adapter(feed=feed))) == {"e0"}

    @pytest.mark.parametrize(
        "period",
        [{"start": 7}, {"start": "soon"}, {"start": "0001-01-01T00:00:00Z"}, {"start": "9999-12-31"}, "today", {}],
    )
    async def test_a_date_that_cannot_be_read_holds_up_nothing(self, serve: Any, period: Any) -> None:
        ehr = serve([*DAY, *visit(3, 0, period=period)])
        ehr.sign("e0", "e3")
        assert ids(await poll(ehr.adapter(feed="last_updated"))) == {"e0", "e3"}

    @pytest.mark.parametrize("feed", ["last_updated", "date", "bulk"])
    async def test_what_was_signed_before_the_first_look_is_no_news_even_if_the_ehr_gives_it(
        self, serve: Any, feed: str
    ) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        ehr.tell("refuse", feeds={feed: "ignored"})
        adapter = ehr.adapter(feed=feed, lookback_minutes=0)
        assert await poll(adapter) == []
        ehr.sign("e1")
        assert ids(await poll(adapter)) == {"e1"}

    async def test_appointments_ask_for_the_patients_of_a_day_only(self, serve: Any) -> None:
        ehr = serve([resource for number in range(20) for resource in visit(number, number)])
        ehr.sign(*(f"e{number}" for number in range(20)))
        adapter = ehr.adapter(feed="appointments", lookback_minutes=60)
        await poll(adapter)
        before = ehr.calls("GET Encounter")
        assert before <= 4, "today's patients, and those of one earlier day"


class TestChildren:
    def condition(self, encounter: str, number: int = 1) -> Resource:
        code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": f"L57.{number}"}]}
        reference = {"reference": f"Encounter/{encounter}"}
        return {"resourceType": "Condition", "id": f"c-{encounter}", "code": code, "encounter": reference}

    @pytest.mark.parametrize("feed", ["last_updated", "bulk"])
    async def test_a_diagnosis_added_later_is_news_of_its_encounter_once(self, serve: Any, feed: str) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        adapter = ehr.adapter(feed=feed)
        first = await poll(adapter)
        ehr.tell("data", resources=[self.condition("e0"), self.condition("e1")])
        second, third = await poll(adapter, first[-1][1]), await poll(adapter, first[-1][1])
        news = {ref.dedupe_key for ref, _ in second} - {ref.dedupe_key for ref, _ in first}
        assert len(news) == 1 and ids(second) == {"e0"}, "of the signed encounter, not of the unsigned one"
        assert {ref.dedupe_key for ref, _ in third} == {ref.dedupe_key for ref, _ in second}
        ehr.tell("data", resources=[self.condition("e0", 2)])
        fourth = {ref.dedupe_key for ref, _ in await poll(adapter, first[-1][1])}
        assert len(fourth - {ref.dedupe_key for ref, _ in (*first, *third)}) == 1, "changed once more"

    async def test_what_came_with_the_signature_costs_nothing_more(self, serve: Any) -> None:
        ehr = serve([*DAY, self.condition("e0")])
        ehr.sign("e0")
        assert [ref.dedupe_key.count("+") for ref, _ in await poll(ehr.adapter(feed="last_updated"))] == [0]

    async def test_a_type_that_is_not_granted_is_asked_for_once_an_hour(self, serve: Any) -> None:
        """It may be granted later, and a refusal may have been an accident."""
        ehr = serve(DAY)
        ehr.sign("e0")
        late = timedelta()
        ehr.context = replace(ehr.context, now=lambda: datetime.now(UTC) + late)
        adapter = ehr.adapter(feed="last_updated", scopes=("system/Encounter.rs",))
        for _ in range(3):
            assert ids(await poll(adapter)) == {"e0"}
        assert ehr.calls("GET ChargeItem") == 1
        late = timedelta(minutes=61)
        assert ids(await poll(adapter)) == {"e0"}
        assert ehr.calls("GET ChargeItem") == 2


class TestReread:
    """Feeds date and appointments list the whole look-back time at each poll."""

    async def test_an_encounter_is_read_once_more_after_some_days(self, serve: Any) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        adapter = ehr.adapter(feed="date")
        cursor = (await poll(adapter))[-1][1]
        keys: list[set[str]] = []
        for days in (0, 1, 2, 3, 6, 7, 13):
            window = await adapter.feed._window(cursor)
            later = replace(window, now=window.now + timedelta(days=days, minutes=1), since=window.now)
            (seen,) = [s for s in await adapter.feed._site.encounters({"_id": "e0"}) if s]
            keys.append({ref.dedupe_key.partition("~")[2] for ref in adapter.feed._site.news([seen], later)})
        assert keys == [set(), {"1d"}, {"1d"}, {"3d"}, {"3d"}, {"7d"}, {"7d"}]

    async def test_what_was_there_before_the_feed_began_is_not_read_again(self, serve: Any) -> None:
        ehr = serve(DAY)
        ehr.sign("e0", "e1", "e2")
        adapter = ehr.adapter(feed="date", lookback_minutes=0)
        window = await adapter.feed._window(None)
        later = replace(window, now=window.now + timedelta(days=5), since=window.now)
        seen = await adapter.feed._site.encounters({"date": f"ge{(NOW - timedelta(days=20)).date()}"})
        assert seen and adapter.feed._site.news(seen, later) == []


class TestChoice:
    @pytest.mark.parametrize("style", STYLES)
    async def test_a_search_that_does_not_work_gives_way_to_the_next(self, serve: Any, style: str) -> None:
        ehr = serve(DAY, refuse=jsonio.dumps({"last_updated": style}).decode())
        ehr.sign("e0")
        assert "e0" in ids(await poll(ehr.adapter()))
        assert ehr.choice()["feed"] == "date"

    @pytest.mark.parametrize(
        ("refused", "chosen"),
        [
            ((), "last_updated"),
            (("last_updated",), "date"),
            (("last_updated", "date"), "bulk"),
            (("last_updated", "date", "bulk"), "appointments"),
        ],
    )
    async def test_the_first_rung_that_works_is_chosen_and_recorded(
        self, serve: Any, refused: tuple[str, ...], chosen: str
    ) -> None:
        ehr = serve(DAY, refuse=jsonio.dumps(dict.fromkeys(refused, "outcome")).decode())
        ehr.sign("e0")
        assert "e0" in ids(await poll(ehr.adapter()))
        choice = ehr.choice()
        assert choice["feed"] == chosen
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(choice["at"]) < timedelta(minutes=1)

    async def test_a_silent_search_is_not_believed_when_another_way_finds_an_encounter(self, serve: Any) -> None:
        silent = jsonio.dumps({"last_updated": "empty", "date": "empty", "bulk": "outcome"}).decode()
        ehr = serve(DAY, refuse=silent)
        lines = {probe.what.split()[1]: probe for probe in await ehr.adapter().probe() if probe.what.startswith("feed")}
        assert ehr.choice()["feed"] == "appointments"
        assert "although an encounter is there" in lines["last_updated"].detail

    async def test_with_nothing_to_compare_the_search_is_taken_and_tried_again_within_the_hour(
        self, serve: Any
    ) -> None:
        ehr = serve([])
        assert await poll(ehr.adapter()) == []
        choice = ehr.choice()
        assert choice["feed"] == "last_updated"
        assert datetime.fromisoformat(choice["until"]) - datetime.fromisoformat(choice["at"]) == timedelta(hours=1)

    async def test_the_recorded_choice_costs_no_further_trial_until_its_time_is_over(self, serve: Any) -> None:
        ehr = serve(DAY)
        adapter = ehr.adapter(feed_children=False)
        await poll(adapter)
        before = ehr.calls("GET Encounter")
        await poll(ehr.adapter(feed_children=False))
        assert ehr.calls("GET Encounter") == before + 1
        over = {**ehr.choice(), "until": NOW.isoformat()}
        await ehr.context.shared.put("feed-choice", jsonio.dumps(over))
        await poll(adapter)
        assert ehr.calls("GET Encounter") > before + 2

    async def test_a_rung_that_begins_to_be_refused_is_left_within_the_same_poll(self, serve: Any) -> None:
        ehr = serve(DAY)
        adapter = ehr.adapter()
        ehr.sign("e0")
        cursor = (await poll(adapter))[-1][1]
        ehr.tell("refuse", feeds={"last_updated": "forbidden"})
        ehr.sign("e1")
        assert "e1" in ids(await poll(adapter, cursor))
        assert ehr.choice()["feed"] == "date"

    async def test_a_recorded_rung_that_the_settings_rule_out_is_left(self, serve: Any) -> None:
        ehr = serve(DAY)
        await poll(ehr.adapter())
        assert ehr.choice()["feed"] == "last_updated"
        await poll(ehr.adapter(patient_anchored=True))
        assert ehr.choice()["feed"] in ("bulk", "appointments")

    async def test_a_patient_anchored_connection_polls_by_export_or_appointments(self, serve: Any) -> None:
        ehr = serve(DAY, patient_anchored="true", export="")
        ehr.sign("e0")
        assert ids(await poll(ehr.adapter(patient_anchored=True))) == {"e0"}
        assert ehr.choice()["feed"] == "appointments"

    async def test_a_fixed_feed_is_neither_tried_out_nor_left(self, serve: Any) -> None:
        ehr = serve(DAY)
        ehr.tell("refuse", feeds={"date": "outcome"})
        with pytest.raises(AdapterError):
            await poll(ehr.adapter(feed="date"))
        assert ehr.calls("GET Encounter") == 1

    async def test_without_any_rung_the_connection_says_so_and_asks_no_more_for_an_hour(self, serve: Any) -> None:
        ehr = serve(DAY, refuse=jsonio.dumps(dict.fromkeys(FEEDS, "outcome")).decode())
        for _ in range(3):
            with pytest.raises(UnsupportedOperation, match="rely on notifications"):
                await poll(ehr.adapter())
        assert ehr.calls("GET $export") == 2, "with all types and with Encounter alone"

    async def test_a_passing_fault_chooses_nothing(self, serve: Any) -> None:
        ehr = serve(DAY)
        ehr.simulator.fail("search:Encounter", FaultKind.HTTP_500, times=3)
        with pytest.raises(AdapterError):
            await poll(ehr.adapter())
        assert isinstance(ehr.context.shared, LocalValues) and "feed-choice" not in ehr.context.shared.kept


class TestProbe:
    async def test_each_rung_says_what_it_is_worth(self, serve: Any) -> None:
        ehr = serve(DAY, refuse=jsonio.dumps({"last_updated": "oracle", "date": "ignored"}).decode())
        lines = {p.what.split()[1]: p for p in await ehr.adapter().probe() if p.what.startswith("feed")}
        assert list(lines) == list(FEEDS)
        assert all(line.ok for line in lines.values())
        assert "refused (HTTP 400)" in lines["last_updated"].detail
        assert "not heeded" in lines["date"].detail
        assert lines["bulk"].detail.startswith("chosen: is offered")
        assert lines["appointments"].detail.startswith("not used: finds encounters")
        noted = {feed for feed, line in lines.items() if line.remedy}
        assert noted == {"last_updated", "date"}, "what does not work is no `works`"

    async def test_without_any_rung_the_check_fails_with_a_remedy(self, serve: Any) -> None:
        ehr = serve(DAY, refuse=jsonio.dumps(dict.fromkeys(FEEDS, "forbidden")).decode())
        lines = [p for p in await ehr.adapter().probe() if p.what.startswith("feed")]
        assert len(lines) == 4 and not any(line.ok for line in lines) and all(line.remedy for line in lines)


class TestListing:
    @pytest.mark.parametrize("feed", [*FEEDS, "auto"])
    async def test_signed_encounters_since_a_day_are_listed_with_their_dates(self, serve: Any, feed: str) -> None:
        ehr = serve([*DAY, *visit(3, 40), *visit(4, 90)])
        ehr.sign("e0", "e2", "e3", "e4")
        since = (NOW - timedelta(days=50)).date()
        found = await listed(ehr.adapter(feed=feed), since)
        assert {ref.encounter_id for ref, _ in found} == {"e0", "e2", "e3"}
        assert all(ref.serviced and ref.serviced >= since for ref, _ in found)

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_encounters_without_an_end_are_listed_once(self, serve: Any, feed: str) -> None:
        started = [{"start": (NOW - timedelta(days=20 * n, hours=1)).isoformat(timespec="seconds")} for n in range(4)]
        ehr = serve([resource for n in range(4) for resource in visit(n, 0, period=started[n])])
        ehr.sign(*(f"e{n}" for n in range(4)))
        found = await listed(ehr.adapter(feed=feed), NOW.date() - timedelta(days=90))
        assert sorted(ref.encounter_id for ref, _ in found) == ["e0", "e1", "e2", "e3"]

    async def test_an_export_is_preferred_and_deleted_at_the_end(self, serve: Any) -> None:
        ehr = serve(DAY)
        ehr.sign("e0")
        assert ids(await listed(ehr.adapter(), NOW.date() - timedelta(days=1))) == {"e0"}
        assert ehr.calls("DELETE Export") == 2, "the trial's and the listing's"

    @pytest.mark.parametrize("feed", FEEDS)
    async def test_from_each_position_nothing_is_missed(self, serve: Any, feed: str) -> None:
        ehr = serve([resource for number in range(12) for resource in visit(number, number * 5)])
        ehr.sign(*(f"e{number}" for number in range(12)))
        since = (NOW - timedelta(days=70)).date()
        adapter = ehr.adapter(feed=feed)
        found = await listed(adapter, since)
        for taken in (1, 6, len(found)):
            before = {ref.encounter_id for ref, _ in found[:taken]}
            rest = await listed(adapter, since, found[taken - 1][1])
            assert before | ids(rest) == ids(found)


async def listed(adapter: Any, since: Any, position: str | None = None) -> list[tuple[EncounterRef, str]]:
    while True:
        try:
            return [pair async for pair in adapter.backfill(since, position)]
        except RateLimited as wait:
            assert wait.retry_after is not None and wait.retry_after < 1
