"""Reading a Subscription: which events it wants and where they go (subscriptions sections 1 to 3).

Two styles are served: `criteria` is a search (R4 core), or the canonical URL of a topic (R5 Backport 1.1.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.kit.fhir_simulator.metadata import SB
from gateway.kit.fhir_simulator.search import Query, SearchRefused, parse_query
from gateway.kit.fhir_simulator.values import walk
from gateway.kit.simulator_http import Resource, refuse

CONTENT_LEVELS = ("empty", "id-only", "full-resource")
MEDPLUM_SECRET = "https://www.medplum.com/fhir/StructureDefinition/subscription-secret"
_EXTENSION = f"{SB}/StructureDefinition"
_R5 = "http://hl7.org/fhir/5.0/"
_PAYLOADS = ("application/fhir+json", "application/json")
_VERSIONS = ("", "fhirversion=4.0", "fhirversion=4.0.1")


@dataclass(frozen=True, slots=True)
class Channel:
    """Where the notifications of one subscription go; `topic` is "" and `content` too for a criteria subscription."""

    endpoint: str
    headers: tuple[tuple[str, str], ...]
    payload: str
    topic: str
    content: str
    filters: tuple[Query, ...]
    heartbeat_seconds: int | None
    timeout_seconds: int | None
    secret: str
    end: datetime | None


def read_channel(subscription: Resource, *, base: str, topics: frozenset[str]) -> Channel:
    """The channel of a submitted Subscription; answers 422 for what this server will not honour (V7, V8)."""
    criteria = subscription.get("criteria")
    channel = subscription.get("channel")
    if not isinstance(criteria, str) or not isinstance(channel, dict):
        raise _reject("criteria and channel are required", "required")
    if not isinstance(subscription.get("reason"), str):
        raise _reject("reason is required", "required")
    endpoint = _endpoint(channel)
    is_topic = urlsplit(criteria).scheme in ("http", "https")
    if is_topic and topics and criteria not in topics:
        raise _reject("the topic is not offered")
    filters = _topic_filters(subscription, base) if is_topic else (_criteria(criteria, base),)
    return Channel(
        endpoint=endpoint,
        headers=tuple(_header(line) for line in walk(channel, "header")),
        payload=_payload(channel, required=is_topic),
        topic=criteria if is_topic else "",
        content=_content(channel) if is_topic else "",
        filters=filters,
        heartbeat_seconds=_extension(channel, "backport-heartbeat-period", "valueUnsignedInt"),
        timeout_seconds=_extension(channel, "backport-timeout", "valueUnsignedInt"),
        secret=_secret(subscription),
        end=_end(subscription),
    )


def _reject(text: str, code: str = "business-rule") -> Exception:
    return refuse(422, code, f"Subscription: {text}")


def _endpoint(channel: dict[str, Any]) -> str:
    if channel.get("type") != "rest-hook" or _has_extension(channel.get("_type"), "backport-channel-type"):
        raise _reject("only rest-hook channels are supported", "not-supported")
    parts = urlsplit(str(channel.get("endpoint") or ""))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _reject("channel.endpoint is not an http or https URL", "value")
    return str(channel["endpoint"])


def _payload(channel: dict[str, Any], *, required: bool) -> str:
    payload = channel.get("payload")
    if payload is None and not required:
        return ""
    media, _, parameter = str(payload).partition(";")
    if media.strip().lower() not in _PAYLOADS or parameter.strip().lower() not in _VERSIONS:
        raise _reject("channel.payload is not supported", "not-supported")
    return str(payload)


def _content(channel: dict[str, Any]) -> str:
    content = _extension(channel.get("_payload"), "backport-payload-content", "valueCode")
    if content not in CONTENT_LEVELS:
        raise _reject("the payload content must be empty, id-only or full-resource", "not-supported")
    return str(content)


def _header(line: Any) -> tuple[str, str]:
    name, colon, value = str(line).partition(":")
    if not colon or not name.strip() or "\n" in line or "\r" in line:
        raise _reject("a channel.header line is not of the form Name: value", "value")
    return name.strip(), value.strip()


def _criteria(criteria: str, base: str) -> Query:
    kind, _, search = criteria.partition("?")
    if kind != "Encounter":
        raise _reject("only Encounter criteria are supported", "not-supported")
    return _query(search, base)


def _topic_filters(subscription: Resource, base: str) -> tuple[Query, ...]:
    extensions = list(walk(subscription, "_criteria.extension"))
    if any(str(extension.get("url")).startswith(_R5) for extension in extensions):
        raise _reject("cross-version extensions are not supported", "not-supported")
    url = f"{_EXTENSION}/backport-filter-criteria"
    texts = [str(extension.get("valueString")) for extension in extensions if extension.get("url") == url]
    return tuple(_query(text.removeprefix("Encounter?").removeprefix("Encounter."), base) for text in texts)


def _query(search: str, base: str) -> Query:
    try:
        return parse_query("Encounter", parse_qsl(search), base=base)
    except SearchRefused as problem:
        raise _reject(f"the filter is not supported: {problem.text}", "not-supported") from None


def _extensions(element: Any) -> Iterator[dict[str, Any]]:
    for extension in walk(element, "extension"):
        if isinstance(extension, dict):
            yield extension


def _extension(element: Any, name: str, value: str) -> Any:
    url = f"{_EXTENSION}/{name}"
    return next((extension.get(value) for extension in _extensions(element) if extension.get("url") == url), None)


def _has_extension(element: Any, name: str) -> bool:
    return any(extension.get("url") == f"{_EXTENSION}/{name}" for extension in _extensions(element))


def _secret(subscription: Resource) -> str:
    found = (e.get("valueString") for e in _extensions(subscription) if e.get("url") == MEDPLUM_SECRET)
    return str(next(found, "") or "")


def _end(subscription: Resource) -> datetime | None:
    end = subscription.get("end")
    if end is None:
        return None
    try:
        moment = datetime.fromisoformat(str(end))
    except ValueError:
        raise _reject("end is not an instant", "value") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
