"""The contract that every EHR adapter keeps, as a test class to inherit.

    class TestContract(EhrContract):
        expected = ExpectedEncounter(...)

The inheriting module (or its conftest) gives the fixtures `ehr` (the adapter, connected to a running simulator),
`simulator` (a `SimulatorServer`), `record` (what `fetch_encounter` gives, written by hand) and `event` (an accepted
notification of `expected.encounter_id`). Imported by tests only.
"""

from __future__ import annotations

import copy
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from types import TracebackType
from typing import Any, ClassVar, Self

import fhirkit
import httpx
import pytest
import uvicorn

from gateway.canonical import codes, jsonio
from gateway.canonical.errors import (
    MappingError,
    NotificationMalformed,
    NotificationRejected,
    RateLimited,
)
from gateway.canonical.models import (
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    NotificationRequest,
    Resource,
    reference_of,
)
from gateway.kit.ehr_references import references_at
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.ehr import EhrAdapter


class SimulatorServer:
    """A simulator served on 127.0.0.1 in a thread of its own, with its control routes."""

    def __init__(
        self, build: Callable[[SimulatorOptions], Any], options_for: Callable[[str], SimulatorOptions]
    ) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.options = options_for(self.url)
        config = uvicorn.Config(build(self.options), log_level="critical", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the simulator did not start")
            time.sleep(0.002)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=5)
        self._socket.close()

    def control(self, route: str, body: dict[str, Any] | None = None) -> Any:
        """`POST /_sim/{route}`, or GET without a body; the answer's JSON."""
        with httpx.Client(base_url=f"{self.url}/_sim/", trust_env=False) as client:
            response = client.get(route) if body is None else client.post(route, content=jsonio.dumps(body))
        response.raise_for_status()
        return jsonio.loads(response.content) if response.content else None

    def fail(self, operation: str, kind: str, times: int = 1) -> None:
        """Make the next calls of an operation fail ("*" for any)."""
        self.control("faults", {"rules": [{"operation": operation, "kind": kind, "times": times}]})


@dataclass(frozen=True, slots=True)
class ExpectedLine:
    """One charge as the bundle must carry it."""

    code: str
    modifiers: tuple[str, ...]
    quantity: Decimal
    unit_price: Decimal | None
    diagnosis_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExpectedEncounter:
    """The billing facts of the test encounter: what must come out unchanged."""

    encounter_id: str
    diagnosis_codes: tuple[str, ...]
    lines: tuple[ExpectedLine, ...]
    member_ids: tuple[str, ...]
    referring_npi: str
    location_code: str
    prior_authorization: str | None


class EhrContract:
    """Inherit this class; each test is one promise of `gateway.ports.ehr.EhrAdapter`."""

    expected: ClassVar[ExpectedEncounter]
    max_warm_calls: ClassVar[int] = 8
    references: ClassVar[tuple[str, ...]] = (
        "subject",
        "patient",
        "beneficiary",
        "subscriber",
        "payor",
        "encounter",
        "serviceProvider",
        "participant.individual",
        "location.location",
        "diagnosis.condition",
        "performer.actor",
    )
    required: ClassVar[tuple[tuple[str, str], ...]] = (
        ("Encounter", "subject"),
        ("Encounter", "period"),
        ("Encounter", "participant"),
        ("Patient", "birthDate"),
        ("Patient", "name"),
        ("Coverage", "payor"),
    )

    @pytest.fixture
    def bundle(self, ehr: EhrAdapter, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter of the hand-written record."""
        return ehr.normalize(record)

    def test_a_wrong_secret_is_refused_before_anything_is_parsed(
        self, ehr: EhrAdapter, event: NotificationRequest
    ) -> None:
        """Verification reads raw bytes: a body that is not JSON makes no difference."""
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}, {"x-signature": "00"}):
            with pytest.raises(NotificationRejected):
                ehr.verify_notification(replace(event, headers=headers, body=b"\xff not JSON"))

    def test_the_right_secret_is_accepted(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """The event fixture is a genuine notification."""
        ehr.verify_notification(event)

    def test_the_same_event_twice_gives_the_same_key(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """Vendors send one event more than once; the inbox tells by the key."""
        first, second = ehr.parse_notification(event), ehr.parse_notification(event)
        assert [r.encounter_id for r in first.refs] == [self.expected.encounter_id]
        assert first == second

    def test_unknown_events_are_ignored(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """A resource that is not about an encounter names none and is no error."""
        other = replace(event, path="", body=b'{"resourceType":"Basic","id":"x"}')
        assert ehr.parse_notification(other).refs == ()

    def test_a_broken_body_is_malformed(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """HTTP 400, not a crash."""
        for body in (b"{", b"[]", b"1", b"{}", b"\xff\xfe"):
            with pytest.raises(NotificationMalformed):
                ehr.parse_notification(replace(event, body=body))

    async def test_polling_finds_the_signed_encounter(self, ehr: EhrAdapter) -> None:
        """Each found encounter comes with a cursor, and a poll from that cursor works."""
        found = [pair async for pair in ehr.changed_encounters("2020-01-01T00:00:00+00:00")]
        assert self.expected.encounter_id in [ref.encounter_id for ref, _ in found]
        again = [ref async for ref, _ in ehr.changed_encounters(found[-1][1])]
        assert {ref.dedupe_key for ref in again} <= {ref.dedupe_key for ref, _ in found}

    async def test_fetch_gives_what_normalize_needs(self, ehr: EhrAdapter, bundle: EncounterBundle) -> None:
        """Over real HTTP the same facts arrive as from the hand-written record."""
        fetched = ehr.normalize(await ehr.fetch_encounter(self._ref()))
        assert fetched.charges == bundle.charges
        assert fetched.diagnosis_codes == bundle.diagnosis_codes
        assert {r["resourceType"] for r in fetched.resources} == {r["resourceType"] for r in bundle.resources}

    async def test_a_warm_fetch_needs_few_calls(self, ehr: EhrAdapter) -> None:
        """The hot path: tokens, providers and payers are cached by the second encounter."""
        await ehr.fetch_encounter(self._ref())
        assert (await ehr.fetch_encounter(self._ref())).calls <= self.max_warm_calls

    async def test_a_rate_limit_says_when_to_come_back(self, ehr: EhrAdapter, simulator: SimulatorServer) -> None:
        """429 is no failure: the job waits as told."""
        await ehr.fetch_encounter(self._ref())
        simulator.fail("*", "rate_limit", times=50)
        with pytest.raises(RateLimited) as raised:
            await ehr.fetch_encounter(self._ref())
        assert raised.value.retry_after is not None

    async def test_one_401_costs_one_new_token(self, ehr: EhrAdapter, simulator: SimulatorServer) -> None:
        """A token that died early is renewed, and the caller does not notice."""
        await ehr.fetch_encounter(self._ref())
        simulator.fail("*", "unauthorized", times=1)
        assert (await ehr.fetch_encounter(self._ref())).encounter["id"] == self.expected.encounter_id

    def test_the_bundle_is_valid_and_closed(self, bundle: EncounterBundle) -> None:
        """Every resource is valid R4, every reference resolves inside, every role names a resource."""
        everything = (bundle.encounter, *bundle.resources)
        assert [i.path for r in everything for i in fhirkit.validate(jsonio.dumps(r)) if i.severity == "error"] == []
        named = [reference for r in everything for path in self.references for reference in references_at(r, path)]
        assert named
        assert [r for r in (*named, *bundle.roles.values()) if bundle.find(r) is None] == []
        assert len({reference_of(r) for r in everything}) == len(everything)

    def test_billing_facts_are_unchanged(self, bundle: EncounterBundle) -> None:
        """Diagnosis order, modifiers, units, prices, pointers, authorization, place, member ids, referring provider."""
        wanted = self.expected
        assert bundle.diagnosis_codes == wanted.diagnosis_codes
        assert tuple(
            ExpectedLine(c.code, c.modifiers, c.quantity, c.unit_price, c.diagnosis_codes) for c in bundle.charges
        ) == (wanted.lines)
        assert bundle.prior_authorization == wanted.prior_authorization
        assert bundle.location_code == wanted.location_code
        assert tuple(c.get("subscriberId") for c in bundle.of_type("Coverage")) == wanted.member_ids
        referring = bundle.find(bundle.roles["referring_provider"])
        assert referring is not None
        assert codes.identifier(referring, codes.NPI) == wanted.referring_npi

    def test_a_missing_required_element_is_named(self, ehr: EhrAdapter, record: EncounterRecord) -> None:
        """The biller is told which element of which resource, and what to do."""
        for resource_type, name in self.required:
            with pytest.raises(MappingError) as raised:
                ehr.normalize(without(record, resource_type, name))
            finding = raised.value.findings[0]
            assert finding.expression.startswith(resource_type), finding.expression
            assert name in finding.expression
            assert finding.message and finding.fix

    def _ref(self) -> EncounterRef:
        return EncounterRef(self.expected.encounter_id, f"Encounter/{self.expected.encounter_id}")


def without(record: EncounterRecord, resource_type: str, name: str) -> EncounterRecord:
    """A copy of a record in which no resource of a type has an element any more."""

    def stripped(resource: Resource) -> Resource:
        kept = copy.deepcopy(resource)
        if kept["resourceType"] == resource_type:
            kept.pop(name, None)
        return kept

    if resource_type == "Encounter" and name == "period":  # a charge's own date would stand in for it
        resources = tuple(without_dates(resource) for resource in record.resources)
    else:
        resources = tuple(stripped(resource) for resource in record.resources)
    return replace(record, encounter=stripped(record.encounter), resources=resources)


def without_dates(resource: Resource) -> Resource:
    """A copy of a resource whose charges carry no dates of their own."""
    kept = copy.deepcopy(resource)
    for holder in (kept, *kept.get("item", [])):
        for name in ("servicedDate", "servicedPeriod", "occurrenceDateTime", "performedDateTime"):
            holder.pop(name, None)
    return kept
