"""Event subscriptions and the FHIR side (sections 12 and 13), delivered to a real server."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from adapters.ehr.athenahealth.simulator import events
from gateway.canonical import jsonio
from gateway.kit.simulator_signing import WebhookSender

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"


@dataclass
class Hook:
    """What arrived; `answer` is the status that it is told."""

    url: str = ""
    answer: int = 202
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    hang: threading.Event | None = None

    @property
    def ids(self) -> list[str]:
        return [jsonio.loads(body)["entry"][1]["resource"]["id"] for _, body in self.received]


@pytest.fixture
def hook() -> Iterator[Hook]:
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if found.hang is not None:
                found.hang.wait(5)
            self.send_response(found.answer)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()


def wanted(client: Any, hook: Hook, topic: str = "Encounter.signoff", practice: str = "195900") -> dict[str, Any]:
    base = str(client.http.base_url).rstrip("/")
    filters = f"ah-practice=Organization/a-1.Practice-{practice}"
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "criteria": f"{base}/fhir/r4/SubscriptionTopic/{topic}",
        "_criteria": {"extension": [{"url": f"{BACKPORT}/backport-filter-criteria", "valueString": filters}]},
        "channel": {"type": "rest-hook", "endpoint": hook.url, "payload": "application/fhir+json"},
    }


def create(client: Any, body: dict[str, Any]) -> Any:
    return client.call("POST", "/fhir/r4/Subscription", json=body, headers={"X-Hub-Secret": "hush"})


def settled(client: Any, hook: Hook, count: int) -> None:
    """Deliver what is due until so much has arrived."""
    for _ in range(100):
        client.act("deliver")
        if len(hook.received) >= count:
            return
    raise AssertionError(f"{len(hook.received)} of {count} arrived")


class TestPaceOfTheVendor:
    """Waits as long as the vendor's; the clock is put ahead."""

    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    def test_a_signoff_is_delivered_signed_with_fresh_counters(self, client: Any, hook: Hook) -> None:
        assert create(client, wanted(client, hook)).status_code == 201
        client.act("sign", encounter_ids=["62014", "62001"])
        settled(client, hook, 2)
        for headers, body in hook.received:
            digest = hmac.new(b"hush", body, hashlib.sha256).hexdigest()
            assert headers["x-hub-signature"] == f"sha256={digest}"
            status = jsonio.loads(body)["entry"][0]["resource"]
            assert status["eventsSinceSubscriptionStart"] == "1"
            assert status["notificationEvent"][0]["id"] in hook.ids
        signed = client.http.get("/_sim/ledger").json()["signed"]
        assert all(row["notified_at"] for row in signed)

    def test_it_is_repeated_for_an_hour_and_then_kept_seven_days(self, client: Any, hook: Hook) -> None:
        hook.answer = 500
        create(client, wanted(client, hook))
        client.act("sign", encounter_ids=["62014"])
        settled(client, hook, 1)
        for _ in range(12):
            assert client.act("deliver")["dead"] == 0
            client.act("advance", seconds=601)
        assert client.act("deliver")["dead"] == 1
        assert len(set(hook.ids)) == 1
        hook.answer, before = 202, len(hook.received)
        assert client.act("replay") == {"replayed": 1}
        settled(client, hook, before + 1)
        assert client.act("deliver") == {"attempted": 0, "waiting": 0, "dead": 0}

    def test_a_dead_letter_of_more_than_seven_days_is_gone(self, client: Any, hook: Hook) -> None:
        hook.answer = 500
        create(client, wanted(client, hook))
        client.act("sign", encounter_ids=["62014"])
        for _ in range(14):
            client.act("deliver")
            client.act("advance", seconds=601)
        client.act("advance", seconds=7 * 86400)
        assert client.act("replay") == {"replayed": 0}


def test_an_answer_that_takes_too_long_is_none(client: Any, hook: Hook) -> None:
    """Two seconds at the vendor; a tenth here."""
    assert events.DELIVERY_SECONDS == 2.0
    client.app.events._sender = WebhookSender(0.1)
    hook.hang = threading.Event()
    create(client, wanted(client, hook))
    client.act("sign", encounter_ids=["62014"])
    settled(client, hook, 1)
    assert client.http.get("/_sim/ledger").json()["signed"][0]["delivered_at"] is None
    hook.hang.set()
    client.act("advance", seconds=60)
    settled(client, hook, 2)
    assert len(set(hook.ids)) == 1


def test_a_duplicate_carries_the_same_event(client: Any, hook: Hook) -> None:
    create(client, wanted(client, hook))
    client.act("sign", encounter_ids=["62014"])
    settled(client, hook, 1)
    assert client.act("duplicate", encounter_id="62014")["subscriptions"] == 1
    settled(client, hook, 2)
    assert len(set(hook.ids)) == 1


def test_a_reopening_is_an_event_of_its_own_topic(client: Any, hook: Hook) -> None:
    create(client, wanted(client, hook, "Encounter.reopen"))
    client.act("sign", encounter_ids=["62014"])
    client.act("amend", encounter_id="62014")
    settled(client, hook, 1)
    assert jsonio.loads(hook.received[0][1])["entry"][1]["resource"]["type"]["code"] == "Encounter.reopen"


def test_there_is_one_per_topic_and_it_must_name_the_practice(client: Any, hook: Hook) -> None:
    assert create(client, wanted(client, hook)).status_code == 201
    assert create(client, wanted(client, hook)).status_code == 422
    assert create(client, wanted(client, hook, "Encounter.reopen", practice="1")).status_code == 422
    assert create(client, wanted(client, hook, "Encounter.nothing")).status_code == 422
    bare = wanted(client, hook, "Encounter.reopen")
    bare["channel"]["type"] = "email"
    assert create(client, bare).status_code == 422


def test_it_can_be_listed_and_deleted_and_ends_by_itself(client: Any, hook: Hook) -> None:
    held = create(client, {**wanted(client, hook), "end": "2099-01-01T00:00:00Z"}).json()
    assert client.call("GET", "/fhir/r4/Subscription").json()["total"] == 1
    assert client.call("DELETE", f"/fhir/r4/Subscription/{held['id']}").status_code == 204
    assert client.call("DELETE", f"/fhir/r4/Subscription/{held['id']}").status_code == 404
    create(client, {**wanted(client, hook), "end": "2020-01-01T00:00:00Z"})
    assert client.call("GET", "/fhir/r4/Subscription").json()["total"] == 0
    topics = client.call("GET", "/fhir/r4/SubscriptionTopic").json()
    assert any(e["resource"]["url"].endswith("/Encounter.signoff") for e in topics["entry"])


class TestFhir:
    PRACTICE = "Organization/a-1.Practice-195900"

    def search(self, client: Any, name: str, **params: Any) -> Any:
        return client.call(
            "GET", f"/fhir/r4/{name}", params={k.replace("_practice", "-practice"): v for k, v in params.items()}
        )

    @pytest.mark.parametrize("practice", [None, "Organization/a-1.Practice-1"])
    def test_a_wrong_practice_is_told_inside_a_200(self, client: Any, practice: str | None) -> None:
        params = {"ah_practice": practice} if practice else {}
        answer = self.search(client, "Condition", encounter="Encounter/a-195900.encounter-62001", **params)
        assert answer.status_code == 200
        (entry,) = answer.json()["entry"]
        assert (entry["resource"]["resourceType"], entry["search"]["mode"]) == ("OperationOutcome", "outcome")

    @pytest.mark.parametrize("name", ["Condition", "Encounter"])
    def test_a_search_must_name_something(self, client: Any, name: str) -> None:
        assert self.search(client, name, ah_practice=self.PRACTICE).status_code == 400

    def test_pages_follow_an_opaque_cursor(self, client: Any) -> None:
        client.app.practice.conditions["62001"] = [{"resourceType": "Condition", "id": f"c{i}"} for i in range(12)]
        encounter = "Encounter/a-195900.encounter-62001"
        first = self.search(client, "Condition", encounter=encounter, ah_practice=self.PRACTICE).json()
        (link,) = first["link"]
        second = client.http.get(link["url"], headers={"Authorization": f"Bearer {client.token}"}).json()
        assert (len(first["entry"]), len(second["entry"]), second["link"]) == (10, 2, [])

    def test_an_encounter_has_no_period_of_its_own(self, client: Any) -> None:
        found = self.search(client, "Encounter", _id="a-195900.encounter-62001", ah_practice=self.PRACTICE).json()
        (entry,) = found["entry"]
        assert "period" not in entry["resource"] and entry["resource"]["status"] == "arrived"

    def test_metadata_needs_no_token_and_offers_no_claim(self, client: Any) -> None:
        statement = client.http.get("/fhir/r4/metadata").json()
        assert "Claim" not in [r["type"] for r in statement["rest"][0]["resource"]]
