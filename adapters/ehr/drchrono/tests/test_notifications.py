"""DrChrono's webhooks: the secret as its own signature, the challenge, and which events name a visit."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from adapters.ehr.drchrono import ADAPTER, notifications
from adapters.ehr.drchrono.settings import DrChronoSettings
from adapters.ehr.drchrono.tests.practice_data import KEY, clinic_context, objects, webhook
from gateway.canonical import jsonio
from gateway.canonical.errors import NotificationMalformed, NotificationRejected
from gateway.canonical.models import NotificationRequest

NOTE = objects()["clinical_notes"][0]
LOCKED = {**objects()["appointments"][0], "clinical_note": {"locked": True, "updated_at": "2026-03-03T22:10:00"}}
LINE = objects()["line_items"][0]
CHALLENGE = NotificationRequest("GET", "", {}, {"msg": "abc"}, b"", "192.0.2.7")


def keys(adapter: Any, request: NotificationRequest) -> list[tuple[str, str]]:
    return [(ref.encounter_id, ref.dedupe_key) for ref in adapter.parse_notification(request).refs]


class TestVerifying:
    def test_the_secret_itself_is_the_signature(self, offline: Any) -> None:
        offline.verify_notification(webhook("PING", {}))

    @pytest.mark.parametrize("given", ["", "hook", "hook-secret-of-tests ", "HOOK-SECRET-OF-TESTS", "\udcff"])
    def test_anything_else_is_refused(self, offline: Any, given: str) -> None:
        with pytest.raises(NotificationRejected):
            offline.verify_notification(webhook("PING", {}, secret=given))

    def test_an_hmac_of_the_body_is_refused(self, offline: Any) -> None:
        request = webhook("PING", {})
        digest = hmac.new(b"hook-secret-of-tests", request.body, hashlib.sha256).hexdigest()
        with pytest.raises(NotificationRejected):
            offline.verify_notification(webhook("PING", {}, secret=digest))

    def test_without_tls_the_secret_proves_nothing(self, offline: Any) -> None:
        with pytest.raises(NotificationRejected, match="TLS"):
            offline.verify_notification(replace(webhook("PING", {}), secure=False))

    def test_without_a_configured_secret_all_are_refused(self) -> None:
        adapter = ADAPTER.open(ADAPTER.settings(client_id="c", client_secret="s"), clinic_context())
        with pytest.raises(NotificationRejected):
            adapter.verify_notification(webhook("PING", {}, secret=""))


class TestChallenge:
    def test_the_message_comes_back_as_its_hmac(self, offline: Any) -> None:
        wanted = hmac.new(b"hook-secret-of-tests", b"abc", hashlib.sha256).hexdigest()
        assert offline.answer_challenge(CHALLENGE) == {"secret_token": wanted}

    @pytest.mark.parametrize("message", ['{"resource": "bills"}', ' {"resourceType":"Bundle"}', "x" * 501])
    def test_what_could_be_an_event_of_another_hook_is_not_signed(self, offline: Any, message: str) -> None:
        with pytest.raises(NotificationRejected):
            offline.answer_challenge(replace(CHALLENGE, query={"msg": message}))

    def test_a_secret_that_could_be_guessed_is_refused(self) -> None:
        with pytest.raises(ValueError, match="16 characters"):
            DrChronoSettings(client_id="c", client_secret=SecretStr("s"), webhook_secret=SecretStr("drchrono"))

    @pytest.mark.parametrize("changed", [{"query": {}}, {"query": {"msg": ""}}, {"secure": False}])
    def test_without_a_message_or_without_tls_nothing_is_signed(self, offline: Any, changed: dict[str, Any]) -> None:
        with pytest.raises(NotificationRejected):
            offline.answer_challenge(replace(CHALLENGE, **changed))


class TestEvents:
    @pytest.mark.parametrize("event", ["CLINICAL_NOTE_LOCK", "CLINICAL_NOTE_UNLOCK"])
    def test_a_note_is_told_apart_by_its_time_or_else_by_its_delivery(self, offline: Any, event: str) -> None:
        timeless = {name: value for name, value in NOTE.items() if name != "updated_at"}
        assert keys(offline, webhook(event, NOTE)) == [(KEY, f"{KEY}/note@2026-03-03T21:30:00")]
        assert keys(offline, webhook(event, timeless)) == [
            (KEY, f"{KEY}/delivery/5b1e2f0a-0000-4000-8000-000000000001")
        ]

    def test_without_a_delivery_id_the_body_stands_for_it(self, offline: Any) -> None:
        timeless = {"appointment": KEY}
        request = webhook("CLINICAL_NOTE_LOCK", timeless)
        bare = replace(request, headers={k: v for k, v in request.headers.items() if "delivery" not in k})
        other = replace(bare, body=bare.body + b" ")
        assert keys(offline, bare) == keys(offline, bare) != keys(offline, other)

    def test_a_change_of_a_locked_visit_is_told_with_its_time(self, offline: Any) -> None:
        (ref,) = offline.parse_notification(webhook("APPOINTMENT_MODIFY", LOCKED)).refs
        assert ref.last_updated is not None
        assert ref.last_updated.isoformat() == "2026-03-04T03:10:00+00:00"
        assert ref.dedupe_key.startswith(f"{KEY}@2026-03-03T22:10:00/")

    @pytest.mark.parametrize("note", [None, {"locked": False}, "x"])
    def test_a_change_of_an_open_visit_is_left_to_its_lock(self, offline: Any, note: Any) -> None:
        assert keys(offline, webhook("APPOINTMENT_MODIFY", {**LOCKED, "clinical_note": note})) == []

    def test_the_echo_of_a_write_back_changes_no_key(self, offline: Any) -> None:
        later = {**LOCKED, "clinical_note": LOCKED["clinical_note"], "billing_status": "Settled"}
        assert keys(offline, webhook("APPOINTMENT_MODIFY", LOCKED)) == keys(
            offline, webhook("APPOINTMENT_MODIFY", later)
        )

    def test_a_deleted_visit_is_told(self, offline: Any) -> None:
        assert keys(offline, webhook("APPOINTMENT_DELETE", LOCKED)) == [(KEY, f"{KEY}/deleted@2026-03-03T21:30:00")]

    def test_lines_name_their_visit(self, offline: Any) -> None:
        created, changed = (keys(offline, webhook(f"LINE_ITEM_{verb}", LINE)) for verb in ("CREATE", "MODIFY"))
        assert created == changed
        assert created[0][0] == KEY
        priced = keys(offline, webhook("LINE_ITEM_MODIFY", {**LINE, "price": "1.00"}))
        assert priced != changed  # in the same second
        assert keys(offline, webhook("LINE_ITEM_DELETE", LINE)) == [(KEY, f"{KEY}/deletion/88102233")]

    @pytest.mark.parametrize(
        "event", ["PING", "PATIENT_MODIFY", "APPOINTMENT_CREATE", "TASK_CREATE", "SOMETHING_NEW", ""]
    )
    def test_other_events_name_nothing(self, offline: Any, event: str) -> None:
        assert keys(offline, webhook(event, {"id": 1})) == []

    @pytest.mark.parametrize(("practice", "found"), [(4455, 1), ("4455", 1), (None, 1), (9, 0)])
    def test_events_of_another_practice_are_passed_over(self, offline: Any, practice: Any, found: int) -> None:
        assert len(keys(offline, webhook("CLINICAL_NOTE_LOCK", NOTE, practice_group_id=practice))) == found

    @pytest.mark.parametrize(
        ("event", "obj"),
        [
            ("CLINICAL_NOTE_LOCK", {"appointment": None}),
            ("CLINICAL_NOTE_LOCK", {"appointment": "../patients/1"}),
            ("CLINICAL_NOTE_LOCK", [1]),
            ("APPOINTMENT_DELETE", {}),
            ("LINE_ITEM_CREATE", {"appointment": 301}),
            ("LINE_ITEM_DELETE", {"id": 1}),
        ],
    )
    def test_a_body_that_names_no_visit_is_malformed(self, offline: Any, event: str, obj: Any) -> None:
        with pytest.raises(NotificationMalformed):
            offline.parse_notification(webhook(event, obj))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=6)),
    lambda children: st.one_of(
        st.lists(children, max_size=3),
        st.dictionaries(st.sampled_from(["object", "appointment", "id", "clinical_note", "updated_at"]), children),
    ),
    max_leaves=8,
)


@given(event=st.sampled_from(sorted(notifications._EVENTS)), body=JSON)
def test_no_body_breaks_the_parser(event: str, body: Any) -> None:
    adapter = ADAPTER.open(ADAPTER.settings(client_id="c", client_secret="s"), clinic_context())
    request = replace(webhook(event, {}), body=jsonio.dumps(body))
    try:
        adapter.parse_notification(request)
    except NotificationMalformed as problem:
        assert str(problem)
