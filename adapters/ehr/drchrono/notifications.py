"""DrChrono's webhooks: a signature that is the secret itself, a challenge, and events that name an appointment.

A body names a visit and proves nothing: the visit is read again. Source: vendor document section 10.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from adapters.ehr.drchrono import references
from adapters.ehr.drchrono.mapping import is_locked
from adapters.ehr.drchrono.words import text
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRef, Notification, NotificationRequest
from gateway.kit.errors import NotificationMalformed, NotificationRejected

MOST_MESSAGE = 500
EVENT, DELIVERY, SIGNATURE = "x-drchrono-event", "x-drchrono-delivery", "x-drchrono-signature"


def verify(request: NotificationRequest, secret: str) -> None:
    """Compare the signature, which is the secret itself, in constant time; over TLS only."""
    given = request.headers.get(SIGNATURE, "").encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, secret.encode()) or not secret:
        raise NotificationRejected("the notification does not carry this connection's secret")
    _require_secure(request)


def challenge(request: NotificationRequest, secret: str) -> dict[str, str]:
    """The answer to `GET hook?msg=...`: HMAC-SHA256 of the message in hex.

    Anybody may ask. No JSON object is signed: it could be sent as an event to a hook whose EHR signs with this secret.
    """
    message = request.query.get("msg", "")
    if not secret or not 0 < len(message) <= MOST_MESSAGE or "{" in message:
        raise NotificationRejected("there is no message to prove the secret by, or no webhook_secret is set")
    _require_secure(request)
    return {"secret_token": hmac.new(secret.encode(), message.encode(), hashlib.sha256).hexdigest()}


def parse(request: NotificationRequest, practice_group_id: str, zone: ZoneInfo) -> Notification:
    """Which visit an event is about; other events, and those of other practices, give none."""
    try:
        body = jsonio.loads(request.body)
    except jsonio.NotJson as problem:
        raise NotificationMalformed(f"the body is {problem}") from None
    if not isinstance(body, dict):
        raise NotificationMalformed("the body is not a JSON object")
    handler = _EVENTS.get(request.headers.get(EVENT, ""))
    if handler is None:
        return Notification()
    obj, practice = body.get("object"), text(body.get("practice_group_id"))
    if not isinstance(obj, dict):
        raise NotificationMalformed("object: is missing or is not an object")
    if practice_group_id and practice not in (None, practice_group_id):
        return Notification()
    ref = handler(obj, _delivery(request), zone)
    return Notification((ref,) if ref else ())


def _require_secure(request: NotificationRequest) -> None:
    if not request.secure:
        raise NotificationRejected("the secret came without TLS; give DrChrono an https address, and a new secret")


def _delivery(request: NotificationRequest) -> str:
    return request.headers.get(DELIVERY) or hashlib.sha256(request.body).hexdigest()[:32]


def _note(note: Mapping[str, Any], delivery: str, zone: ZoneInfo) -> EncounterRef:
    """A note was locked or unlocked; its body has no time, so the delivery's id tells two locks apart."""
    key = references.appointment_id(note.get("appointment"))
    if key is None:
        raise NotificationMalformed("object.appointment: is missing or is not an id")
    stamp = text(note.get("updated_at"))
    return EncounterRef(key, f"{key}/note@{stamp}" if stamp else f"{key}/delivery/{delivery}")


def _modified(appointment: Mapping[str, Any], delivery: str, zone: ZoneInfo) -> EncounterRef | None:
    """Only of a note that is shown to be locked: each step of an open visit is such an event, and the feed sees all."""
    ref = _known(references.of_appointment(appointment, zone), "object.id")
    return ref if is_locked(appointment) else None


def _deleted(appointment: Mapping[str, Any], delivery: str, zone: ZoneInfo) -> EncounterRef:
    ref = _known(references.of_appointment(appointment, zone), "object.id")
    return EncounterRef(ref.encounter_id, f"{ref.encounter_id}/deleted@{text(appointment.get('updated_at'))}")


def _line(line: Mapping[str, Any], delivery: str, zone: ZoneInfo) -> EncounterRef:
    return _known(references.of_line(line), "object.appointment")


def _line_gone(line: Mapping[str, Any], delivery: str, zone: ZoneInfo) -> EncounterRef:
    return _known(references.of_deletion(line.get("appointment"), line.get("id")), "object.appointment")


def _known(ref: EncounterRef | None, path: str) -> EncounterRef:
    if ref is None:
        raise NotificationMalformed(f"{path}: is missing or is not an id")
    return ref


_EVENTS: Mapping[str, Callable[[Mapping[str, Any], str, ZoneInfo], EncounterRef | None]] = {
    "CLINICAL_NOTE_LOCK": _note,
    "CLINICAL_NOTE_UNLOCK": _note,
    "APPOINTMENT_MODIFY": _modified,
    "APPOINTMENT_DELETE": _deleted,
    "LINE_ITEM_CREATE": _line,
    "LINE_ITEM_MODIFY": _line,
    "LINE_ITEM_DELETE": _line_gone,
}
