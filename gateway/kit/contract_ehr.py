"""The contract that every EHR adapter keeps, as a test class to inherit.

    class TestContract(EhrContract):
        expected = ExpectedEncounter(...)

The inheriting module, or its conftest, gives four fixtures: `simulator` (the running `contract_support.Simulator`),
`ehr` (the adapter connected to it), `record` (what `fetch_encounter` gives, written by hand) and `event` (an accepted
notification of `expected.encounter_id`). Imported by tests only.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import ClassVar

import fhirkit
import pytest

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
from gateway.kit.contract_support import Simulator
from gateway.kit.ehr_references import references_at
from gateway.kit.simulator import FaultKind
from gateway.ports.ehr import EhrAdapter


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

    async def test_a_rate_limit_says_when_to_come_back(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """429 is no failure: the job waits as told."""
        await ehr.fetch_encounter(self._ref())
        simulator.fail("*", FaultKind.RATE_LIMIT, times=50)
        with pytest.raises(RateLimited) as raised:
            await ehr.fetch_encounter(self._ref())
        assert raised.value.retry_after is not None

    async def test_one_401_costs_one_new_token(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """A token that died early is renewed, and the caller does not notice."""
        await ehr.fetch_encounter(self._ref())
        simulator.fail("*", FaultKind.UNAUTHORIZED, times=1)
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
