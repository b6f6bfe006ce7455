"""Both subscription styles against a small receiver: what is sent, in which order, how often."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.canonical import jsonio
from gateway.kit.simulator_http import Message, Receive, Send

SB = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
TOPIC = "https://ehr.example.test/topics/encounter-signed"


@dataclass
class Receiver:
    """A subscriber that keeps what it gets; `refuse` is how many deliveries it answers with 503 first."""

    refuse: int = 0
    received: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.times.append(time.time())
        body = (await receive()).get("body", b"")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status = 503 if self.refuse else 200
        self.refuse = max(self.refuse - 1, 0)
        async with self.arrived:
            self.received.append((scope["method"], scope["path"], headers, body))
            self.arrived.notify_all()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def wait(self, count: int) -> list[tuple[str, str, dict[str, str], bytes]]:
        async with asyncio.timeout(5), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)
        return self.received


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for an asynchronous condition to become true."""
    async with asyncio.timeout(5):
        while not (found := await condition()):
            await asyncio.sleep(0.002)
    return found


def r4(endpoint: str, **channel: Any) -> dict[str, Any]:
    """An R4 core Subscription on signed encounters."""
    hook = {"type": "rest-hook", "endpoint": endpoint, "header": ["Authorization: Bearer hook-1"], **channel}
    criteria = "Encounter?status=finished"
    return {"resourceType": "Subscription", "status": "requested", "reason": "t", "criteria": criteria, "channel": hook}


def backport(endpoint: str, content: str, **channel: Any) -> dict[str, Any]:
    """A Backport Subscription on the topic."""
    level = {"url": f"{SB}/backport-payload-content", "valueCode": content}
    hook = {"payload": "application/fhir+json", "_payload": {"extension": [level]}, **channel}
    return {**r4(endpoint, **hook), "criteria": TOPIC}


@pytest.fixture
def subscribed(sandbox: Any, serve: Any) -> Any:
    """A simulator, a receiver, and the id of an accepted subscription."""

    @contextlib.asynccontextmanager
    async def run(make: Callable[[str], Any], refuse: int = 0) -> AsyncIterator[tuple[Any, Receiver, str]]:
        receiver = Receiver(refuse=refuse)
        async with sandbox() as sim, serve(lambda url: receiver) as hook:
            created = await sim.post("Subscription", make(f"{hook}/hook"))
            assert created.status_code == 201, created.text
            assert created.json()["status"] == "requested"
            assert created.headers["location"].startswith(f"{sim.base}/Subscription/")
            yield sim, receiver, created.json()["id"]

    return run


async def status_is(sim: Any, subscription: str, status: str) -> Any:
    """Wait until the subscription has a status, and return it."""

    async def reached() -> Any:
        resource = (await sim.get(f"Subscription/{subscription}")).json()
        return resource if resource["status"] == status else None

    return await until(reached)


async def test_r4_without_payload_posts_an_empty_body(subscribed: Any) -> None:
    async with subscribed(r4) as (sim, receiver, subscription):
        await status_is(sim, subscription, "active")
        started = time.time()
        await sim.control("sign", encounter_ids=["e1"])
        method, path, headers, body = (await receiver.wait(1))[0]
        assert (method, path, body, headers["authorization"]) == ("POST", "/hook", b"", "Bearer hook-1")
        signing = (await until(lambda: _delivered(sim)))[0]
        assert started <= signing["notified_at"] <= signing["delivered_at"]
        assert signing["attempts"] == 1


async def _delivered(sim: Any) -> Any:
    signed = (await sim.ledger())["signed"]
    return signed if all(row["delivered_at"] for row in signed) else None


async def test_r4_with_payload_puts_the_resource_below_the_endpoint_in_order(subscribed: Any) -> None:
    async with subscribed(lambda url: r4(url, payload="application/fhir+json")) as (sim, receiver, _):
        await sim.control("sign", all=True)
        got = await receiver.wait(5)
        assert [(method, path) for method, path, _, _ in got] == [("PUT", f"/hook/Encounter/e{n}") for n in range(5)]
        assert jsonio.loads(got[0][3])["status"] == "finished"
        assert got[0][2]["content-type"] == "application/fhir+json"
        await sim.control("duplicate", encounter_id="e2")
        assert (await receiver.wait(6))[5][1:] == got[2][1:]


async def test_r4_criteria_and_medplum_secret(visit: Any, subscribed: Any) -> None:
    secret = {"url": "https://www.medplum.com/fhir/StructureDefinition/subscription-secret", "valueString": "s3cr3t"}
    make = lambda url: {**r4(url, payload="application/fhir+json"), "extension": [secret]}  # noqa: E731
    async with subscribed(make) as (sim, receiver, _):
        await sim.control("data", resources=visit(8, status="cancelled"))
        await sim.control("sign", encounter_ids=["e8", "e1"])
        method, path, headers, body = (await receiver.wait(1))[0]
        assert (method, path, jsonio.loads(body)["id"]) == ("POST", "/hook", "e1")
        assert headers["x-signature"] == hmac.new(b"s3cr3t", body, hashlib.sha256).hexdigest()


async def test_a_delivery_is_tried_again_and_a_lost_one_is_recorded(subscribed: Any) -> None:
    async with subscribed(r4, refuse=3) as (sim, receiver, subscription):
        await sim.control("sign", encounter_ids=["e1"])
        await receiver.wait(4)
        signing = (await until(lambda: _delivered(sim)))[0]
        assert signing["attempts"] == 4
        assert signing["notified_at"] <= receiver.times[0] < receiver.times[3] <= signing["delivered_at"]
        receiver.refuse = 7
        await sim.control("sign", encounter_ids=["e2", "e3"])
        await receiver.wait(12)
        rows = (await sim.ledger())["signed"]
        assert (rows[1]["attempts"], rows[1]["delivered_at"]) == (7, None)
        assert (await status_is(sim, subscription, "active"))["error"] == "error-response"


def status_of(bundle: Any) -> dict[str, Any]:
    """The parameters of a notification's status resource by name."""
    assert bundle["type"] == "history"
    assert all("request" in entry and "response" in entry for entry in bundle["entry"])
    status = bundle["entry"][0]["resource"]
    return {parameter["name"]: parameter for parameter in status["parameter"]}


@pytest.mark.parametrize(("content", "entries"), [("empty", 1), ("id-only", 2), ("full-resource", 2)])
async def test_backport_handshake_then_events(subscribed: Any, content: str, entries: int) -> None:
    async with subscribed(lambda url: backport(url, content)) as (sim, receiver, subscription):
        handshake = (await receiver.wait(1))[0]
        status = status_of(jsonio.loads(handshake[3]))
        assert (status["type"]["valueCode"], status["status"]["valueCode"]) == ("handshake", "requested")
        assert status["events-since-subscription-start"]["valueString"] == "0"
        assert handshake[2]["authorization"] == "Bearer hook-1"
        await status_is(sim, subscription, "active")
        await sim.control("sign", encounter_ids=["e1", "e2"])
        event = jsonio.loads((await receiver.wait(3))[2][3])
        status = status_of(event)
        assert (status["type"]["valueCode"], status["status"]["valueCode"]) == ("event-notification", "active")
        assert status["subscription"]["valueReference"]["reference"] == f"{sim.base}/Subscription/{subscription}"
        parts = {part["name"]: part for part in status["notification-event"]["part"]}
        assert parts["event-number"]["valueString"] == "2"
        assert ("focus" in parts, "topic" in status) == (content != "empty", content != "empty")
        assert len(event["entry"]) == entries
        assert ("resource" in event["entry"][-1]) == (content != "id-only")
        await sim.control("duplicate", encounter_id="e2")
        repeated = status_of(jsonio.loads((await receiver.wait(4))[3][3]))
        assert repeated["notification-event"] == status["notification-event"]


async def test_backport_status_and_events_operations(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only")) as (sim, receiver, subscription):
        await sim.control("sign", all=True)
        await receiver.wait(6)
        found = (await sim.get(f"Subscription/{subscription}/$status")).json()
        parameters = {p["name"]: p for p in found["entry"][0]["resource"]["parameter"]}
        assert (found["type"], parameters["type"]["valueCode"]) == ("searchset", "query-status")
        assert parameters["events-since-subscription-start"]["valueString"] == "5"
        assert (await sim.get("Subscription/$status?status=off")).json()["total"] == 0
        missed = {"resourceType": "Parameters", "parameter": [{"name": "eventsSinceNumber", "valueString": "2"}]}
        missed["parameter"].append({"name": "eventsUntilNumber", "valueString": "3"})
        events = (await sim.post(f"Subscription/{subscription}/$events", missed)).json()
        numbers = [p["part"][0]["valueString"] for p in events["entry"][0]["resource"]["parameter"] if "part" in p]
        assert numbers == ["2", "3"]
        assert (await sim.get("Subscription/none/$status")).status_code == 404


async def test_backport_failed_handshake_and_new_request(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only"), refuse=7) as (sim, receiver, subscription):
        failed = await status_is(sim, subscription, "error")
        await sim.control("sign", encounter_ids=["e1"])
        body = jsonio.dumps({**failed, "status": "active"})
        again = await sim.http.put(f"{sim.base}/Subscription/{subscription}", content=body, headers=sim.headers())
        assert (again.status_code, again.json()["status"]) == (200, "requested")
        await status_is(sim, subscription, "active")
        handshake = status_of(jsonio.loads((await receiver.wait(8))[7][3]))
        assert handshake["events-since-subscription-start"]["valueString"] == "1"
        await sim.control("sign", encounter_ids=["e2"])
        event = status_of(jsonio.loads((await receiver.wait(9))[8][3]))
        assert event["notification-event"]["part"][0]["valueString"] == "2"


async def test_backport_heartbeats_when_asked(subscribed: Any) -> None:
    beat = {"extension": [{"url": f"{SB}/backport-heartbeat-period", "valueUnsignedInt": 5}]}
    async with subscribed(lambda url: backport(url, "empty", **beat)) as (_, receiver, _):
        got = await receiver.wait(3)
        kinds = [status_of(jsonio.loads(body))["type"]["valueCode"] for _, _, _, body in got[:3]]
        assert kinds == ["handshake", "heartbeat", "heartbeat"]


async def test_a_filter_limits_a_topic_subscription(subscribed: Any) -> None:
    def make(url: str) -> dict[str, Any]:
        only = {"url": f"{SB}/backport-filter-criteria", "valueString": "Encounter?patient=Patient/p2"}
        return {**backport(url, "id-only"), "_criteria": {"extension": [only]}}

    async with subscribed(make) as (sim, receiver, _):
        await sim.control("sign", encounter_ids=["e1", "e2"])
        event = jsonio.loads((await receiver.wait(2))[1][3])
        assert event["entry"][1]["fullUrl"] == f"{sim.base}/Encounter/e2"


async def test_off_and_deleted_subscriptions_are_silent(subscribed: Any) -> None:
    async with subscribed(r4) as (sim, receiver, subscription):
        resource = await status_is(sim, subscription, "active")
        url = f"{sim.base}/Subscription/{subscription}"
        off = await sim.http.put(url, content=jsonio.dumps({**resource, "status": "off"}), headers=sim.headers())
        assert off.json()["status"] == "off"
        await sim.control("sign", encounter_ids=["e1"])
        assert (await sim.http.delete(url, headers=sim.headers())).status_code == 204
        assert (await sim.get(f"Subscription/{subscription}")).status_code == 410
        await sim.control("sign", encounter_ids=["e2"])
        assert receiver.received == []


def kinds(received: list[tuple[str, str, dict[str, str], bytes]]) -> list[str]:
    return [status_of(jsonio.loads(body))["type"]["valueCode"] for _, _, _, body in received]


def numbers(received: list[tuple[str, str, dict[str, str], bytes]]) -> list[str]:
    statuses = (jsonio.loads(body)["entry"][0]["resource"] for _, _, _, body in received)
    return [p["part"][0]["valueString"] for status in statuses for p in status["parameter"] if "part" in p]


async def test_a_subscription_is_off_at_its_end(subscribed: Any) -> None:
    end = (datetime.now(UTC) + timedelta(seconds=0.3)).isoformat()
    async with subscribed(lambda url: {**backport(url, "id-only"), "end": end}) as (sim, receiver, subscription):
        await receiver.wait(1)
        await status_is(sim, subscription, "off")
        await sim.control("sign", encounter_ids=["e1"])
        assert kinds(receiver.received) == ["handshake"]


async def test_dropped_deliveries_are_counted_and_can_be_asked_for(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only")) as (sim, receiver, subscription):
        await status_is(sim, subscription, "active")
        await sim.control("subscriptions", drop=2)
        await sim.control("sign", encounter_ids=["e1", "e2", "e3"])
        assert numbers(await receiver.wait(2)) == ["3"]
        missed = (await sim.get(f"Subscription/{subscription}/$events?eventsSinceNumber=1&eventsUntilNumber=2")).json()
        assert len(missed["entry"]) == 3
        await sim.control("subscriptions", kept_events=2)
        missed = (await sim.get(f"Subscription/{subscription}/$events")).json()
        assert [e["fullUrl"].rpartition("/")[2] for e in missed["entry"][1:]] == ["e2", "e3"]


async def test_swapped_deliveries_come_after_the_next_one(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only")) as (sim, receiver, subscription):
        await status_is(sim, subscription, "active")
        await sim.control("subscriptions", swap=1)
        await sim.control("sign", encounter_ids=["e1", "e2", "e3"])
        assert numbers(await receiver.wait(4)) == ["2", "1", "3"]


async def test_a_silent_server_sends_no_heartbeats_until_it_speaks_again(subscribed: Any) -> None:
    beat = {"extension": [{"url": f"{SB}/backport-heartbeat-period", "valueUnsignedInt": 5}]}
    async with subscribed(lambda url: backport(url, "id-only", **beat)) as (sim, receiver, subscription):
        await sim.control("subscriptions", silent=True)
        await status_is(sim, subscription, "active")
        await sim.control("sign", encounter_ids=["e1"])

        async def event_arrived() -> bool:
            return "event-notification" in kinds(receiver.received)

        await until(event_arrived)
        assert kinds(receiver.received)[-1] == "event-notification"
        await sim.control("subscriptions", silent=False)
        await receiver.wait(len(receiver.received) + 1)
        assert kinds(receiver.received)[-1] == "heartbeat"


async def test_a_counter_can_begin_anew(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only")) as (sim, receiver, _subscription):
        await sim.control("sign", encounter_ids=["e1", "e2"])
        await receiver.wait(3)
        await sim.control("subscriptions", restart=True)
        await sim.control("sign", encounter_ids=["e3"])
        assert numbers(await receiver.wait(4)) == ["1", "2", "1"]


async def test_an_administrator_may_end_all_subscriptions_and_take_the_operations_away(subscribed: Any) -> None:
    async with subscribed(lambda url: backport(url, "id-only")) as (sim, _receiver, subscription):
        await status_is(sim, subscription, "active")
        assert (await sim.control("subscriptions", status="error"))["subscriptions"] == {subscription: "error"}
        await sim.control("subscriptions", operations=False, heartbeats=False)
        assert (await sim.get(f"Subscription/{subscription}/$status")).status_code == 404
        beat = {"extension": [{"url": f"{SB}/backport-heartbeat-period", "valueUnsignedInt": 5}]}
        refused = await sim.post("Subscription", backport("http://127.0.0.1:9/hook", "id-only", **beat))
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (400, "not-supported")


async def test_an_unknown_disturbance_is_refused(sandbox: Any) -> None:
    async with sandbox() as sim:
        assert (await sim.http.post(f"{sim.url}/_sim/subscriptions", json={"lose": 1})).status_code == 400


HOOK = "http://127.0.0.1:9/hook"


@pytest.mark.parametrize(
    "bad",
    [
        {**r4(HOOK), "criteria": "Patient?"},
        {**r4(HOOK), "criteria": "Encounter?colour=red"},
        {name: value for name, value in r4(HOOK).items() if name != "reason"},
        r4("mailto:someone"),
        r4(HOOK, type="websocket"),
        r4(HOOK, payload="application/foo"),
        r4(HOOK, header=["no colon"]),
        {**backport(HOOK, "id-only"), "criteria": "https://ehr.example.test/topics/other"},
        backport(HOOK, "everything"),
        backport(HOOK, "empty", payload="application/fhir+json; fhirVersion=5.0"),
        {**backport(HOOK, "empty"), "_criteria": {"extension": [{"url": "http://hl7.org/fhir/5.0/x"}]}},
    ],
)
async def test_a_subscription_that_will_not_be_honoured_is_refused(sandbox: Any, bad: dict[str, Any]) -> None:
    async with sandbox(topics=TOPIC) as sim:
        answer = await sim.post("Subscription", bad)
        assert (answer.status_code, answer.json()["resourceType"]) == (422, "OperationOutcome")
        assert (await sim.get("Subscription")).json()["total"] == 0


async def test_a_subscription_needs_the_scope_to_write(sandbox: Any) -> None:
    async with sandbox() as sim:
        await sim.login("system/*.rs")
        assert (await sim.post("Subscription", r4(HOOK))).status_code == 403
