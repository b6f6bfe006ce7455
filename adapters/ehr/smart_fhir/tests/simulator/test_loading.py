"""Loading data: folders, Bundles, references, and the public fixtures."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from adapters.ehr.smart_fhir.simulator import connection, new_credentials
from gateway.canonical import jsonio
from gateway.kit.simulator import SimulatorOptions

SHARED = pathlib.Path(__file__).resolve().parents[6] / "shared"


def test_the_connection_points_at_the_simulator(credentials: Any) -> None:
    options = SimulatorOptions("http://127.0.0.1:8080", credentials=credentials)
    made = connection(options)
    assert made.settings["base_url"] == "http://127.0.0.1:8080/fhir"
    assert set(made.secrets) == {"SMART_PRIVATE_KEY", "SMART_WEBHOOK_SECRET"}
    public = jsonio.loads(credentials["jwks"])["keys"][0]
    assert public["kid"] == made.settings["key_id"]
    assert "d" not in public
    assert new_credentials(7)["private_jwk"] != credentials["private_jwk"]


async def test_a_folder_loads_and_reports_what_it_skips(sandbox: Any, tmp_path: pathlib.Path) -> None:
    urn = "urn:uuid:0b9a1a4e-0000-4000-8000-000000000001"
    entries = [
        {"fullUrl": urn, "resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}},
        {"resource": {"resourceType": "Encounter", "id": "x", "status": "finished", "subject": {"reference": urn}}},
        {"resource": {"resourceType": "Location", "id": "l1", "identifier": [{"system": "urn:s", "value": "7"}]}},
        {"resource": {"resourceType": "Claim", "facility": {"reference": "Location?identifier=urn:s|7"}}},
        {"resource": {"resourceType": "Claim", "facility": {"reference": "http://e.test/fhir/Location/l2"}}},
        {"fullUrl": "http://e.test/fhir/Location/l2", "resource": {"resourceType": "Location", "id": "l2"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    (tmp_path / "a.json").write_bytes(jsonio.dumps(bundle))
    (tmp_path / "b.ndjson").write_text('{"resourceType":"Patient","id":"n1"}\nnot json\n{"resourceType":"Nothing"}\n')
    (tmp_path / "c.txt").write_text("notes")
    (tmp_path / "d.json").write_text('{"resourceType":"Patient","id":"n1","active":true}')
    async with sandbox(tmp_path) as sim:
        patient = urn.removeprefix("urn:uuid:")
        assert sim.ids((await sim.get(f"Encounter?patient=Patient/{patient}")).json()) == ["x"]
        assert (await sim.get("Claim?facility=Location/l1")).json()["total"] == 1
        assert (await sim.get("Claim?facility=l2")).json()["total"] == 1
        assert (await sim.get("Patient/n1")).json()["active"] is True
        rejected = [row["file"] for row in (await sim.ledger())["rejected_files"]]
        assert rejected == ["b.ndjson:2", "b.ndjson:3", "c.txt"]
    async with sandbox(tmp_path, strict="true") as sim:
        assert (await sim.get("Encounter/x")).status_code == 404


@pytest.mark.shared
@pytest.mark.parametrize(
    ("folder", "encounters"),
    [("synthea-2019", 31), ("synthea-bulk", None), ("us-core-7.0.0", 2), ("pas", 0), ("negative", 1)],
)
async def test_public_fixtures_are_served(sandbox: Any, folder: str, encounters: int | None) -> None:
    path = SHARED / "fixtures" / "fhir" / folder
    if not path.is_dir():
        pytest.skip("the public FHIR fixtures are not beside the checkout")
    async with sandbox(str(path)) as sim:
        ledger = await sim.ledger()
        assert ledger["rejected_files"] == []
        if encounters is not None:
            assert ledger["encounters"]["total"] == encounters
        for resource_type in ("Encounter", "Claim", "Patient", "Condition"):
            found = (await sim.get(f"{resource_type}?_count=1000")).json()
            for entry in found.get("entry", []):
                assert b"urn:uuid:" not in jsonio.dumps(entry["resource"].get("subject"))
        signed = (await sim.control("sign", all=True))["signed"]
        assert len(signed) == ledger["encounters"]["total"]


@pytest.mark.shared
async def test_a_synthea_visit_can_be_gathered_by_its_references(sandbox: Any) -> None:
    path = SHARED / "fixtures" / "fhir" / "synthea-2019"
    if not path.is_dir():
        pytest.skip("the public FHIR fixtures are not beside the checkout")
    async with sandbox(path) as sim:
        claims = (await sim.get("Claim?_count=1000")).json()["entry"]
        encounters = {ref["reference"] for e in claims for ref in e["resource"]["item"][0].get("encounter", [])}
        for reference in encounters:
            encounter = (await sim.get(reference)).json()
            assert (await sim.get(encounter["subject"]["reference"])).status_code == 200
            assert (await sim.get(f"Claim?encounter={reference}")).json()["total"] >= 1
