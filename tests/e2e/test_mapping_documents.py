"""The mapping document of each EHR tells of everything that its claims hold, and where it comes from."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from datetime import date
from importlib.metadata import entry_points
from typing import Any

import httpx
import pytest

from gateway.canonical.claim_builder import build_claim
from gateway.canonical.models import ClaimBundle, EncounterRef
from gateway.clinic_settings import ClinicSettings
from gateway.kit.contract_support import LocalLock, LocalValues, NoPacer, simulator_running
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.simulator import SimulatorOptions
from gateway.mapping_document import mapping_document
from gateway.ports.context import AdapterContext
from gateway.sandbox.clinic_day import ClinicDay, generate

EHRS = ["athenahealth", "drchrono", "elation", "smart_fhir"]  # charges of Practice Fusion come in files
FRAME = {
    *("resourceType", "id", "meta", "active", "status", "sequence", "encounter", "beneficiary", "patient"),
    *("Organization.type", "Claim.created", "Claim.insurer", "Claim.priority", "Claim.type", "Claim.use"),
    *("Encounter.class", "Condition.subject"),
}
"""What ties a claim together, or is the same in each."""
NAMES = {
    "Claim.insurance.coverage": "Claim.insurance.focal",
    "Claim.item.locationCodeableConcept": "Claim.item.location",
    "Claim.item.servicedDate": "Claim.item.serviced",
}
"""Members of the claim that the document calls by what they stand for."""
LISTS = ("item", "insurance", "careTeam", "supportingInfo")


def held(claim: ClaimBundle) -> Iterator[str]:
    """The elements that a claim and its resources fill, as the document names them."""
    yield from (f"Claim.{name}" for name in claim.claim if name not in LISTS)
    yield from (f"Claim.{name}.{member}" for name in LISTS[:2] for one in claim.claim[name] for member in one)
    yield from (f"Claim.careTeam.{one['role']['coding'][0]['code']}" for one in claim.claim["careTeam"])
    yield from (f"{r['resourceType']}.{name}" for r in claim.resources.values() for name in r)


def clinic_of(day: ClinicDay, more: dict[str, Any], ehr: str) -> ClinicSettings:
    links = {"ehr": {"ehr": {"adapter": ehr}}, "billing": {"billing": {"adapter": "x12_837p"}}}
    plain = {k: {c: str(fee) for c, fee in v.items()} if k == "fee_schedule" else v for k, v in day.clinic.items()}
    return ClinicSettings.model_validate({**plain, **more, **links})


async def claims_of(ehr: str) -> list[ClaimBundle]:
    """The claims of a generated day at the EHR's simulator."""
    info: Any = {point.name: point for point in entry_points(group="gateway.ehr_adapters")}[ehr].load()
    simulator = importlib.import_module(info.simulator)
    day = generate(seed=3, encounters=25, day=date(2026, 3, 3), error_rate=0.0)
    known = simulator.new_credentials(1)
    with simulator_running(simulator.build, credentials=known, data=day.resources) as url:
        offered = simulator.connection(SimulatorOptions(url, pace=0.0, credentials=known, data=day.resources))
        secrets = {f"env:{name}": value for name, value in offered.secrets.items()}
        settings = {name: secrets.get(str(value), value) for name, value in offered.settings.items()}
        facts = clinic_of(day, offered.clinic, ehr).facts("demo")
        context = AdapterContext(facts, "ehr", NoPacer(), LocalLock(), LocalValues())
        adapter = info.open(info.settings(**settings), context)
        async with httpx.AsyncClient(base_url=url) as client:
            (await client.post("/_sim/sign", json={"all": True})).raise_for_status()
            signed = (await client.get("/_sim/ledger")).json()["signed"]
        records = [await adapter.fetch_encounter(EncounterRef(row["encounter_id"], "")) for row in signed]
        await adapter.aclose()
    created = "2026-03-05T12:00:00+00:00"
    return [build_claim(adapter.normalize(record), facts, created=created) for record in records]


@pytest.mark.parametrize("ehr", EHRS)
async def test_all_that_a_claim_holds_is_in_the_document_with_its_source(ehr: str) -> None:
    found = {element for claim in await claims_of(ehr) for element in held(claim)}
    assert len(found & set(CLAIM_ELEMENTS)) > 10
    infos = {kind: {p.name: p for p in entry_points(group=f"gateway.{kind}_adapters")} for kind in ("ehr", "billing")}
    document = mapping_document(infos["ehr"][ehr].load(), infos["billing"]["x12_837p"].load())
    told = {line.element: line.ehr for section in document.sections[:1] for line in section.lines}
    framed = {element for element in found if {element, element.rpartition(".")[2]} & FRAME}
    assert (
        sorted(element for element in found - framed if "no row" in told.get(NAMES.get(element, element), "no row"))
        == []
    )
