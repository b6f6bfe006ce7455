"""The part of `EhrContract` about notifications: who is believed, and what a notice says. Imported by tests only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.canonical.errors import (
    NotificationError,
    NotificationMalformed,
    NotificationRejected,
    UnsupportedOperation,
)
from gateway.canonical.models import NotificationRequest
from gateway.kit.contract_ehr_frame import EhrContractFrame
from gateway.ports.ehr import EhrAdapter, EhrCapability


class NoticesContract(EhrContractFrame):
    """Inherited through `gateway.kit.contract_ehr.EhrContract`."""

    def forged(self, event: NotificationRequest) -> list[NotificationRequest]:
        """Requests that somebody else could send: without, and with a wrong, secret or signature."""
        wrong: list[dict[str, str]] = [
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer "},
            {"x-signature": "00"},
            {name: "sha256=00" if "signature" in name else value for name, value in event.headers.items()},
        ]
        kept = {k: v for k, v in event.headers.items() if k != "authorization" and "signature" not in k}
        return [replace(event, headers={**kept, **headers}) for headers in wrong[:-1]] + (
            [replace(event, headers=wrong[-1])] if wrong[-1] != dict(event.headers) else []
        )

    def unknown_event(self, event: NotificationRequest) -> NotificationRequest:
        """A genuine notification of something that is no encounter."""
        return replace(event, path="", body=b'{"resourceType":"Basic","id":"x"}')

    def test_a_wrong_secret_is_refused_before_anything_is_parsed(
        self, ehr: EhrAdapter, event: NotificationRequest
    ) -> None:
        """Verification reads raw bytes: a body that is not JSON makes no difference."""
        for request in self.forged(event):
            for body in (request.body, b"\xff not JSON"):
                with pytest.raises(NotificationRejected):
                    ehr.verify_notification(replace(request, body=body))

    def test_a_signature_replayed_over_another_body_is_refused(
        self, ehr: EhrAdapter, event: NotificationRequest
    ) -> None:
        """Where the EHR signs its bodies; a secret that it only repeats proves nothing about the body."""
        other = replace(event, body=event.body + b" ")
        if not self.signs_bodies:
            assert self._verified(ehr, other) is self.can(EhrCapability.NOTIFY)
            return
        with pytest.raises(NotificationRejected):
            ehr.verify_notification(other)

    def test_the_right_secret_is_accepted(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """The event fixture is a genuine notification; an EHR that sends none is believed nothing."""
        assert self._verified(ehr, event) is self.can(EhrCapability.NOTIFY)

    def _verified(self, ehr: EhrAdapter, event: NotificationRequest) -> bool:
        try:
            ehr.verify_notification(event)
        except NotificationRejected:
            return False
        return True

    def test_the_same_event_twice_gives_the_same_key(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """Vendors send one event more than once; the inbox tells by the key."""
        if not self.can(EhrCapability.NOTIFY):
            with pytest.raises(UnsupportedOperation):
                ehr.parse_notification(event)
            return
        first, second = ehr.parse_notification(event), ehr.parse_notification(event)
        assert [r.encounter_id for r in first.refs] == [self.expected.encounter_id]
        assert first == second

    def test_unknown_events_are_ignored(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """An event that is not about an encounter names none and is no error."""
        if self.can(EhrCapability.NOTIFY):
            assert ehr.parse_notification(self.unknown_event(event)).refs == ()

    def test_a_broken_body_is_malformed(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """HTTP 400, not a crash."""
        for body in (b"{", b"[]", b"1", b"{}", b"\xff\xfe"):
            expected = NotificationMalformed if self.can(EhrCapability.NOTIFY) else UnsupportedOperation
            with pytest.raises(expected):
                ehr.parse_notification(replace(event, body=body))

    def test_a_challenge_without_its_capability_is_refused(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """A GET on the hook proves nothing to anybody unless the EHR asks for it; and then not without its question."""
        expected = NotificationError if self.can(EhrCapability.CHALLENGE) else UnsupportedOperation
        with pytest.raises(expected):
            ehr.answer_challenge(replace(event, method="GET", query={}, body=b""))
