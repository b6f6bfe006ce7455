"""Sign-off events: only genuine ones are believed, each names its encounter once, and the rest is passed over."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from adapters.ehr.athenahealth import notifications
from adapters.ehr.athenahealth.simulator.notification import Event, bundle
from gateway.canonical import jsonio
from gateway.canonical.errors import NotificationMalformed, NotificationRejected
from gateway.canonical.models import NotificationRequest
from gateway.canonical.subscription import NoticeKind

SECRET = "hook-secret"
NOW = datetime(2026, 3, 3, 15, 12, tzinfo=UTC)


def told(topic: str = "Encounter.signoff", practice: str = "195900", department: str = "162") -> dict[str, Any]:
    event = Event(topic, practice, "62014", "7965", department)
    return bundle(event, "a9c3784c", f"https://x.test/fhir/r4/SubscriptionTopic/{topic}", NOW)


def request(body: Any, signature: str | None = None) -> NotificationRequest:
    raw = body if isinstance(body, bytes) else jsonio.dumps(body)
    made = f"sha256={hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()}"
    headers = {"x-hub-signature": made if signature is None else signature}
    return NotificationRequest("POST", "", headers, {}, raw, "192.0.2.7")


class TestSignature:
    def test_case_and_blanks_do_not_matter(self) -> None:
        genuine = request(told())
        notifications.verify(
            request(told_bytes := genuine.body, f" {genuine.headers['x-hub-signature'].upper()} "), SECRET
        )
        assert told_bytes

    @pytest.mark.parametrize(
        "signature", ["", "sha256=", "sha256=00", "sha1=00", "deadbeef", "sha256=é", "=", "sha256"]
    )
    def test_anything_else_is_refused(self, signature: str) -> None:
        with pytest.raises(NotificationRejected):
            notifications.verify(request(told(), signature), SECRET)

    def test_a_signature_of_another_method_is_refused(self) -> None:
        genuine = request(told())
        with pytest.raises(NotificationRejected):
            notifications.verify(
                request(genuine.body, genuine.headers["x-hub-signature"].replace("sha256", "sha512")), SECRET
            )

    def test_without_a_secret_all_are_refused(self) -> None:
        raw = jsonio.dumps(told())
        empty = f"sha256={hmac.new(b'', raw, hashlib.sha256).hexdigest()}"
        with pytest.raises(NotificationRejected):
            notifications.verify(request(raw, empty), "")


class TestEvents:
    @pytest.mark.parametrize("topic", ["Encounter.signoff", "Encounter.reopen"])
    def test_a_signoff_and_a_reopening_name_the_encounter(self, topic: str) -> None:
        parsed = notifications.parse(request(told(topic)), "195900", ())
        (ref,) = parsed.refs
        assert ref.encounter_id == "62014"
        assert ref.last_updated == NOW
        assert parsed.subscription is not None
        assert (parsed.subscription.id, parsed.subscription.kind) == ("a9c3784c", NoticeKind.EVENT)

    def test_the_event_id_is_the_key(self) -> None:
        first, second = told(), told()
        keys = [notifications.parse(request(body), "195900", ()).refs[0].dedupe_key for body in (first, first, second)]
        assert keys[0] == keys[1] != keys[2]

    @pytest.mark.parametrize("topic", ["Encounter.check-in", "Claim.create", "Patient.update", "Order.create"])
    def test_other_topics_are_passed_over(self, topic: str) -> None:
        assert notifications.parse(request(told(topic)), "195900", ()).refs == ()

    def test_the_topic_of_the_audit_event_counts_before_that_of_the_status(self) -> None:
        body = told("Order.create")
        body["entry"][0]["resource"]["topic"] = "https://x.test/fhir/r4/SubscriptionTopic/Encounter.signoff"
        assert notifications.parse(request(body), "195900", ()).refs == ()

    def test_events_of_another_practice_are_passed_over(self) -> None:
        assert notifications.parse(request(told(practice="1959001")), "195900", ()).refs == ()

    def test_only_followed_departments_count(self) -> None:
        assert notifications.parse(request(told()), "195900", ("7",)).refs == ()
        assert len(notifications.parse(request(told()), "195900", ("162",)).refs) == 1

    def test_an_event_that_does_not_name_its_department_is_followed(self) -> None:
        body = told()
        del body["entry"][1]["resource"]["extension"]
        assert len(notifications.parse(request(body), "195900", ("7",)).refs) == 1

    def test_the_identifier_stands_in_for_a_missing_reference(self) -> None:
        body = told()
        del body["entry"][0]["resource"]["notificationEvent"][0]["focus"]["reference"]
        assert notifications.parse(request(body), "195900", ()).refs[0].encounter_id == "62014"

    @pytest.mark.parametrize(
        "focus", [{}, {"reference": "Encounter/62014"}, {"identifier": {"system": "urn:x"}}], ids=str
    )
    def test_a_focus_that_names_nothing_is_malformed(self, focus: dict[str, Any]) -> None:
        body = told()
        body["entry"][0]["resource"]["notificationEvent"][0]["focus"] = focus
        with pytest.raises(NotificationMalformed):
            notifications.parse(request(body), "195900", ())

    def test_a_bundle_without_a_status_is_malformed(self) -> None:
        with pytest.raises(NotificationMalformed):
            notifications.parse(request({"resourceType": "Bundle", "entry": []}), "195900", ())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@tries(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON, st.sampled_from(["entry", "type", "timestamp"]), st.integers(0, 1), JSON)
def test_any_body_is_parsed_or_malformed(body: Any, member: str, at: int, value: Any) -> None:
    changed = told()
    changed[member] = value
    other = told()
    other["entry"][at]["resource"] = body
    for candidate in (body, changed, other):
        try:
            refs = notifications.parse(request(candidate), "195900", ()).refs
        except NotificationMalformed:
            continue
        assert len(refs) <= 1
