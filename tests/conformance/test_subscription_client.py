"""The rules of FHIR notifications that bind the gateway as a subscriber, each with the test named after it.

Rows are those of the project's digest of R4 Subscription and of the Subscriptions R5 Backport 1.1.0, by section and
number within the section's tables (S6_3 is the third row of section 6); `subscriptions_r4_client_*` are the rows of
Inferno's client suite (subscriptions-test-kit 0.12.1). A test below checks that this table and the tests agree.

| row | rule |
|---|---|
| S1_1 | a notification without a payload is an empty POST: the receiver looks for changes itself |
| S1_2 | a payload comes as an update below the endpoint: PUT {endpoint}/Encounter/{id} |
| S1_3 | in practice also POST with a bare resource, POST with a Bundle, empty POST |
| S1_4 | 2xx acknowledges; a criteria Subscription has no handshake, no numbers, no heartbeat |
| S2_1 | meta.profile names the Backport profile |
| S2_2 | criteria is the topic's canonical URL |
| S2_3 | filters are in the sibling _criteria |
| S2_4 | channel.type is rest-hook |
| S2_6 | channel.payload is a MIME type |
| S2_7 | the content level is in the sibling _payload |
| S2_8 | heartbeats are asked for in channel.extension; without it there are none |
| S4_1 | a notification is a Bundle of type history |
| S4_4 | its first entry is the status |
| S4_6 | further entries may hold the focus, or only name it |
| S4_8 | subscription is a reference, absolute or relative |
| S4_9 | topic may be absent |
| S4_10 | status is that of the moment of sending |
| S4_11 | type decides what the notification means |
| S4_12 | events-since-subscription-start is decimal text |
| S4_13 | any number of notification-events |
| S4_14 | event-number is decimal text and required |
| S4_15 | timestamp may be absent |
| S4_16 | focus may be absent |
| S4_17 | additional-context is not relied on |
| S4_18 | error does not hide the events |
| S4_19 | a handshake is acknowledged and is no work |
| S4_20 | a heartbeat is acknowledged and is no work |
| S4_21 | an event-notification is work |
| S4_22 | query-status answers $status |
| S4_23 | query-event answers $events |
| S4_24 | empty: the receiver queries |
| S4_25 | id-only: the focus alone is enough |
| S4_26 | full-resource: the version that was sent tells changes apart |
| S6_1 | a gap is given a grace time, then exactly what is missing is fetched, or polled for |
| S6_2 | doubled and reordered notifications change nothing |
| S6_3 | without heartbeats for too long the EHR is asked; what is broken is recovered and revived |
| S6_4 | a counter that goes down: the subscription was made anew, everything is polled |
| S6_5 | status error in any notification: a gap is suspected |
| S6_6 | empty: a search, and everything once |
| S6_7 | several events in one bundle are taken in number order, and acknowledged when all are stored |
| S6_8 | forged notifications are refused, and empty ones cause no storm of queries |
| S6_9 | an unknown subscription is answered 404, and that is audited |
| S6_10 | stored first, acknowledged then, worked on later |
| S7_1 | the secret comes in channel.header, as a bearer token |
| S7_5 | an HMAC over the body, where the vendor has one |
| subscriptions_r4_client_interaction | a Subscription, its handshake, its event, $status |
| subscriptions_r4_client_subscription_verification | the Subscription is valid, without cross-version extensions |
| subscriptions_r4_client_handshake_notification_verification | the handshake is answered 2xx |
| subscriptions_r4_client_event_notification_verification | the event is answered 2xx |
| subscriptions_r4_client_notification_input_verification | the tester's own bundles are understood |
| subscriptions_r4_client_payload_verification | and each content level for what it is |
| subscriptions_r4_client_processing_attestation | the event was processed |

Not the subscriber's: S2_5 (a custom channel is never asked for), S2_9 and S2_10 (time-out and bundle size are left to
the server), S4_2, S4_3, S4_5, S4_7 (what a sender puts into a bundle and the gateway does not read), S7_2, S7_3, S7_4,
S7_6 (other ways of authorization, which the gateway does not offer).
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fhirkit
import pytest

from gateway.canonical import jsonio
from gateway.canonical.models import NotificationRequest
from gateway.canonical.subscription import NoticeKind, SubscriptionStatus
from gateway.kit.ehr_notifications import parse_notification, verify_hmac
from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.ehr_subscribe import subscription_for
from gateway.pipeline.subscription_rules import ASK_EVERY, GRACE, HEARTBEAT_MARGIN

SB = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
TOPIC = "https://ehr.example.test/topics/encounter-signed"
HOOK = "https://gw.example.test/hooks/clinic-a/ehr"
FIXTURES = Path(__file__).parents[3] / "shared" / "fixtures" / "fhir" / "subscriptions"
SECTIONS = {"S1": 4, "S2": 10, "S4": 26, "S6": 10, "S7": 6}


def test_the_table_and_the_tests_agree() -> None:
    text = __doc__ or ""
    listed = re.findall(r"^\| (S\d+_\d+|subscriptions_r4_client_\w+) \|", text, re.MULTILINE)
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    untested = [row for row in listed if not any(name.startswith(f"{row.lower()}_") or name == row for name in tests)]
    assert untested == []
    rows = [row.lower() for row in listed]
    assert [n for n in tests if re.match(r"s\d", n) and "_".join(n.split("_")[:2]) not in rows] == []
    others = re.findall(r"S\d+_\d+", text.partition("Not the subscriber's")[2])
    every = {f"{section}_{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)}
    assert {row for row in listed if row.startswith("S")} | set(others) == every


# A notification, and what is understood of it


def event(number: int, focus: str | None = "Encounter/e1", **parts: dict[str, Any]) -> dict[str, Any]:
    part: list[dict[str, Any]] = [{"name": "event-number", "valueString": str(number)}]
    part += [{"name": "focus", "valueReference": {"reference": focus}}] if focus else []
    part += [{"name": name.replace("_", "-"), **value} for name, value in parts.items()]
    return {"name": "notification-event", "part": part}


def bundle(
    kind: str,
    *events: dict[str, Any],
    subscription: str = "https://ehr.example.test/fhir/Subscription/s1",
    status: str = "active",
    total: int | None = None,
    entries: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    parameters = [
        {"name": "subscription", "valueReference": {"reference": subscription}},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
        *([] if total is None else [{"name": "events-since-subscription-start", "valueString": str(total)}]),
        *events,
    ]
    first = {
        "fullUrl": "urn:uuid:7bd91d26-c951-4520-9ac6-67f41bfbe897",
        "resource": {"resourceType": "Parameters", "parameter": parameters},
        "request": {"method": "GET", "url": f"{subscription}/$status"},
        "response": {"status": "200"},
    }
    return {"resourceType": "Bundle", "type": "history", "entry": [first, *entries]}


def parsed(body: Any, method: str = "POST", path: str = "") -> Any:
    raw = body if isinstance(body, bytes) else jsonio.dumps(body)
    return parse_notification(NotificationRequest(method, path, {}, {}, raw, "192.0.2.7"))


def ids(notification: Any) -> list[str]:
    return [ref.encounter_id for ref in notification.refs]


def asked(style: str = "backport", **more: Any) -> dict[str, Any]:
    settings = SmartSettings(
        base_url="https://ehr.example.test/fhir",
        client_id="c",
        private_key="k",
        webhook_secret="s3cr3t",
        subscription=style,
        subscription_topic=TOPIC,
        **more,
    )
    return subscription_for(settings, HOOK, datetime(2026, 3, 5, tzinfo=UTC))


async def test_s1_1_an_empty_post_is_followed_by_a_search(events: Any) -> None:
    async with events("r4") as house:
        house.sign("e1")
        assert await house.send(b"") == 202
        await house.run("poll")
        assert await house.inbox() == ["e1"]


async def test_s1_2_a_resource_put_below_the_endpoint_is_kept(events: Any) -> None:
    async with events("r4") as house:
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        assert (await house.query("select count(*) from inbox"))[0] == (1,)


def test_s1_3_a_bare_resource_a_bundle_and_nothing_are_understood() -> None:
    encounter = {"resourceType": "Encounter", "id": "e1", "meta": {"versionId": "2"}}
    collection = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": encounter}]}
    assert ids(parsed(encounter)) == ids(parsed(collection)) == ["e1"]
    assert parsed(b"").poll


async def test_s1_4_a_criteria_subscription_is_taken_as_active_without_numbers(events: Any) -> None:
    async with events("r4") as house:
        row = await house.subscribed()
        assert (row.status, row.counts, row.heartbeat_seconds) == (SubscriptionStatus.ACTIVE, False, None)
        assert await house.send({"resourceType": "Patient", "id": "p1"}) == 202


def test_s2_1_the_profile_is_named() -> None:
    assert asked()["meta"] == {"profile": [f"{SB}/backport-subscription"]}


def test_s2_2_the_criteria_are_the_topic() -> None:
    assert asked()["criteria"] == TOPIC
    assert asked("r4")["criteria"] == "Encounter?status=finished,entered-in-error"


def test_s2_3_the_filter_is_in_the_sibling_of_the_criteria() -> None:
    (extension,) = asked()["_criteria"]["extension"]
    filter_ = "Encounter?status=finished,entered-in-error"
    assert extension == {"url": f"{SB}/backport-filter-criteria", "valueString": filter_}


def test_s2_4_the_channel_is_a_rest_hook() -> None:
    assert (asked()["channel"]["type"], asked()["channel"]["endpoint"]) == ("rest-hook", HOOK)


def test_s2_6_the_payload_is_fhir_json() -> None:
    assert asked()["channel"]["payload"] == "application/fhir+json"


def test_s2_7_only_ids_are_asked_for() -> None:
    (extension,) = asked()["channel"]["_payload"]["extension"]
    assert extension == {"url": f"{SB}/backport-payload-content", "valueCode": "id-only"}


async def test_s2_8_heartbeats_are_asked_for_unless_they_are_refused_or_unwanted(events: Any) -> None:
    (extension,) = asked()["channel"]["extension"]
    assert extension == {"url": f"{SB}/backport-heartbeat-period", "valueUnsignedInt": 60}
    assert "extension" not in asked(heartbeat_seconds=0)["channel"]
    async with events() as house:
        house.disturb(heartbeats=False)
        assert (await house.subscribed()).heartbeat_seconds is None


def test_s4_1_a_history_bundle_is_a_notification_and_one_of_another_type_still_names_encounters() -> None:
    assert ids(parsed(bundle("event-notification", event(1)))) == ["e1"]
    assert ids(parsed({**bundle("event-notification", event(1)), "type": "collection"})) == ["e1"]


async def test_s4_4_a_history_bundle_without_a_status_is_malformed(events: Any) -> None:
    async with events() as house:
        headless = bundle("event-notification", event(1))
        headless["entry"] = [{"fullUrl": "urn:uuid:0", "request": {"method": "GET", "url": "Encounter/e1"}}]
        assert await house.send(headless) == 400


def test_s4_6_entries_that_only_name_the_focus_add_nothing_to_it() -> None:
    named = {
        "fullUrl": "https://ehr.example.test/fhir/Encounter/e1",
        "request": {"method": "PUT", "url": "Encounter/e1"},
    }
    assert ids(parsed(bundle("event-notification", event(1), entries=(named,)))) == ["e1"]


@pytest.mark.parametrize("reference", ["https://ehr.example.test/fhir/Subscription/s1", "Subscription/s1"])
def test_s4_8_the_subscription_is_known_by_any_form_of_reference(reference: str) -> None:
    assert parsed(bundle("heartbeat", subscription=reference)).subscription.id == "s1"


def test_s4_9_a_topic_is_not_needed() -> None:
    with_topic = bundle("event-notification", {"name": "topic", "valueCanonical": TOPIC}, event(1))
    assert parsed(with_topic).refs == parsed(bundle("event-notification", event(1))).refs


@pytest.mark.parametrize("status", list(SubscriptionStatus))
def test_s4_10_the_status_is_taken_from_the_notification(status: SubscriptionStatus) -> None:
    assert parsed(bundle("heartbeat", status=status.value)).subscription.status is status


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_s4_11_each_type_is_known(kind: NoticeKind) -> None:
    assert parsed(bundle(kind.value)).subscription.kind is kind


@pytest.mark.parametrize(("told", "total"), [("12", 12), ("0", 0), ("many", None), ("1" * 30, None), ("-1", None)])
def test_s4_12_the_total_is_read_from_text_and_not_believed_when_it_is_none(told: str, total: int | None) -> None:
    said = {"name": "events-since-subscription-start", "valueString": told}
    assert parsed(bundle("heartbeat", said)).subscription.total == total


def test_s4_13_several_events_are_several_encounters() -> None:
    found = parsed(bundle("event-notification", event(2, "Encounter/e2"), event(1)))
    assert (ids(found), found.subscription.numbers) == (["e1", "e2"], (1, 2))


@pytest.mark.parametrize("number", ["", "one", "-1", "1" * 19])
async def test_s4_14_an_event_without_a_number_is_malformed(events: Any, number: str) -> None:
    wrong = event(1)
    wrong["part"][0]["valueString"] = number
    async with events() as house:
        assert await house.send(bundle("event-notification", wrong)) == 400


def test_s4_15_an_event_without_a_timestamp_is_an_event() -> None:
    plain, timed = event(1), event(1, timestamp={"valueInstant": "2026-03-05T09:00:00Z"})
    keys = [parsed(bundle("event-notification", e)).refs[0].dedupe_key for e in (plain, timed)]
    assert keys == ["Encounter/e1@s1#1", "Encounter/e1@s1#1/2026-03-05T09:00:00Z"]


def test_s4_16_without_a_focus_there_is_nothing_but_a_poll() -> None:
    found = parsed(bundle("event-notification", event(1, None)))
    assert (found.refs, found.poll, found.subscription.numbers) == ((), True, (1,))


def test_s4_17_additional_context_is_no_focus() -> None:
    context = event(1, None, additional_context={"valueReference": {"reference": "Encounter/e7"}})
    assert ids(parsed(bundle("event-notification", context))) == []


def test_s4_18_an_error_beside_the_events_does_not_hide_them_and_asks_for_a_poll() -> None:
    code = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscription-error", "code": "no-response"}]}
    failing = {"name": "error", "valueCodeableConcept": code}
    found = parsed(bundle("event-notification", event(1), failing, status="error"))
    assert (ids(found), found.poll) == (["e1"], True)


async def test_s4_19_a_handshake_is_acknowledged_and_starts_the_count(events: Any) -> None:
    async with events() as house:
        assert await house.send(bundle("handshake", status="requested", total=3)) == 202
        (row,) = await house.rows()
        assert (row.last_number, row.missing, await house.inbox()) == (3, (), [])


async def test_s4_20_a_heartbeat_is_acknowledged_and_shows_that_the_server_lives(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        assert await house.send(bundle("heartbeat", total=0, subscription=f"Subscription/{row.id}")) == 202
        (beaten,) = await house.rows()
        assert row.heard_at < beaten.heard_at
        assert await house.inbox() == []


async def test_s4_21_an_event_is_work(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")


async def test_s4_22_the_status_tells_how_many_events_there_were(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.sign("e1", "e2")
        await house.number(2)
        told = await house.adapter.subscription_status(row.id)
        assert (told.status, told.total, told.counts) == (SubscriptionStatus.ACTIVE, 2, True)


async def test_s4_23_missed_events_are_given_by_number(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.sign("e1", "e2", "e3")
        await house.number(3)
        found = await house.adapter.missed_events(row.id, 2, 3)
        assert (ids(found), found.subscription.numbers) == (["e2", "e3"], (2, 3))


async def test_s4_24_an_empty_notification_is_followed_by_a_query(events: Any) -> None:
    async with events() as house:
        await house.send(bundle("event-notification", event(1, None)))
        house.sign("e4")
        await house.run("poll")
        assert await house.inbox() == ["e4"]


def test_s4_25_ids_are_enough() -> None:
    assert ids(parsed(bundle("event-notification", event(1, "https://ehr.example.test/fhir/Encounter/e9")))) == ["e9"]


def test_s4_26_a_resource_that_was_sent_tells_its_version() -> None:
    sent = {"resource": {"resourceType": "Encounter", "id": "e1", "meta": {"versionId": "4"}}}
    (ref,) = parsed(bundle("event-notification", event(1), entries=(sent,))).refs
    assert ref.dedupe_key == "Encounter/e1@4"


# Gaps, heartbeats, errors


async def test_s6_1_a_gap_is_fetched_by_its_numbers_after_a_grace_time(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.disturb(drop=2)
        house.sign("e1", "e2", "e3")
        await house.number(3)
        assert (await house.rows())[0].missing == (range(1, 3),)
        await house.care()
        assert await house.inbox() == ["e3"], "the grace time is not over"
        house.ahead += GRACE
        await house.care()
        assert await house.inbox() == ["e1", "e2", "e3"]
        assert (await house.rows())[0].missing == ()
        assert "events-recovered" in await house.steps()
        assert not await house.poll_due()


async def test_s6_1_what_comes_within_the_grace_time_is_no_gap(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.disturb(swap=1)
        house.sign("e1", "e2")
        await house.received("e1", "e2")
        (row,) = await house.rows()
        assert (row.last_number, row.missing, row.gap_since) == (2, (), None)


async def test_s6_1_a_lost_last_event_shows_in_the_next_heartbeat(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.disturb(drop=1)
        house.sign("e1")
        await house.number(1)
        assert (await house.rows())[0].missing == (range(1, 2),)


@pytest.mark.parametrize("broken", [{"operations": False}, {"kept_events": 1}, {"kept_events": 2}])
async def test_s6_1_what_the_server_cannot_give_is_polled_for(events: Any, broken: dict[str, Any]) -> None:
    async with events() as house:
        await house.subscribed()
        house.disturb(drop=2)
        house.sign("e1", "e2", "e3")
        await house.number(3)
        house.disturb(**broken)
        house.ahead += GRACE
        await house.care()
        assert await house.poll_due()
        await house.run("poll")
        assert await house.inbox() == ["e1", "e2", "e3"]
        assert (await house.rows())[0].missing == ()


async def test_s6_2_a_doubled_notification_is_one_encounter(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        before = len(await house.steps())
        house.duplicate("e1")

        async def told() -> bool:
            return (await house.steps())[before:].count("notification-received") > 2

        await house.until(told, "the second notification")
        assert await house.inbox() == ["e1"]
        assert await house.query("select count(*) from inbox") == [(1,)]


async def test_s6_2_an_old_total_alone_is_no_new_beginning(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.sign("e1", "e2")
        await house.number(2)
        await house.send(bundle("heartbeat", total=1, subscription=f"Subscription/{row.id}"))
        await house.care()
        (after,) = await house.rows()
        assert (after.last_number, after.doubted, await house.poll_due()) == (2, False, False)


async def test_s6_3_silence_is_asked_about_and_a_poll_looks_for_what_was_lost(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.disturb(silent=True)
        await house.care()
        assert not await house.poll_due()
        house.ahead += timedelta(seconds=row.heartbeat_seconds * 1.5) + HEARTBEAT_MARGIN + timedelta(seconds=1)
        await house.care()
        assert await house.poll_due()
        assert (await house.rows())[0].asked_at > datetime.now(UTC) + timedelta(seconds=60)


@pytest.mark.parametrize("status", ["error", "off"])
async def test_s6_3_a_broken_subscription_is_recovered_and_revived(events: Any, status: str) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.disturb(status=status)
        house.sign("e1")
        house.ahead += ASK_EVERY
        await house.care()
        await house.run("poll")
        assert await house.inbox() == ["e1"]
        await house.subscribed()
        house.sign("e2")
        await house.received("e1", "e2")
        assert [r.id for r in await house.rows()] == [row.id]


async def test_s6_3_a_subscription_that_is_gone_is_made_again(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.simulator.reset()
        house.ahead += ASK_EVERY
        await house.care()
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        assert len(await house.rows()) == 1


async def test_s6_4_a_counter_that_begins_anew_leads_to_a_poll(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.sign("e1", "e2")
        await house.number(2)
        house.disturb(restart=True)

        async def doubted() -> bool:
            return (await house.rows())[0].doubted

        await house.until(doubted, "a heartbeat with a lower total")
        await house.care()
        (row,) = await house.rows()
        assert (row.last_number, row.missing, row.doubted, await house.poll_due()) == (0, (), False, True)
        house.sign("e3")
        await house.number(1)
        assert (await house.rows())[0].missing == ()


@pytest.mark.parametrize("kind", ["heartbeat", "event-notification"])
async def test_s6_5_an_error_in_any_notification_is_looked_into(events: Any, kind: str) -> None:
    async with events() as house:
        row = await house.subscribed()
        what = (event(1),) if kind == "event-notification" else ()
        await house.send(bundle(kind, *what, status="error", subscription=f"Subscription/{row.id}"))
        assert await house.poll_due()
        due = "select run_at <= clock_timestamp() from job where kind = 'subscribe'"
        assert await house.query(due) == [(True,)]
        assert (await house.rows())[0].doubted


async def test_s6_6_what_an_empty_notification_finds_is_kept_once(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        for _ in range(2):
            await house.send(bundle("event-notification", event(2, None)))
            await house.run("poll")
        assert await house.inbox() == ["e1"]


async def test_s6_7_the_events_of_a_bundle_are_stored_in_number_order_or_not_at_all(events: Any) -> None:
    async with events() as house:
        several = bundle(
            "event-notification", event(3, "Encounter/e3"), event(1, "Encounter/e1"), event(2, "Encounter/e2")
        )
        assert ids(parsed(several)) == ["e1", "e2", "e3"]
        assert await house.send(several) == 202
        assert await house.inbox() == ["e1", "e2", "e3"]
        broken = bundle("event-notification", event(4, "Encounter/e4"), event(5, "Encounter/not an id"))
        assert await house.send(broken) == 400
        assert await house.inbox() == ["e1", "e2", "e3"]


async def test_s6_8_a_forged_notification_is_refused_and_leaves_only_its_audit(events: Any) -> None:
    async with events() as house:
        assert await house.send(bundle("event-notification", event(1)), token="guess") == 401
        assert (await house.inbox(), await house.rows(), await house.steps()) == ([], [], ["notification-rejected"])


async def test_s6_8_many_empty_notifications_are_one_poll(events: Any) -> None:
    async with events("r4") as house:
        await house.send(b"")
        assert await house.query("select count(*) from job") == [(1,)]
        await house.run("poll")
        for _ in range(5):
            assert await house.send(b"") == 202
        assert await house.query("select count(*) from job") == [(1,)]
        due = "select run_at > clock_timestamp() from job where kind = 'poll'"
        assert await house.query(due) == [(True,)], "the next one waits for its pause"


async def test_s6_9_an_unknown_subscription_is_404_and_audited(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        assert await house.send(bundle("event-notification", event(1))) == 404
        assert await house.inbox() == []
        refused = "select content from audit_event where step = 'notification-rejected'"
        ((content,),) = await house.query(refused)
        assert jsonio.loads(content)["outcomeDesc"] == "NotificationUnknown"


async def test_s6_10_what_is_acknowledged_is_stored_and_not_yet_worked_on(events: Any) -> None:
    async with events() as house:
        assert await house.send(bundle("event-notification", event(1))) == 202
        assert await house.query("select count(*) from inbox") == [(1,)]
        assert await house.query("select owner from job where kind = 'normalize'") == [(None,)]
        await house.store.close()
        assert await house.send(bundle("event-notification", event(2))) == 503


def test_s7_1_the_secret_is_a_header_of_the_channel() -> None:
    assert asked()["channel"]["header"] == ["Authorization: Bearer s3cr3t"]


def test_s7_5_a_signature_is_asked_for_and_checked_where_the_vendor_has_one() -> None:
    signed = asked("r4", webhook_signature="hmac_sha256")
    assert "header" not in signed["channel"]
    signature = hmac.new(b"s3cr3t", b"{}", hashlib.sha256).hexdigest()
    verify_hmac(NotificationRequest("POST", "", {"x-signature": signature}, {}, b"{}", ""), "s3cr3t")


# Inferno's client suite


async def test_subscriptions_r4_client_interaction(events: Any) -> None:
    async with events() as house:
        row = await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        assert (await house.adapter.subscription_status(row.id)).total == 1
        calls = house.simulator.ledger()["calls"]
        assert calls["POST Subscription"] == 1


@pytest.mark.parametrize("style", ["r4", "backport"])
def test_subscriptions_r4_client_subscription_verification(style: str) -> None:
    subscription = asked(style, subscription_days=30)
    assert [i.path for i in fhirkit.validate(jsonio.dumps(subscription)) if i.severity == "error"] == []
    assert subscription["status"] == "requested"
    assert subscription["end"] == "2026-04-04T00:00:00Z"
    assert "fhir/5.0/" not in jsonio.dumps(subscription).decode()


async def test_subscriptions_r4_client_handshake_notification_verification(events: Any) -> None:
    async with events() as house:
        for name in ("inferno-handshake_bundle_example", "backport-Bundle-r4-notification-handshake"):
            assert await house.send(fixture(name)) == 202


async def test_subscriptions_r4_client_event_notification_verification(events: Any) -> None:
    async with events() as house:
        for name in (
            "inferno-id_only_notification_bundle_example",
            "inferno-full_resource_notification_bundle_example",
        ):
            assert await house.send(fixture(name)) == 202


CONTENTS = {
    "backport-Bundle-r4-notification-empty": (0, True, NoticeKind.EVENT),
    "backport-Bundle-r4-notification-id-only": (1, False, NoticeKind.EVENT),
    "backport-Bundle-r4-notification-full-resource": (1, False, NoticeKind.EVENT),
    "backport-Bundle-r4-notification-multi-resource": (1, False, NoticeKind.EVENT),
    "backport-Bundle-r4-notification-heartbeat": (0, False, NoticeKind.HEARTBEAT),
    "backport-Bundle-r4-notification-handshake": (0, False, NoticeKind.HANDSHAKE),
    "backport-Bundle-r4-notification-error": (0, True, NoticeKind.STATUS),
}


def fixture(name: str) -> Any:
    path = FIXTURES / f"{name}.json"
    if not path.exists():
        pytest.skip("the public notification examples are not beside the checkout")
    return jsonio.loads(path.read_bytes())


@pytest.mark.shared
@pytest.mark.parametrize("name", CONTENTS)
def test_subscriptions_r4_client_notification_input_verification(name: str) -> None:
    assert parsed(fixture(name)).subscription.kind is CONTENTS[name][2]


@pytest.mark.shared
@pytest.mark.parametrize("name", CONTENTS)
def test_subscriptions_r4_client_payload_verification(name: str) -> None:
    found = parsed(fixture(name))
    assert (len(found.refs), found.poll) == CONTENTS[name][:2]


async def test_subscriptions_r4_client_processing_attestation(events: Any) -> None:
    async with events() as house:
        await house.subscribed()
        house.sign("e1")
        await house.received("e1")
        record = await house.adapter.fetch_encounter(copy.copy(parsed(bundle("event-notification", event(1))).refs[0]))
        assert record.encounter["status"] == "finished"
