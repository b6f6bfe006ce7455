"""News of encounters by subscription and poll: lost, late, doubled or out of order, each comes in once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.canonical import jsonio
from gateway.canonical.audit_event import AuditEvent, Step
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import NotificationUnknown, UnsupportedOperation, VendorUnavailable
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest
from gateway.canonical.subscription import NoticeKind, Subscribed, SubscriptionNotice, SubscriptionStatus
from gateway.feed_status import feed_status, push_state
from gateway.kit.ehr_adapter import EhrBase
from gateway.pipeline.context import Pipeline, RetryPolicy
from gateway.pipeline.jobs import run_job
from gateway.pipeline.poll import SAFETY_NET_SECONDS
from gateway.pipeline.receive import poll_job, receive, subscribe_job
from gateway.pipeline.subscription_rules import ADOPTED_PATIENCE, ASK_EVERY, GRACE
from gateway.ports.records import SubscriptionRow
from gateway.store.postgres import PostgresStore
from gateway.store.queue import WorkerSession

CLINIC = "clinic-a"


@dataclass
class Server(EhrBase):
    """An EHR that numbers its events; event n is about encounter e<n>. A test delivers what it likes of them."""

    vendor = "fake"
    total: int = 0
    kept: int = 1000
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE
    can_renew: bool = True
    life: timedelta | None = None
    failure: Exception | None = None
    off: bool = False
    made: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    polled: int = 0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    while_polling: Callable[[], Any] | None = None

    @property
    def id(self) -> str:
        return f"s{len(self.made)}"

    def verify_notification(self, request: NotificationRequest) -> None:
        """Everything is genuine."""

    def parse_notification(self, request: NotificationRequest) -> Notification:
        if not request.body:
            return Notification(poll=True)
        told = jsonio.loads(request.body)
        numbers = tuple(told["numbers"])
        notice = SubscriptionNotice(told["id"], NoticeKind(told["kind"]), self.status, told["total"], numbers)
        return Notification(tuple(map(ref, numbers)), subscription=notice)

    async def changed_encounters(self, cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        self.polled += 1
        if self.while_polling:
            await self.while_polling()
        for number in range(int(cursor or 0) + 1, self.total + 1):
            yield ref(number), str(number)

    async def subscribe(self, endpoint: str) -> tuple[Subscribed, ...]:
        if self.failure:
            raise self.failure
        if self.off:
            raise UnsupportedOperation("fake", "subscribe", "switched off")
        if self.status is not SubscriptionStatus.ACTIVE or self.made[-1:] != [endpoint]:
            self.made.append(endpoint)
            self.status = SubscriptionStatus.ACTIVE
        return (self._told(),)

    async def renew(self, subscription: str, endpoint: str) -> Subscribed:
        if not self.can_renew:
            return await super().renew(subscription, endpoint)
        self.status = SubscriptionStatus.ACTIVE
        return self._told()

    async def unsubscribe(self, subscription: str) -> None:
        self.ended.append(subscription)

    async def subscription_status(self, subscription: str) -> Subscribed:
        return self._told()

    async def missed_events(self, subscription: str, since: int, until: int) -> Notification:
        self.asked.append((since, until))
        numbers = tuple(n for n in range(since, until + 1) if n > self.total - self.kept)
        notice = SubscriptionNotice(subscription, NoticeKind.MISSED, self.status, self.total, numbers)
        return Notification(tuple(map(ref, numbers)), subscription=notice)

    def _told(self) -> Subscribed:
        ends_at = self.clock() + self.life if self.life else None
        return Subscribed(self.id, "signed", self.status, ends_at, 60.0, counts=True, total=self.total)


def ref(number: int) -> EncounterRef:
    return EncounterRef(f"e{number}", f"e{number}@1")


@dataclass
class Feed:
    """A gateway's receiving side over one such EHR; its own `Connections`."""

    store: PostgresStore
    session: WorkerSession
    clinic: ClinicFacts
    server: Server = field(default_factory=Server)
    public_url: str = "https://gw.example.test"
    ahead: timedelta = timedelta()
    pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        self.server.clock = self.now
        retry = RetryPolicy(base_seconds=0.01)
        self.pipeline = Pipeline(self.store, {CLINIC: self.clinic}, self, retry, self.now)  # type: ignore[arg-type]

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def ehr(self, clinic_id: str, connection: str) -> Server:
        return self.server

    def hook_url(self, clinic_id: str, connection: str) -> str:
        return f"{self.public_url}/hooks/{clinic_id}/{connection}" if self.public_url else ""

    def poll_seconds(self, clinic_id: str, connection: str) -> float:
        return 30.0

    async def deliver(
        self, *numbers: int, subscription: str = "", kind: NoticeKind = NoticeKind.EVENT, total: int | None = None
    ) -> None:
        """A bundle with these events arrives."""
        told = {"id": subscription or self.server.id, "kind": kind.value, "numbers": list(numbers), "total": total}
        await self._receive(jsonio.dumps(told))

    async def hint(self) -> None:
        """A notification that names nothing arrives."""
        await self._receive(b"")

    async def _receive(self, body: bytes) -> None:
        await receive(self.pipeline, CLINIC, "ehr", NotificationRequest("POST", "", {}, {}, body, "192.0.2.7"))

    async def care(self) -> None:
        await self.store.ensure_job(CLINIC, subscribe_job("ehr"))
        await self.run("subscribe")

    async def poll(self) -> None:
        await self.store.ensure_job(CLINIC, poll_job("ehr"))
        await self.run("poll")

    async def run(self, kind: str) -> None:
        """Run the waiting job of a kind, and no other."""
        due = "case when kind = $1 then clock_timestamp() else clock_timestamp() + interval '1 hour' end"
        async with self.store.acquire() as connection:
            await connection.execute(f"update job set run_at = {due} where owner is null", kind)
        for job in await self.session.claim(10):
            await run_job(self.pipeline, job, None)
            self.session.release(job)

    async def recover(self) -> None:
        """What happens by itself within a quarter of an hour."""
        self.ahead += ASK_EVERY
        await self.care()
        self.ahead += GRACE
        await self.care()
        if await self.one("select count(*) from feed_cursor where poll_asked"):
            await self.poll()

    def ehr_connections(self) -> list[tuple[str, str]]:
        return [(CLINIC, "ehr"), ("another-clinic", "ehr")]

    async def fail(self) -> None:
        raise VendorUnavailable("fake", "search", "HTTP 503")

    async def row(self) -> SubscriptionRow:
        (row,) = await self.store.subscriptions(CLINIC, "ehr")
        return row

    async def one(self, query: str) -> Any:
        async with self.store.acquire() as connection:
            return await connection.fetchval(query)

    async def next_run(self, kind: str) -> float:
        """In how many seconds a job of a kind is due."""
        query = f"select extract(epoch from run_at - clock_timestamp())::float8 from job where kind = '{kind}'"
        return float(await self.one(query))

    async def inbox(self) -> list[str]:
        """Each notice that was kept, and each job that waits for it."""
        async with self.store.acquire() as connection:
            kept = await connection.fetch("select encounter_id from inbox order by 1")
            jobs = await connection.fetch("select ordering_key from job where kind = 'normalize' order by 1")
        assert [row[0] for row in kept] == [row[0] for row in jobs]
        return [row[0].removeprefix("ehr.") for row in kept]

    async def forget(self) -> None:
        """As on the first day."""
        async with self.store.acquire() as connection:
            await connection.execute("truncate inbox, encounter, job, ehr_subscription, feed_cursor")
        self.server = Server(clock=self.now)


@pytest.fixture
async def feed(store: PostgresStore, session: WorkerSession, clinic: ClinicFacts) -> Feed:
    return Feed(store, session, clinic)


@st.composite
def journeys(draw: st.DrawFn) -> tuple[int, list[list[int]], int]:
    """How many events there were, the bundles that arrived of them in any order, and how many the server still has."""
    total = draw(st.integers(0, 10))
    numbers = st.integers(1, max(total, 1))
    bundles = draw(st.lists(st.lists(numbers, min_size=1, max_size=4), max_size=8)) if total else []
    return total, bundles, draw(st.sampled_from([0, 2, 1000]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(journey=journeys())
async def test_whatever_is_lost_doubled_or_out_of_order_each_encounter_is_kept_once(
    feed: Feed, journey: tuple[int, list[list[int]], int]
) -> None:
    total, bundles, kept = journey
    await feed.forget()
    await feed.care()
    feed.server.total, feed.server.kept = total, kept
    for numbers in bundles:
        await feed.deliver(*numbers)
    await feed.recover()
    assert await feed.inbox() == sorted(f"e{number}" for number in range(1, total + 1))
    row = await feed.row()
    assert (row.last_number, row.missing, row.doubted) == (total, (), False)


async def test_bundles_that_come_at_the_same_moment_as_each_other_and_as_the_care_are_all_counted(feed: Feed) -> None:
    await feed.care()
    feed.server.total = 40
    bundles = [range(start, start + 3) for start in range(1, 40, 4)]
    numbers = {number for bundle in bundles for number in bundle}
    deliveries = [feed.deliver(*bundle) for bundle in (*bundles, *bundles)]
    await asyncio.gather(*deliveries, feed.care())
    row = await feed.row()
    assert {number for gap in row.missing for number in gap} == set(range(1, (row.last_number or 0) + 1)) - numbers
    assert await feed.inbox() == sorted(f"e{number}" for number in numbers)
    await feed.recover()
    assert await feed.inbox() == sorted(f"e{number}" for number in range(1, 41))


async def test_exactly_the_missing_ranges_are_asked_for(feed: Feed) -> None:
    await feed.care()
    feed.server.total = 9
    await feed.deliver(2)
    await feed.deliver(3)
    await feed.deliver(7, 9)
    feed.ahead += GRACE
    await feed.care()
    assert feed.server.asked == [(1, 1), (4, 6), (8, 8)]
    assert feed.server.polled == 0


async def test_a_very_long_gap_is_polled_for(feed: Feed) -> None:
    await feed.care()
    feed.server.total = 5000
    await feed.deliver(5000)
    feed.ahead += GRACE
    await feed.care()
    assert feed.server.asked == []
    assert await feed.one("select poll_asked from feed_cursor")


async def test_a_changed_address_subscribes_anew_and_ends_the_former_subscription(feed: Feed) -> None:
    await feed.care()
    feed.public_url = "https://other.example.test"
    await feed.care()
    assert (feed.server.made[-1], feed.server.ended) == ("https://other.example.test/hooks/clinic-a/ehr", ["s1"])
    assert (await feed.row()).id == "s2"
    with pytest.raises(NotificationUnknown):
        await feed.deliver(1, subscription="s1")


@pytest.mark.parametrize("can_renew", [True, False])
async def test_a_subscription_that_ends_is_renewed_in_time(feed: Feed, can_renew: bool) -> None:
    feed.server.life, feed.server.can_renew = timedelta(hours=1), can_renew
    await feed.care()
    ends_at = (await feed.row()).ends_at
    assert ends_at is not None
    assert await feed.next_run("subscribe") <= 48 * 60
    feed.ahead += timedelta(minutes=48)
    await feed.care()
    later = (await feed.row()).ends_at
    assert later is not None
    assert later > ends_at
    assert len(feed.server.made) == 1


async def test_a_start_subscribes_anew_and_leaves_one(feed: Feed) -> None:
    await feed.care()
    for _ in range(2):
        await feed.store.subscribe_anew(CLINIC, subscribe_job("ehr"))
        await feed.care()
    assert ((await feed.row()).id, feed.server.made) == ("s1", [feed.hook_url(CLINIC, "ehr")])


async def test_events_of_a_downtime_are_recovered_at_the_start(feed: Feed) -> None:
    await feed.care()
    feed.server.total = 2
    await feed.store.subscribe_anew(CLINIC, subscribe_job("ehr"))
    await feed.care()
    feed.ahead += GRACE
    await feed.care()
    assert (feed.server.asked, await feed.inbox()) == ([(1, 2)], ["e1", "e2"])


async def test_an_ehr_that_renews_under_another_id_leaves_one(feed: Feed) -> None:
    async def anew(subscription: str, endpoint: str) -> Subscribed:
        feed.server.status = SubscriptionStatus.ACTIVE
        return Subscribed("another")

    await feed.care()
    feed.server.status = SubscriptionStatus.OFF
    feed.server.renew = anew  # type: ignore[method-assign]
    feed.ahead += ASK_EVERY
    await feed.care()
    assert ((await feed.row()).id, feed.server.ended) == ("another", ["s1"])


async def test_an_ehr_with_nothing_to_subscribe_to_is_left_alone(feed: Feed) -> None:
    async def nothing(endpoint: str) -> tuple[Subscribed, ...]:
        return ()

    feed.server.subscribe = nothing  # type: ignore[method-assign]
    await feed.care()
    assert await feed.one("select count(*) from job") + await feed.one("select count(*) from ehr_subscription") == 0


@pytest.mark.parametrize("change", ["setting", "address"])
async def test_what_was_switched_off_is_ended_and_its_job_with_it(feed: Feed, change: str) -> None:
    await feed.care()
    if change == "setting":
        feed.server.off = True
    else:
        feed.public_url = ""
    await feed.store.subscribe_anew(CLINIC, subscribe_job("ehr"))
    await feed.care()
    assert feed.server.ended == ["s1"]
    assert await feed.one("select count(*) from job") + await feed.one("select count(*) from ehr_subscription") == 0


async def test_an_ehr_that_is_away_is_asked_again_later(feed: Feed) -> None:
    feed.server.failure = VendorUnavailable("fake", "subscribe", "HTTP 503")
    await feed.care()
    assert await feed.one("select last_error from job where kind = 'subscribe'") == "unavailable"
    feed.server.failure = None
    await feed.care()
    assert (await feed.row()).status is SubscriptionStatus.ACTIVE


async def test_a_handshake_before_the_answer_is_believed_and_a_foreign_one_dropped_later(feed: Feed) -> None:
    await feed.deliver(kind=NoticeKind.HANDSHAKE, subscription="s1", total=0)
    assert push_state(await feed.row(), feed.now()) == "heard of"
    await feed.care()
    assert (await feed.row()).endpoint
    await feed.deliver(kind=NoticeKind.HANDSHAKE, subscription="stranger", total=0)
    await feed.deliver(1, subscription="stranger")
    feed.ahead += ADOPTED_PATIENCE + timedelta(seconds=1)
    await feed.care()
    assert (feed.server.ended, (await feed.row()).id) == (["stranger"], "s1")


async def test_a_handshake_and_the_making_of_its_subscription_take_turns(feed: Feed) -> None:
    """Each reads what is known before it writes: the one that comes second must see what the first has written."""

    async def make() -> list[SubscriptionRow]:
        async with feed.store.unit_of_work(CLINIC) as second:
            return await second.subscriptions("ehr")

    async with feed.store.unit_of_work(CLINIC) as first:
        assert await first.subscriptions("ehr") == []
        making = asyncio.create_task(make())
        waiting, _ = await asyncio.wait({making}, timeout=0.1)
        assert not waiting
        await first.save_subscription(SubscriptionRow("ehr", "s1", feed.now()))
        await first.commit(AuditEvent(Step.NOTIFICATION_RECEIVED, feed.now(), CLINIC, ""))
    assert [row.id for row in await making] == ["s1"]


async def test_a_notice_of_trouble_brings_the_care_forward(feed: Feed) -> None:
    await feed.care()
    assert await feed.next_run("subscribe") > GRACE.total_seconds()
    await feed.deliver(3)
    assert await feed.next_run("subscribe") <= GRACE.total_seconds()


async def test_the_poll_runs_seldom_while_the_subscription_proves_that_nothing_is_lost(feed: Feed) -> None:
    await feed.poll()
    assert await feed.next_run("poll") <= 30
    await feed.care()
    await feed.poll()
    assert SAFETY_NET_SECONDS - 10 < await feed.next_run("poll") <= SAFETY_NET_SECONDS
    feed.ahead += timedelta(minutes=5)  # and no heartbeat
    await feed.care()
    assert await feed.next_run("poll") <= 30
    await feed.poll()
    assert await feed.next_run("poll") <= 30


async def test_a_poll_that_is_asked_for_while_one_runs_is_not_lost(feed: Feed) -> None:
    feed.server.while_polling = feed.hint
    await feed.poll()
    assert await feed.next_run("poll") <= 2
    feed.server.while_polling = None
    await feed.poll()
    assert await feed.next_run("poll") > 2


async def test_what_is_heard_between_asking_and_keeping_is_not_overwritten(feed: Feed) -> None:
    """The EHR tells a total, then an event arrives, then the total is kept."""
    await feed.care()
    feed.server.total = 1
    told = feed.server._told()

    async def slow(subscription: str) -> Subscribed:
        await feed.deliver(1, total=1)
        await feed.deliver(2, total=2)
        return told

    feed.server.subscription_status = slow  # type: ignore[method-assign]
    feed.ahead += ASK_EVERY
    await feed.care()
    row = await feed.row()
    assert (row.last_number, row.missing, row.doubted) == (2, (), False)
    assert not await feed.one("select poll_asked from feed_cursor")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "proven"),
        ({"heartbeat_seconds": None}, "active"),
        ({"counts": False}, "active"),
        ({"status": SubscriptionStatus.REQUESTED}, "no handshake yet"),
        ({"status": SubscriptionStatus.ERROR, "missing": (range(1, 2),)}, "error"),
        ({"missing": (range(1, 2),)}, "gap"),
        ({"doubted": True}, "doubted"),
        ({"heard_at": datetime(2026, 1, 1, tzinfo=UTC)}, "silent"),
        ({"endpoint": ""}, "heard of"),
    ],
)
async def test_the_state_that_is_shown(feed: Feed, change: dict[str, Any], state: str) -> None:
    await feed.care()
    assert push_state(replace(await feed.row(), **change), feed.now()) == state


async def test_one_subscription_for_each_topic(feed: Feed) -> None:
    signed, reopened = Subscribed("signed", "t1", counts=True, total=0), Subscribed("reopened", "t2")

    async def both(endpoint: str) -> tuple[Subscribed, ...]:
        return (signed, reopened)

    feed.server.subscribe = both  # type: ignore[method-assign]
    await feed.care()
    await feed.deliver(1, subscription="signed")
    await feed.deliver(1, subscription="reopened")
    await feed.deliver(1, subscription="reopened")  # this one counts anew in each bundle
    rows = {row.id: row for row in await feed.store.subscriptions(CLINIC, "ehr")}
    assert {row.topic for row in rows.values()} == {"t1", "t2"}
    assert [row.doubted for row in rows.values()] == [False, False]
    feed.public_url = "https://other.example.test"
    await feed.care()
    assert feed.server.ended == []


async def test_the_feeds_are_shown(feed: Feed) -> None:
    gateway: Any = SimpleNamespace(store=feed.store, pipeline=feed.pipeline, connections=feed)
    shown = await feed_status(gateway, CLINIC)
    assert [row["state"] for row in (*shown["push"], *shown["poll"])] == ["none", "off"]
    await feed.hint()
    shown = await feed_status(gateway, CLINIC)
    assert shown["push"][0]["state"] == "unmanaged"
    assert shown["push"][0]["heard_seconds"] < 60
    await feed.care()
    feed.server.total = 5
    await feed.deliver(2, 5)
    await feed.poll()
    (push,), (poll,) = (await feed_status(gateway, CLINIC)).values()
    assert {name: push[name] for name in ("connection", "subscription", "state", "last_number", "missing")} == {
        "connection": "ehr",
        "subscription": "s1",
        "state": "gap",
        "last_number": 5,
        "missing": 3,
    }
    assert (poll["state"], poll["last_error"]) == ("on", "")
    assert max(poll["cursor_seconds"], poll["polled_seconds"], push["gap_seconds"], push["heard_seconds"]) < 60
    feed.ahead += GRACE
    await feed.care()
    assert (await feed_status(gateway, CLINIC))["poll"][0]["state"] == "seldom"
    feed.server.while_polling = feed.fail
    await feed.poll()
    failing = (await feed_status(gateway, CLINIC))["poll"][0]
    assert (failing["state"], failing["last_error"]) == ("failing", "unavailable")


@pytest.mark.parametrize("at_once", [True, False])
async def test_late_doubled_and_out_of_order_events_end_in_one_claim(world: Any, at_once: bool) -> None:
    """Numbers and versions of one encounter as they come in; `at_once`: all of them before any work is done."""
    for number, version in ((2, 2), (1, 1), (2, 2), (4, 2), (3, 2), (1, 1)):
        notice = SubscriptionNotice("s1", NoticeKind.EVENT, SubscriptionStatus.ACTIVE, numbers=(number,))
        told = Notification((EncounterRef("e1", f"e1@{version}"),), subscription=notice)
        world.ehr_.parse_notification = lambda request, told=told: told
        await world.notify()
        if not at_once:
            await world.work()
    await world.work()
    await world.later()
    assert (world.billing_.sent, len(world.billing_.saved)) == (1, 1)
    assert await world.one("select count(*) from submission where state = 'received'") == 1
    assert await world.one("select count(*) from job") == 0


async def test_what_a_feed_tells_before_it_breaks_off_is_kept_with_its_cursor(world: Any) -> None:
    async def changed(cursor: str | None) -> AsyncIterator[tuple[EncounterRef, str]]:
        yield EncounterRef("e1", "e1@1"), "first"
        raise VendorUnavailable("fake", "search", "one appointment cannot be read")

    world.ehr_.changed_encounters = changed
    await world.store.ensure_job(CLINIC, poll_job("ehr"))
    await world.work()
    assert await world.one("select position from feed_cursor") == "first"
    assert await world.one("select last_error from job where kind = 'poll'") == "unavailable"
    await world.work()
    assert await world.one("select state from encounter") == "submitted"
