"""From an encounter's status to its charges, and how charges are found."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.kit.simulator import FaultKind


async def test_an_encounter_becomes_charges_when_it_is_approved(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.encounter()

    async def number() -> str | None:
        members = "<Fields/><Filter><EncounterID>29001</EncounterID></Filter>"
        return (await sandbox.call("GetEncounterDetails", members)).text("EncounterStatus")

    async def statuses(extra: str = "") -> list[str | None]:
        found = await sandbox.charges(f"<BatchNumber>gw-1</BatchNumber>{extra}")
        return [row.text("Status") for row in found if row.text("ID")]

    async def move(status: str) -> Any:
        update = f"<EncounterID>29001</EncounterID><EncounterStatus>{status}</EncounterStatus><Practice><PracticeID>4"
        members = f"<EncounterUpdateStatus>{update}</PracticeID></Practice></EncounterUpdateStatus>"
        return await sandbox.call("UpdateEncounterStatus", members)

    unapproved = "<IncludeUnapprovedCharges>T</IncludeUnapprovedCharges>"
    assert (await number(), await statuses(), await statuses(unapproved)) == ("1", [], ["Undefined"])
    await move("Submitted")
    assert (await number(), await statuses()) == ("2", [])
    assert (await move("Approved")).text("EncounterID") == "29001"
    assert (await number(), await statuses()) == ("3", ["Ready"])
    assert (await move("Draft")).text("IsError") == "true"
    for expected in ("Pending", "Completed"):
        assert (await sandbox.client.post("/_sim/advance", json={})).json() == {"moved": ["29001"]}
        assert await statuses() == [expected]


async def test_the_columns_of_a_charge(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.encounter(sandbox.ENCOUNTER.replace("Draft", "Approved"))
    await sandbox.client.post("/_sim/advance", json={"EncounterID": "29001", "to": "Completed"})
    (row,) = await sandbox.charges("<PatientName>Testina Sample</PatientName>")
    expected = {
        "EncounterID": "29001", "EncounterStatus": "Approved", "PatientID": "4001", "PatientName": "Testina Sample",
        "ProcedureCode": "17000", "ProcedureModifier1": "59", "ProcedureModifier2": None, "DiagnosisCode2": "D22.5",
        "Units": "2", "UnitCharge": "145.00", "TotalCharges": "290.00", "Receipts": "232.00", "TotalBalance": "0.00",
        "PrimaryInsuranceInsurancePayment": "232.00", "PrimaryInsuranceInsuranceContractAdjustment": "58.00",
        "PrimaryInsuranceCompanyName": "Prairie Health Plan", "ServiceStartDate": "3/3/2026 12:00:00 AM",
        "BatchNumber": "gw-1", "ID": "88001",
    }  # fmt: skip
    assert {name: row.text(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("criteria", "count"),
    [
        ("<FromServiceDate>2026-03-03</FromServiceDate><ToServiceDate>2026-03-03</ToServiceDate>", 1),
        ("<FromServiceDate>02/25/2026</FromServiceDate>", 1),
        ("<FromServiceDate>2026-02-23</FromServiceDate>", 0),
        ("<ToServiceDate>2026-03-10</ToServiceDate>", 1),
        ("<ToServiceDate>2026-03-11</ToServiceDate>", 0),
        ("<FromPostingDate>2026-03-04</FromPostingDate><ToPostingDate>2026-03-05</ToPostingDate>", 1),
        ("<FromPostingDate>2026-03-05</FromPostingDate><ToPostingDate>2026-03-06</ToPostingDate>", 0),
        (
            "<FromLastModifiedDate>2020-01-01</FromLastModifiedDate><ToLastModifiedDate>2100-01-01</ToLastModifiedDate>",
            1,
        ),
        ("<BilledTo>Primary Insurance</BilledTo><CasePayerScenario>Insurance</CasePayerScenario>", 1),
        ("<DiagnosisCode>D22.5</DiagnosisCode>", 1),
        ("<EncounterStatus>Draft</EncounterStatus>", 0),
        ("<ProcedureCode>17000</ProcedureCode>", 1),
        ("<RenderingProviderFullName>Sven Lindqvist</RenderingProviderFullName>", 0),
        ("<Status>Ready</Status>", 1),
        ("<PatientID>1</PatientID>", 1),
    ],
)
async def test_charge_filters(sandbox: Any, criteria: str, count: int) -> None:
    await sandbox.patient()
    await sandbox.encounter(sandbox.ENCOUNTER.replace("Draft", "Approved"))
    assert len([row for row in await sandbox.charges(criteria) if row.text("ID")]) == count


async def test_a_long_span_of_posting_dates_is_a_fault(sandbox: Any) -> None:
    for last, is_fault in (("2026-03-02", False), ("2026-03-03", True)):
        dates = f"<FromPostingDate>2026-01-01</FromPostingDate><ToPostingDate>{last}</ToPostingDate>"
        result = await sandbox.call("GetCharges", f"<Fields/><Filter>{dates}</Filter>")
        assert (result.fault is not None) is is_fault


async def test_the_control_routes_play_the_biller_and_the_payer(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.encounter()

    async def advance(**body: str) -> int:
        return (await sandbox.client.post("/_sim/advance", json=body)).status_code

    assert await advance(EncounterID="29001", to="Error - Rejection") == 400
    assert await advance(EncounterID="29001", to="Approved") == 200
    assert await advance(EncounterID="29001", to="Draft") == 400
    assert await advance(EncounterID="29001", to="Error - Rejection") == 200
    assert await advance(EncounterID="1", to="Completed") == 400
    assert await advance(to="Paid somehow") == 400
    (saved,) = (await sandbox.ledger())["encounters"]
    assert (saved["status"], saved["lines"][0]["charge_status"]) == ("Approved", "Error - Rejection")


async def test_reset_forgets_everything(sandbox: Any) -> None:
    await sandbox.patient()
    await sandbox.fail(FaultKind.GARBAGE)
    await sandbox.client.post("/_sim/reset")
    ledger = await sandbox.ledger()
    assert (ledger["patients"], ledger["calls"], ledger["faults"]) == ([], {}, {})
    await sandbox.patient()
    assert (await sandbox.encounter()).text("EncounterID") == "29001"
