"""The contract that every EHR adapter keeps, as a test class to inherit.

    class TestContract(EhrContract):
        info = ADAPTER
        expected = ExpectedEncounter(...)

The inheriting module, or its conftest, gives four fixtures: `simulator` (the running `contract_support.Simulator`),
`ehr` (the adapter connected to it), `record` (what `fetch_encounter` gives, written by hand) and `event` (an accepted
notification of `expected.encounter_id`; any request where the EHR sends none). What an adapter does not declare must be
refused: that is tested instead. Imported by tests only.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

import fhirkit
import pytest

from gateway.canonical import codes, jsonio
from gateway.canonical.errors import (
    MappingError,
    NotificationError,
    NotificationMalformed,
    NotificationRejected,
    RateLimited,
    UnsupportedOperation,
)
from gateway.canonical.models import (
    EncounterBundle,
    EncounterRecord,
    EncounterRef,
    NotificationRequest,
    reference_of,
)
from gateway.kit.contract_encounter import (
    FATE,
    FHIR_REQUIRED,
    ExpectedEncounter,
    ExpectedLine,
    RequiredElement,
    without,
)
from gateway.kit.contract_support import Simulator
from gateway.kit.ehr_references import references_at
from gateway.kit.simulator import FaultKind
from gateway.ports.ehr import EhrAdapter, EhrAdapterInfo, EhrCapability


class EhrContract:
    """Inherit this class; each test is one promise of `gateway.ports.ehr.EhrAdapter`."""

    info: ClassVar[EhrAdapterInfo]
    expected: ClassVar[ExpectedEncounter]
    required: ClassVar[tuple[RequiredElement, ...]] = FHIR_REQUIRED
    max_warm_calls: ClassVar[int] = 8
    first_cursor: ClassVar[str | None] = "2020-01-01T00:00:00+00:00"
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

    def _can(self, capability: EhrCapability) -> bool:
        return capability in self.info.capabilities

    @pytest.fixture
    def bundle(self, ehr: EhrAdapter, record: EncounterRecord) -> EncounterBundle:
        """The canonical encounter of the hand-written record."""
        return ehr.normalize(record)

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
            assert self._verified(ehr, other) is self._can(EhrCapability.NOTIFY)
            return
        with pytest.raises(NotificationRejected):
            ehr.verify_notification(other)

    signs_bodies: ClassVar[bool] = False

    def test_the_right_secret_is_accepted(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """The event fixture is a genuine notification; an EHR that sends none is believed nothing."""
        assert self._verified(ehr, event) is self._can(EhrCapability.NOTIFY)

    def _verified(self, ehr: EhrAdapter, event: NotificationRequest) -> bool:
        try:
            ehr.verify_notification(event)
        except NotificationRejected:
            return False
        return True

    def test_the_same_event_twice_gives_the_same_key(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """Vendors send one event more than once; the inbox tells by the key."""
        if not self._can(EhrCapability.NOTIFY):
            with pytest.raises(UnsupportedOperation):
                ehr.parse_notification(event)
            return
        first, second = ehr.parse_notification(event), ehr.parse_notification(event)
        assert [r.encounter_id for r in first.refs] == [self.expected.encounter_id]
        assert first == second

    def test_unknown_events_are_ignored(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """An event that is not about an encounter names none and is no error."""
        if self._can(EhrCapability.NOTIFY):
            assert ehr.parse_notification(self.unknown_event(event)).refs == ()

    def test_a_broken_body_is_malformed(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """HTTP 400, not a crash."""
        for body in (b"{", b"[]", b"1", b"{}", b"\xff\xfe"):
            expected = NotificationMalformed if self._can(EhrCapability.NOTIFY) else UnsupportedOperation
            with pytest.raises(expected):
                ehr.parse_notification(replace(event, body=body))

    def test_a_challenge_without_its_capability_is_refused(self, ehr: EhrAdapter, event: NotificationRequest) -> None:
        """A GET on the hook proves nothing to anybody unless the EHR asks for it; and then not without its question."""
        expected = NotificationError if self._can(EhrCapability.CHALLENGE) else UnsupportedOperation
        with pytest.raises(expected):
            ehr.answer_challenge(replace(event, method="GET", query={}, body=b""))

    async def test_a_consent_without_its_capability_is_refused(self, ehr: EhrAdapter) -> None:
        """Where a person must consent, each question has a state of its own; elsewhere nobody is asked."""
        address = "http://127.0.0.1:8765/callback"
        if self._can(EhrCapability.CONSENT):
            assert ehr.consent(address).state != ehr.consent(address).state
            return
        with pytest.raises(UnsupportedOperation):
            ehr.consent(address)
        with pytest.raises(UnsupportedOperation):
            await ehr.accept_consent("code", address)

    async def test_polling_finds_the_signed_encounter(self, ehr: EhrAdapter) -> None:
        """Each found encounter comes with a cursor, and a poll from that cursor works."""
        if not self._can(EhrCapability.POLL):
            with pytest.raises(UnsupportedOperation):
                [pair async for pair in ehr.changed_encounters(None)]
            return
        found = [pair async for pair in ehr.changed_encounters(self.first_cursor)]
        assert self.expected.encounter_id in [ref.encounter_id for ref, _ in found]
        again = [ref async for ref, _ in ehr.changed_encounters(found[-1][1])]
        assert {ref.dedupe_key for ref in again} <= {ref.dedupe_key for ref, _ in found}

    async def test_backfill_finds_the_signed_encounter_and_resumes(self, ehr: EhrAdapter) -> None:
        """From the last position on nothing is left but what was there already."""
        since = date(2020, 1, 1)
        if not self._can(EhrCapability.BACKFILL):
            with pytest.raises(UnsupportedOperation):
                [pair async for pair in ehr.backfill(since, None)]
            return
        found = await self._listed(ehr, since, None)
        assert all(ref.serviced and ref.serviced >= since for ref, _ in found), "`--until` compares the dates"
        assert self.expected.encounter_id in [ref.encounter_id for ref, _ in found]
        rest = await self._listed(ehr, since, found[-1][1])
        assert {ref.encounter_id for ref, _ in rest} <= {ref.encounter_id for ref, _ in found}

    async def _listed(self, ehr: EhrAdapter, since: date, position: str | None) -> list[tuple[EncounterRef, str]]:
        """The whole listing; an EHR that prepares it asks to come back."""
        while True:
            try:
                return [pair async for pair in ehr.backfill(since, position)]
            except RateLimited as wait:
                assert wait.retry_after is not None and wait.retry_after < 5, "set the simulator to answer soon"
                await asyncio.sleep(wait.retry_after)

    async def test_writing_back_without_its_capability_is_refused(self, ehr: EhrAdapter) -> None:
        """What the EHR cannot hold is not pretended."""
        if not self._can(EhrCapability.WRITE_BACK):
            with pytest.raises(UnsupportedOperation):
                await ehr.write_back(self._ref(), FATE)

    async def test_writing_back_twice_is_as_once(self, ehr: EhrAdapter, simulator: Simulator) -> None:
        """A worker may die after it has told the EHR: the next one tells it again."""
        if self._can(EhrCapability.WRITE_BACK):
            await ehr.write_back(self._ref(), FATE)
            once = self.written(simulator)
            await ehr.write_back(self._ref(), FATE)
            assert once and self.written(simulator) == once

    def written(self, simulator: Simulator) -> list[Any]:
        """What the simulator's ledger holds of write-backs."""
        return list(simulator.ledger()["written"])

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
        for required in self.required:
            with pytest.raises(MappingError) as raised:
                ehr.normalize(without(record, required.record_type, required.element))
            finding = raised.value.findings[0]
            assert finding.expression.startswith(required.expression), (required, finding.expression)
            assert finding.message and finding.fix

    def test_charges_without_a_price_are_none_and_nothing_is_a_float(self, bundle: EncounterBundle) -> None:
        """Money is decimal all the way."""
        assert {type(line.quantity) for line in bundle.charges} == {Decimal}
        assert {type(line.unit_price) for line in bundle.charges} <= {Decimal, type(None)}

    async def test_the_probe_finds_everything_in_order_and_names_a_remedy_when_not(
        self, ehr: EhrAdapter, simulator: Simulator
    ) -> None:
        """`gateway check` says what works; a broken EHR is reported, never raised."""
        assert [probe for probe in await ehr.probe() if not probe.ok] == []
        simulator.fail("*", FaultKind.HTTP_500, times=500)
        broken = [probe for probe in await ehr.probe() if not probe.ok]
        assert broken and all(probe.remedy for probe in broken)

    def _ref(self) -> EncounterRef:
        return EncounterRef(self.expected.encounter_id, f"Encounter/{self.expected.encounter_id}")
