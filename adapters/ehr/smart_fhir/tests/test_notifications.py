"""Notifications in every form that an R4 server sends, genuine and forged."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical import jsonio
from gateway.canonical.errors import NotificationMalformed, NotificationRejected
from gateway.canonical.models import Notification, NotificationRequest

SECRET = "hook-secret"


def request(body: Any = b"", *, method: str = "POST", path: str = "", **headers: str) -> NotificationRequest:
    raw = body if isinstance(body, bytes) else jsonio.dumps(body)
    return NotificationRequest(method, path, headers, {}, raw, "192.0.2.7")


def encounter(version: str | None = "3") -> dict[str, Any]:
    meta = {"meta": {"versionId": version, "lastUpdated": "2026-03-04T03:10:00Z"}} if version else {}
    return {"resourceType": "Encounter", "id": "enc-1", "status": "finished", **meta}


def event(number: int, focus: str | None = "Encounter/enc-1") -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"name": "event-number", "valueString": str(number)}]
    if focus:
        parts.append({"name": "focus", "valueReference": {"reference": focus}})
    return {"name": "notification-event", "part": parts}


def backport(kind: str, *events: dict[str, Any], resources: tuple[Any, ...] = (), status: str = "active") -> Any:
    parameters = [
        {"name": "subscription", "valueReference": {"reference": "https://ehr.example.test/fhir/Subscription/s1"}},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
        *events,
    ]
    entries = [{"resource": {"resourceType": "Parameters", "parameter": parameters}}]
    return {"resourceType": "Bundle", "type": "history", "entry": [*entries, *({"resource": r} for r in resources)]}


def keys(notification: Notification) -> list[str]:
    return [ref.dedupe_key for ref in notification.refs]


class TestVerify:
    def test_the_bearer_secret(self, offline: Any) -> None:
        offline.verify_notification(request(authorization=f"Bearer {SECRET}"))
        offline.verify_notification(request(authorization=f"bearer {SECRET}"))

    @pytest.mark.parametrize(
        "given", ["", "Bearer", "Bearer hook-secreT", "Bearer hook-secret2", f"Basic {SECRET}", SECRET, "Bearer \udcff"]
    )
    def test_anything_else_is_refused(self, offline: Any, given: str) -> None:
        with pytest.raises(NotificationRejected):
            offline.verify_notification(request(authorization=given))

    def test_without_a_configured_secret_everything_is_refused(self, context: Any, credentials: Any) -> None:
        for signature in ("none", "hmac_sha256"):
            adapter = _open(context, credentials, webhook_secret="", webhook_signature=signature)
            empty = hmac.new(b"", b"", hashlib.sha256).hexdigest()
            for headers in ({"authorization": "Bearer "}, {"x-signature": empty}):
                with pytest.raises(NotificationRejected):
                    adapter.verify_notification(replace(request(), headers=headers))

    def test_the_signature_covers_the_raw_body(self, context: Any, credentials: Any) -> None:
        adapter = _open(context, credentials, webhook_secret=SECRET, webhook_signature="hmac_sha256")
        signature = hmac.new(SECRET.encode(), b'{"a":1}', hashlib.sha256).hexdigest()
        for sent in (signature, signature.upper(), f"sha256={signature}"):
            adapter.verify_notification(replace(request(b'{"a":1}'), headers={"x-signature": sent}))
        for body, sent in ((b'{"a":2}', signature), (b'{"a":1}', signature[:-1]), (b'{"a":1}', "")):
            with pytest.raises(NotificationRejected):
                adapter.verify_notification(replace(request(body), headers={"x-signature": sent}))

    def test_the_secret_alone_does_not_pass_where_a_signature_is_asked(self, context: Any, credentials: Any) -> None:
        adapter = _open(context, credentials, webhook_secret=SECRET, webhook_signature="hmac_sha256")
        with pytest.raises(NotificationRejected):
            adapter.verify_notification(request(authorization=f"Bearer {SECRET}"))


def _open(context: Any, credentials: Any, **more: str) -> Any:
    chosen = ADAPTER.settings(
        base_url="https://ehr.example.test/fhir",
        client_id="c",
        private_key=credentials["private_jwk"],
        algorithm="ES384",
        **more,
    )
    return ADAPTER.open(chosen, context)


class TestForms:
    def test_an_empty_post_asks_for_a_poll(self, offline: Any) -> None:
        assert offline.parse_notification(request()) == Notification(poll=True)

    def test_a_put_with_the_resource(self, offline: Any) -> None:
        found = offline.parse_notification(request(encounter(), method="PUT", path="Encounter/enc-1"))
        assert keys(found) == ["Encounter/enc-1@3"]
        assert found.refs[0].last_updated == datetime(2026, 3, 4, 3, 10, tzinfo=UTC)

    def test_a_put_without_a_body_still_names_the_encounter(self, offline: Any) -> None:
        found = offline.parse_notification(request(method="PUT", path="Encounter/enc-1"))
        assert [r.encounter_id for r in found.refs] == ["enc-1"]

    def test_a_second_change_without_a_body_is_not_taken_for_the_first(self, offline: Any) -> None:
        told = [keys(offline.parse_notification(request(method="PUT", path="Encounter/enc-1"))) for _ in range(2)]
        assert told[0] != told[1]

    def test_one_change_has_one_key_however_it_arrives(self, offline: Any) -> None:
        ways = [
            request(encounter(), method="PUT", path="Encounter/enc-1"),
            request(encounter()),
            request({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": encounter()}]}),
            request(backport("event-notification", event(7), resources=(encounter(),))),
            request(backport("event-notification", event(8, "Encounter/enc-1/_history/3"))),
        ]
        assert {tuple(keys(offline.parse_notification(way))) for way in ways} == {("Encounter/enc-1@3",)}

    def test_without_a_version_the_instant_or_the_content_tells(self, offline: Any) -> None:
        dated = encounter()
        del dated["meta"]["versionId"]
        assert keys(offline.parse_notification(request(dated))) == ["Encounter/enc-1@2026-03-04T03:10:00+00:00"]
        bare = [offline.parse_notification(request(e)) for e in (encounter(None), {**encounter(None), "status": "x"})]
        assert keys(bare[0]) != keys(bare[1])

    @pytest.mark.parametrize("kind", ["handshake", "heartbeat", "query-status"])
    def test_no_work_for_a_sign_of_life(self, offline: Any, kind: str) -> None:
        found = offline.parse_notification(request(backport(kind)))
        assert (found.refs, found.poll) == ((), False)

    def test_a_subscription_in_error_asks_for_a_poll(self, offline: Any) -> None:
        assert offline.parse_notification(request(backport("heartbeat", status="error"))).poll

    def test_events_with_ids_only_are_taken_in_number_order(self, offline: Any) -> None:
        body = backport(
            "event-notification",
            event(12, "Encounter/enc-12"),
            event(9, "https://ehr.example.test/fhir/Encounter/enc-9"),
            event(10, "Patient/p"),
        )
        found = offline.parse_notification(request(body))
        assert keys(found) == ["Encounter/enc-9@s1#9", "Encounter/enc-12@s1#12"]
        assert not found.poll

    def test_events_without_focus_ask_for_a_poll(self, offline: Any) -> None:
        found = offline.parse_notification(request(backport("event-notification", event(4, None))))
        assert (found.refs, found.poll) == ((), True)

    def test_an_r5_status_is_understood_too(self, offline: Any) -> None:
        status = {
            "resourceType": "SubscriptionStatus",
            "status": "active",
            "type": "event-notification",
            "subscription": {"reference": "Subscription/s1"},
            "notificationEvent": [{"eventNumber": 2, "focus": {"reference": "Encounter/enc-1"}}],
        }
        body = {"resourceType": "Bundle", "type": "subscription-notification", "entry": [{"resource": status}]}
        assert keys(offline.parse_notification(request(body))) == ["Encounter/enc-1@s1#2"]

    def test_other_resources_and_deletions_give_nothing(self, offline: Any) -> None:
        assert offline.parse_notification(request({"resourceType": "Patient", "id": "p"})) == Notification()
        deletion = request(method="DELETE", path="Encounter/enc-1")
        assert offline.parse_notification(deletion) == Notification()


class TestMalformed:
    @pytest.mark.parametrize(
        ("body", "named"),
        [
            (b"<html>", "not JSON"),
            (b"[1]", "not a FHIR resource"),
            ({"id": "enc-1"}, "resourceType"),
            ({"resourceType": "Encounter"}, "Encounter.id"),
            ({"resourceType": "Encounter", "id": "../../etc"}, "Encounter.id"),
            ({"resourceType": "Encounter", "id": 5}, "Encounter.id"),
            ({"resourceType": "Bundle", "type": "history", "entry": {}}, "Bundle.entry"),
            ({"resourceType": "Bundle", "type": "history"}, "Bundle.entry[0].resource"),
            (backport("event-notification", event(1, "Encounter/a b")), "notification-event.focus"),
            (backport("event-notification", {"name": "notification-event"}), "parameter[3]"),
        ],
    )
    def test_the_element_is_named(self, offline: Any, body: Any, named: str) -> None:
        with pytest.raises(NotificationMalformed) as raised:
            offline.parse_notification(request(body))
        assert named in str(raised.value)

    def test_address_and_body_must_agree(self, offline: Any) -> None:
        with pytest.raises(NotificationMalformed):
            offline.parse_notification(request(encounter(), method="PUT", path="Encounter/enc-2"))

    def test_an_address_out_of_the_tree_is_refused(self, offline: Any) -> None:
        with pytest.raises(NotificationMalformed):
            offline.parse_notification(request(method="PUT", path="Encounter/../Patient/p"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["resourceType", "id", "entry", "resource", "parameter", "name", "part", "meta", "type"]),
            inner
            | st.sampled_from(["Bundle", "Parameters", "Encounter", "history", "type", "notification-event", "focus"]),
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(body=JSON.map(jsonio.dumps) | st.binary(max_size=60), path=st.sampled_from(["", "Encounter/enc-1", "x"]))
@settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_body_is_understood_or_malformed(offline: Any, body: bytes, path: str) -> None:
    try:
        found = offline.parse_notification(request(body, path=path))
    except NotificationMalformed as problem:
        assert str(problem)
    else:
        assert isinstance(found, Notification)
