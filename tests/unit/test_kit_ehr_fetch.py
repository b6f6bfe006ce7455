"""Reading one encounter: what is remembered, what is cached, what a lagging index or an unsorted poll does."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from joserfc.jwk import ECKey

from gateway.canonical.charge_map import ChargeMap, Kind, MapLine, MapRule
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.errors import AdapterError, ErrorCode, PermissionMissing, UnexpectedResponse
from gateway.canonical.models import EncounterRef, Resource
from gateway.kit.contract_support import LocalLock, LocalValues, NoPacer
from gateway.kit.ehr_base import SmartFhirEhr
from gateway.kit.ehr_cache import CACHE_ENTRIES, CACHE_SECONDS, ResourceCache
from gateway.kit.ehr_charge_searches import followed_for, searches_for
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_fetch import ABSENT_SECONDS, EncounterFetcher
from gateway.kit.ehr_settings import SmartSettings
from gateway.ports.context import AdapterContext

BASE = "https://ehr.example.test/fhir"
REF = EncounterRef("e", "Encounter/e")
ENCOUNTER: Resource = {
    "resourceType": "Encounter",
    "id": "e",
    "meta": {"lastUpdated": "2026-03-04T10:00:00Z"},
    "subject": {"reference": "Patient/p"},
    "participant": [{"individual": {"reference": f"{BASE}/Practitioner/d"}}],
    "serviceProvider": {"reference": "https://elsewhere.example.test/fhir/Organization/x"},
}


class Server(FhirClient):
    """A FHIR server in memory: resources by `Type/id`, searches by type, refusals by type."""

    def __init__(self) -> None:
        self.vendor, self.base_url, self.made = "test", BASE, 0
        self.held = {"Encounter/e": ENCOUNTER, **{r: _resource(r) for r in ("Patient/p", "Practitioner/d")}}
        self.found: dict[str, list[Resource]] = {"Encounter": [ENCOUNTER]}
        self.refused: dict[str, AdapterError] = {}
        self.asked: list[str] = []

    @property
    def requests(self) -> int:
        return self.made

    def counting(self) -> Server:
        fresh = copy.copy(self)
        fresh.made = 0
        return fresh

    async def read(self, reference: str) -> Resource:
        self.made += 1
        self.asked.append(reference)
        if reference not in self.held:
            raise UnexpectedResponse("test", "read", "none", code=ErrorCode.NOT_FOUND)
        return self.held[reference]

    async def search(self, resource_type: str, params: Any) -> list[Resource]:
        self.made += 1
        self.asked.append(f"{resource_type}?{','.join(params)}")
        for refused in (f"{resource_type} with _include" if "_include" in params else "", resource_type):
            if refused in self.refused:
                raise self.refused[refused]
        return self.found.get(resource_type, [])


def _resource(reference: str) -> Resource:
    name, _, vendor_id = reference.partition("/")
    return {"resourceType": name, "id": vendor_id}


def unsupported() -> UnexpectedResponse:
    return UnexpectedResponse("test", "search", "no", code=ErrorCode.UNSUPPORTED)


def forbidden() -> PermissionMissing:
    return PermissionMissing("test", "search", "no")


async def test_references_of_other_servers_are_not_followed() -> None:
    server = Server()
    record = await EncounterFetcher(server).fetch(REF)
    assert [r["id"] for r in record.resources] == ["p", "d"]
    assert not [asked for asked in server.asked if "elsewhere" in asked or "Organization" in asked]


@pytest.mark.parametrize("refusal", [unsupported, forbidden])
async def test_a_search_that_is_not_offered_is_remembered_for_an_hour(refusal: Any) -> None:
    server, clock = Server(), [0.0]
    server.refused["ChargeItem"] = refusal()
    fetcher = EncounterFetcher(server, clock=lambda: clock[0])
    for _ in range(3):
        await fetcher.fetch(REF)
    assert [a for a in server.asked if a.startswith("ChargeItem")] == ["ChargeItem?context"]
    assert fetcher.not_offered == ("ChargeItem",)
    clock[0] = ABSENT_SECONDS + 1
    assert fetcher.not_offered == ()
    await fetcher.fetch(REF)
    assert len([a for a in server.asked if a.startswith("ChargeItem")]) == 2


@pytest.mark.parametrize("resource_type", ["Condition", "Coverage"])
async def test_what_every_claim_needs_may_not_be_forbidden(resource_type: str) -> None:
    server = Server()
    server.refused[resource_type] = forbidden()
    with pytest.raises(PermissionMissing):
        await EncounterFetcher(server).fetch(REF)


async def test_a_server_that_refuses_includes_is_asked_without() -> None:
    server = Server()
    server.refused = {f"{name} with _include": unsupported() for name in ("Encounter", "Claim", "Coverage")}
    fetcher = EncounterFetcher(server)
    await fetcher.fetch(REF)
    server.asked.clear()
    record = await fetcher.fetch(REF)
    assert "Encounter/e" in server.asked
    assert not [asked for asked in server.asked if "_include" in asked]
    assert [r["id"] for r in record.resources] == ["p", "d"]


@pytest.mark.parametrize("found", [[], [{**ENCOUNTER, "meta": {"lastUpdated": "2026-03-04T09:59:59Z"}}]])
async def test_a_lagging_search_index_is_not_believed(found: list[Resource]) -> None:
    server = Server()
    server.found["Encounter"] = found
    ref = EncounterRef("e", "Encounter/e@2", datetime(2026, 3, 4, 10, tzinfo=UTC))
    assert (await EncounterFetcher(server).fetch(ref)).encounter is ENCOUNTER
    assert "Encounter/e" in server.asked


async def test_providers_come_from_the_cache_and_patients_never() -> None:
    server, clock = Server(), [0.0]
    fetcher = EncounterFetcher(server, clock=lambda: clock[0])
    for moment in (0.0, 1.0, CACHE_SECONDS + 2):
        clock[0] = moment
        await fetcher.fetch(REF)
    assert server.asked.count("Practitioner/d") == 2
    assert server.asked.count("Patient/p") == 3


def test_the_cache_is_bounded() -> None:
    cache = ResourceCache(lambda: 0.0)
    for number in range(CACHE_ENTRIES + 1):
        cache.put(f"Location/{number}", {"resourceType": "Location", "id": str(number)})
    assert cache.get("Location/0") is None
    assert cache.get(f"Location/{CACHE_ENTRIES}") is not None


async def test_the_first_failure_is_raised_as_it_is_and_stops_the_rest() -> None:
    server = Server()
    server.refused["Condition"] = AdapterError("test", "search:Condition", "broken")
    with pytest.raises(AdapterError, match="broken"):
        await EncounterFetcher(server).fetch(REF)


ASKING = ChargeMap(
    [
        MapRule((MapLine("G0101"),), {Kind.SERVICE_REQUEST: frozenset({("", "x")})}),
        MapRule((MapLine("G0101"),), {Kind.DOCUMENT_TYPE: frozenset({("", "x")})}),
        MapRule((MapLine("G0101"),), {Kind.APPOINTMENT_TYPE: frozenset({("", "x")})}),
    ]
)


def fetcher_for(charge_map: ChargeMap, server: Server) -> EncounterFetcher:
    return EncounterFetcher(
        server,
        includes=False,
        by_encounter=searches_for(charge_map),
        by_patient=(),
        followed_types=followed_for(charge_map),
    )


@pytest.mark.parametrize(("charge_map", "read"), [(ASKING, True), (ChargeMap(), False)])
async def test_what_only_a_charge_map_needs_is_read_only_for_one(charge_map: ChargeMap, read: bool) -> None:
    server = Server()
    server.held["Encounter/e"] = {**ENCOUNTER, "appointment": [{"reference": "Appointment/a"}]}
    server.held["Appointment/a"] = _resource("Appointment/a")
    await fetcher_for(charge_map, server).fetch(REF)
    for asked in ("ServiceRequest?encounter", "DocumentReference?encounter", "Appointment/a"):
        assert (asked in server.asked) is read


@pytest.mark.parametrize("refusal", [unsupported(), PermissionMissing("test", "search", "no")])
async def test_what_a_charge_map_needs_may_not_be_missing(refusal: AdapterError) -> None:
    """Else what it would bill were forgotten without a word."""
    server = Server()
    server.refused["DocumentReference"] = refusal
    with pytest.raises(type(refusal)):
        await fetcher_for(ASKING, server).fetch(REF)


NOW = datetime(2026, 3, 5, tzinfo=UTC)


@pytest.fixture
async def ehr(monkeypatch: pytest.MonkeyPatch) -> Any:
    key = ECKey.generate_key("P-384").as_pem(private=True).decode()
    feed = {"feed": "last_updated", "feed_children": False, "lookback_minutes": 60}
    settings = SmartSettings(base_url=BASE, client_id="c", private_key=key, algorithm="ES384", **feed)
    clinic = ClinicFacts("demo", "Sample", ZoneInfo("UTC"), BillingProvider("Sample", "1245319599", "1"))
    adapter = SmartFhirEhr(
        settings, AdapterContext(clinic, "c1", NoPacer(), LocalLock(), LocalValues(), now=lambda: NOW)
    )
    yield adapter
    await adapter.aclose()


def pages_of(ehr: Any, *pages: list[Resource]) -> list[dict[str, Any]]:
    """Let the client's searches give these pages; the parameters of each search are collected."""
    asked: list[dict[str, Any]] = []

    async def pages_(resource_type: str, params: dict[str, Any]) -> AsyncIterator[list[Resource]]:
        asked.append(params)
        for page in pages:
            yield page

    ehr.client.pages = pages_
    return asked


def changed(vendor_id: str, minute: int) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": vendor_id,
        "status": "finished",
        "meta": {"lastUpdated": f"2026-03-04T10:{minute:02}:00Z", "versionId": "1"},
    }


async def test_an_unsorted_poll_is_sorted_before_any_cursor_is_given(ehr: Any) -> None:
    pages_of(ehr, [changed("c", 3), changed("a", 1)], [changed("b", 2), {"resourceType": "Encounter", "id": "no meta"}])
    found = [(ref.encounter_id, cursor[11:16]) async for ref, cursor in ehr.changed_encounters("2026-03-04T09:00:00Z")]
    assert found == [("a", "10:01"), ("b", "10:02"), ("c", "10:03")]


async def test_the_first_poll_looks_back_and_the_next_ones_overlap(ehr: Any) -> None:
    asked = pages_of(ehr, [])
    assert [pair async for pair in ehr.changed_encounters(None)] == []
    assert [pair async for pair in ehr.changed_encounters("2026-03-04T10:05:00+00:00")] == []
    assert [a["_lastUpdated"] for a in asked] == ["ge2026-03-04T23:00:00.000Z", "ge2026-03-04T10:00:00.000Z"]
    assert asked[0]["status"] == "finished,entered-in-error"
    assert asked[0]["_sort"] == "_lastUpdated"


async def test_a_cursor_never_goes_back(ehr: Any) -> None:
    pages_of(ehr, [changed("old", 1)])
    cursor = datetime(2026, 3, 4, 10, 4, tzinfo=UTC).isoformat()
    assert [given async for _, given in ehr.changed_encounters(cursor)] == [cursor]


async def test_a_change_in_the_future_does_not_carry_the_cursor_there(ehr: Any) -> None:
    ahead = {**changed("a", 1), "meta": {"lastUpdated": "2027-01-01T00:00:00Z", "versionId": "1"}}
    pages_of(ehr, [changed("b", 1), ahead])
    found = [(ref.encounter_id, cursor[:10]) async for ref, cursor in ehr.changed_encounters("2026-03-04T09:00:00Z")]
    assert found == [("b", "2026-03-04"), ("a", "2026-03-05")]


async def test_a_backlog_without_end_is_cut_only_where_the_order_holds(
    ehr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.kit.ehr_rung.MAX_POLL_PAGES", 2)
    pages_of(ehr, [changed("a", 1)], [changed("b", 2)], [changed("c", 3)])
    since = "2026-03-04T09:00:00Z"
    assert [ref.encounter_id async for ref, _ in ehr.changed_encounters(since)] == ["a", "b"]
    pages_of(ehr, [changed("b", 2)], [changed("a", 1)], [changed("c", 3)])
    with pytest.raises(UnexpectedResponse):
        [ref async for ref, _ in ehr.changed_encounters(since)]
