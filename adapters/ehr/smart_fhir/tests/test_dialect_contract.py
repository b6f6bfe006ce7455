"""Every dialect keeps the contract of all EHR adapters, at the simulator that plays its vendor."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from adapters.ehr.smart_fhir.dialects import DIALECTS, DialectName
from adapters.ehr.smart_fhir.simulator.charging import charged_as
from adapters.ehr.smart_fhir.simulator.proofs import Proof
from adapters.ehr.smart_fhir.simulator.variants import VARIANTS
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRecord, NotificationRequest, Resource
from gateway.kit.contract_ehr import EhrContract, PagedEhr
from gateway.kit.contract_encounter import ExpectedEncounter, ExpectedLine
from gateway.kit.contract_support import Simulator
from gateway.kit.ehr_notifications import SIGNATURE_HEADER
from gateway.ports.context import AdapterContext
from gateway.ports.ehr import EhrCapability

NAMES = [name for name in DialectName if name is not DialectName.GENERIC]  # the generic one has its own module
OFFICE = ExpectedLine("G0463", ("25", "GT"), Decimal(1), Decimal("185.00"), ("I10", "E11.9"))
DRUG = ExpectedLine("J1885", (), Decimal(3), Decimal("33.3333"), ("E11.9",))
COUNSELLING = ExpectedLine("G0108", (), Decimal(1), None, ())
WHOLE = ExpectedEncounter(
    encounter_id="enc-1",
    diagnosis_codes=("E11.9", "I10"),
    lines=(OFFICE, DRUG),
    member_ids=("000123456", "77001"),
    referring_npi="1679576722",
    location_code="22",
    prior_authorization="PA-0042",
)
PLAIN = replace(WHOLE, location_code="11", prior_authorization=None)
BY_CHARGES = {
    "": WHOLE,
    "claim": PLAIN,
    "charge_item": PLAIN,
    # a Procedure has neither units nor a price: the fee schedule prices it when the claim is built
    "procedure": replace(
        PLAIN,
        lines=(COUNSELLING, replace(OFFICE, unit_price=None), replace(DRUG, quantity=Decimal(1), unit_price=None)),
    ),
}
SECRET = "hook-secret"


def signed(simulator: Simulator) -> Simulator:
    """With every visit signed."""
    simulator.client.post("/_sim/sign", json={"all": True}).raise_for_status()
    return simulator


def of_the_feed(name: DialectName) -> dict[str, str]:
    """Settings that leave no time to trying the ladder."""
    feed = "appointments" if DIALECTS[name].settings.get("patient_anchored") else "last_updated"
    return {"webhook_secret": SECRET, "feed": feed}


class TestContract(EhrContract):
    info = ADAPTER
    max_warm_calls = 9  # the gate's search, and at most vendors one wave more

    @pytest.fixture(params=NAMES)
    def name(self, request: pytest.FixtureRequest) -> DialectName:
        return DialectName(request.param)

    @pytest.fixture(autouse=True)
    def expect(self, name: DialectName) -> None:
        self.played_name = name
        self.expected = BY_CHARGES[VARIANTS[name].get("charges", "")]
        self.signs_bodies = name is DialectName.MEDPLUM

    @pytest.fixture
    def resources(self, resources: list[Resource]) -> list[Resource]:
        """The visit of yesterday evening: feeds look back from the present day."""
        today = datetime.now(UTC).date()
        moved = jsonio.dumps(resources).replace(b"2026-03-04", today.isoformat().encode())
        found = jsonio.loads(moved.replace(b"2026-03-03", (today - timedelta(days=1)).isoformat().encode()))
        assert isinstance(found, list)
        return found

    @pytest.fixture
    def played(self, name: DialectName, playing: Any) -> Iterator[tuple[Simulator, dict[str, Any]]]:
        with playing(name, time_scale="0.002") as (simulator, settings):
            yield signed(simulator), {**settings, **of_the_feed(name)}

    @pytest.fixture
    async def paged(
        self, name: DialectName, playing: Any, several: list[Resource], context: AdapterContext
    ) -> AsyncIterator[PagedEhr]:
        with playing(name, data=several, largest_page="1") as (simulator, settings):
            adapter = ADAPTER.open(ADAPTER.settings(**{**settings, **of_the_feed(name)}), context)
            yield PagedEhr(adapter, signed(simulator), frozenset({"enc-1", "enc-2", "enc-3"}))
            await adapter.aclose()

    def can(self, capability: EhrCapability) -> bool:
        """Few vendors offer Subscription."""
        offered = VARIANTS[self.played_name].get("types") is None
        return super().can(capability) and (capability is not EhrCapability.SUBSCRIBE or offered)

    @pytest.fixture
    def simulator(self, played: tuple[Simulator, dict[str, Any]]) -> Simulator:
        return played[0]

    @pytest.fixture
    async def ehr(self, played: tuple[Simulator, dict[str, Any]], context: AdapterContext) -> AsyncIterator[Any]:
        adapter = ADAPTER.open(ADAPTER.settings(**played[1]), context)
        yield adapter
        await adapter.aclose()

    @pytest.fixture
    def record(self, name: DialectName, record: EncounterRecord) -> EncounterRecord:
        """As the vendor holds it: its way of charging, and the proof of the signature."""
        knobs = VARIANTS[name]
        held = charged_as(knobs.get("charges", ""), [record.encounter, *record.resources])
        return replace(record, resources=(*held[1:], *Proof(knobs.get("proof", "")).signed(record.encounter)))

    @pytest.fixture
    def event(self, name: DialectName, resources: list[Resource]) -> NotificationRequest:
        body = jsonio.dumps(resources[0])
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        header = {SIGNATURE_HEADER: signature} if name is DialectName.MEDPLUM else {"authorization": f"Bearer {SECRET}"}
        return NotificationRequest("PUT", "Encounter/enc-1", header, {}, body, "192.0.2.7")
