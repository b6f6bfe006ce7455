"""Elation's events: their signatures, the keys, and which bill they name."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.ehr.elation import ADAPTER
from adapters.ehr.elation.adapter import ElationEhr
from adapters.ehr.elation.keys import SigningKeys, public_key
from adapters.ehr.elation.notifications import parse_event
from gateway.canonical import jsonio
from gateway.canonical.errors import NotificationMalformed
from gateway.canonical.models import Notification, NotificationRequest
from gateway.kit.contract_support import LocalValues, contract_context

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
RAW = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
DER = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
BODY = b'{"resource":"bills"}'
SIGNATURE = b64encode(KEY.sign(BODY)).decode()

EVENT: dict[str, Any] = {
    "event_id": 880012,
    "event_uuid": "7d0f0c2e-0000-7000-8000-000000000001",
    "resource": "bills",
    "action": "saved",
    "resource_url": "https://app.elationemr.com/api/2.0/bills/65098/",
    "data": {"id": 65098, "patient": 4400, "practice": 65540, "visit_note": 71002},
}


def parsed(practice_id: str = "", **changed: Any) -> Notification:
    body = jsonio.dumps({**EVENT, **changed})
    return parse_event(NotificationRequest("POST", "", {}, {}, body, "192.0.2.7"), practice_id)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b64encode(RAW).decode(), b64encode(DER).decode(), PEM])
def test_a_key_is_read_in_each_of_its_forms(text: str) -> None:
    assert SigningKeys([text], LocalValues()).verifies(BODY, SIGNATURE)


@pytest.mark.parametrize("text", ["", "not base64!", b64encode(b"short").decode(), PEM.replace("M", "-", 1)])
def test_a_text_that_is_no_key_is_refused_by_the_settings(text: str) -> None:
    with pytest.raises(ValidationError, match="Ed25519"):
        ADAPTER.settings(client_id="app", client_secret="secret", signing_public_keys=(text,))


def test_a_key_of_another_kind_is_refused() -> None:
    rsa = generate_private_key(65537, 2048).public_key()
    with pytest.raises(ValueError, match="Ed25519"):
        public_key(rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@given(st.binary(max_size=80), st.text(max_size=100))
def test_no_other_body_or_signature_is_believed(body: bytes, signature: str) -> None:
    keys = SigningKeys([PEM], LocalValues())
    assert keys.verifies(body, SIGNATURE) is (body == BODY)
    assert keys.verifies(BODY, signature) is (signature == SIGNATURE)


async def test_a_process_that_has_not_subscribed_finds_the_key_after_the_first_delivery() -> None:
    shared = LocalValues()
    await SigningKeys([], shared).learn([PEM])
    other = SigningKeys([], shared)
    assert not other.verifies(BODY, SIGNATURE)
    for _ in range(10):
        await asyncio.sleep(0)
    assert other.verifies(BODY, SIGNATURE)


async def test_forgeries_do_not_keep_the_database_busy() -> None:
    class Counting(LocalValues):
        asked = 0

        async def get(self, key: str) -> bytes | None:
            self.asked += 1
            return None

    shared = Counting()
    keys = SigningKeys([], shared, clock=lambda: 100.0)
    for _ in range(50):
        keys.verifies(BODY, SIGNATURE)
        await asyncio.sleep(0)
    assert shared.asked == 1


async def test_pinned_keys_are_not_replaced_by_what_is_learned() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    keys = SigningKeys([PEM], LocalValues())
    await keys.learn([b64encode(other.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()])
    assert keys.verifies(BODY, SIGNATURE)


def test_without_any_key_nothing_is_believed(event: NotificationRequest) -> None:
    adapter = ElationEhr(ADAPTER.settings(client_id="app", client_secret="secret"), contract_context())
    assert not adapter.keys.verifies(event.body, event.headers["el8-ed25519-signature"])


# --- events -----------------------------------------------------------------------------------------------------------


def test_a_bill_is_named_by_its_id_and_told_apart_by_the_event() -> None:
    (ref,) = parsed().refs
    assert (ref.encounter_id, ref.dedupe_key) == ("65098", "Bill/65098#7d0f0c2e-0000-7000-8000-000000000001")
    assert parsed(event_uuid="another").refs[0].dedupe_key != ref.dedupe_key


def test_an_event_without_data_names_the_bill_by_its_address() -> None:
    assert parsed(data=None).refs[0].encounter_id == "65098"


def test_a_deleted_bill_is_news() -> None:
    assert parsed(action="deleted").refs[0].encounter_id == "65098"


@pytest.mark.parametrize(
    ("changed", "poll"),
    [
        ({"data": {"id": 71002, "signed_date": "2026-03-04T03:12:44Z"}}, True),
        ({"data": {"id": 71002, "signed_date": None}}, False),
        ({"data": {"id": 71002, "signed_date": None}, "action": "deleted"}, True),
        ({"data": None}, True),
    ],
)
def test_a_visit_note_asks_for_a_poll_when_it_is_signed_or_deleted(changed: dict[str, Any], poll: bool) -> None:
    assert parsed(resource="visit_notes", **changed) == Notification(poll=poll)


def test_another_practice_is_none_of_our_business() -> None:
    assert parsed("65540").refs
    assert parsed("1") == Notification()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"resource": None}, "event.resource"),
        ({"data": {"id": "x"}, "resource_url": ""}, "event.data.id"),
        ({"data": []}, "event.data"),
        ({"event_uuid": None, "event_id": None}, "event.event_uuid"),
    ],
)
def test_a_malformed_event_is_named_by_its_element(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(NotificationMalformed, match=named):
        parsed(**changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENT, "id", "practice"]), inner),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_an_event_or_malformed(body: Any) -> None:
    request = NotificationRequest("POST", "", {}, {}, jsonio.dumps(body), "192.0.2.7")
    try:
        found = parse_event(request, "65540")
    except NotificationMalformed:
        return
    assert all(ref.encounter_id.isdigit() for ref in found.refs)


def test_the_event_of_the_fixture_is_not_believed_with_another_body(event: NotificationRequest) -> None:
    changed = replace(event, body=event.body.replace(b"65098", b"65099"))
    keys = SigningKeys([PEM], LocalValues())
    assert not keys.verifies(changed.body, changed.headers["el8-ed25519-signature"])
