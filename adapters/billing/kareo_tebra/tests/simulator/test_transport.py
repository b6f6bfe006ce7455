"""What is refused before a request is looked at, and how often a caller may call."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import zeep
from lxml import etree

from adapters.billing.kareo_tebra.simulator import PATH, connection
from adapters.billing.kareo_tebra.simulator.parser import SOAP
from adapters.billing.kareo_tebra.simulator.schema import SLASH
from gateway.kit.simulator import SimulatorOptions


def envelope(operation: str) -> str:
    return f'<e:Envelope xmlns:e="{SOAP}"><e:Body><{operation} xmlns="{SLASH}"/></e:Body></e:Envelope>'


async def test_the_wsdl_loads_and_its_requests_are_accepted(sandbox: Any) -> None:
    def use() -> list[Any]:
        service = zeep.Client(f"{sandbox.base_url}{PATH}?singleWsdl").service
        header = {"CustomerKey": "ck-demo", "Password": "pw-demo", "User": "api@example.test"}
        day = datetime(2026, 3, 3, tzinfo=UTC)
        line = {
            "Units": Decimal(1), "ProcedureCode": "17000", "ServiceStartDate": day, "DiagnosisCode1": "L57.0",
            "UnitCharge": Decimal("145.00"),
        }  # fmt: skip
        encounter = {
            "ServiceLines": {"ServiceLineReq": [line]}, "ServiceStartDate": day, "PostDate": day,
            "ServiceLocation": {"LocationID": "13"}, "RenderingProvider": {"ProviderID": "11"},
            "Practice": {"PracticeID": "4"}, "Patient": {"PatientID": "4001"}, "Case": {"CaseID": "9001"},
            "BatchNumber": "zeep-1", "EncounterStatus": "Approved",
        }  # fmt: skip

        def listed(operation: str, **criteria: str) -> Any:
            return service[operation](request={"RequestHeader": header, "Fields": {}, "Filter": criteria})

        return [
            service.CreateEncounter(request={"RequestHeader": header, "Encounter": encounter}),
            listed("GetPatients", LastName="Sample"),
            listed("GetServiceLocations"),
            listed("GetEncounterDetails", EncounterID="29001"),
            listed("GetCharges", BatchNumber="zeep-1"),
            service.GetPatient(request={"RequestHeader": header, "Filter": {"PatientID": "4001"}}),
            service.GetThrottles(request={"RequestHeader": header}),
        ]

    await sandbox.patient()
    created, found, places, details, charges, patient, throttles = await asyncio.to_thread(use)
    assert created["EncounterID"] == "29001"
    assert [row["ID"] for row in found["Patients"]["PatientData"]] == ["4001"]
    assert [row["ID"] for row in places["ServiceLocations"]["ServiceLocationData"]] == ["13", "14"]
    assert details["EncounterDetails"]["EncounterDetailsData"][0]["EncounterStatus"] == "3"
    assert [row["Status"] for row in charges["Charges"]["ChargeData"]] == ["Ready"]
    (case,) = patient["Patient"]["Cases"]["PatientCaseData"]
    assert case["InsurancePolicies"]["PatientInsurancePolicyData"][0]["PlanName"] == "Prairie PPO"
    assert len(throttles["Throttles"]["ThrottleDetail"]) > 10
    assert (await sandbox.ledger())["encounters"][0]["BatchNumber"] == "zeep-1"


async def test_an_action_outside_the_contract_is_a_fault(sandbox: Any) -> None:
    for action in (
        f'"{SLASH}GetPractices"',
        f"{SLASH}KareoServices/GetPractices",
        f'"{SLASH}KareoServices/Nothing"',
        "",
    ):
        reply = await sandbox.post("GetPractices", envelope("GetPractices"), soapaction=action)
        assert reply.status_code == 500
        assert "ContractFilter mismatch at the EndpointDispatcher" in reply.text


async def test_another_content_type_is_refused(sandbox: Any) -> None:
    reply = await sandbox.post("GetPractices", "{}", **{"content-type": "application/json"})
    assert reply.status_code == 415


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<not xml", "could not be read"),
        ("<!DOCTYPE x [<!ENTITY e 'v'>]><x>&e;</x>", "DTD is prohibited"),
        (envelope("GetProviders"), "Expected to find node type 'Element' with name 'GetPractices'"),
        (envelope("GetPractices"), "Object reference not set"),
        (f'<e:Envelope xmlns:e="{SOAP}"><e:Header><a/></e:Header></e:Envelope>', "invalid Message body"),
    ],
)
async def test_a_message_that_is_not_the_operation_is_a_fault(sandbox: Any, content: str, words: str) -> None:
    reply = await sandbox.post("GetPractices", content)
    assert reply.status_code == 500
    assert words in etree.fromstring(reply.content).findtext(".//faultstring")


async def test_a_request_header_in_the_soap_header_is_refused(sandbox: Any) -> None:
    reply = await sandbox.post(
        "GetPractices",
        f'<e:Envelope xmlns:e="{SOAP}" xmlns="{SLASH}"><e:Header>{sandbox.HEADER}</e:Header><e:Body>'
        "<GetPractices><request><Fields/><Filter/></request></GetPractices></e:Body></e:Envelope>",
    )
    assert reply.status_code == 500
    assert "Expecting element 'RequestHeader'" in reply.text


async def test_user_before_password_is_not_authorized(sandbox: Any) -> None:
    password = "<Password>pw-demo</Password>"
    header = sandbox.HEADER.replace(password, "").replace("</RequestHeader>", f"{password}</RequestHeader>")
    result = await sandbox.call("GetPractices", "<Fields/><Filter/>", header=header)
    assert (result.text("Authorized"), result.text("CustomerKeyValid")) == ("false", "true")
    assert not result.rows("PracticeData")


@pytest.mark.parametrize(
    ("right", "wrong", "shape"),
    [
        ("pw-demo", "x", ("false", "false", "true", "Invalid user name and/or password")),
        ("api@example.test", "x", ("false", "false", "true", "Invalid user name and/or password")),
        ("ck-demo", "x", ("true", "false", "false", "Invalid customer key")),
    ],
)
async def test_wrong_credentials(sandbox: Any, right: str, wrong: str, shape: tuple[str, ...]) -> None:
    result = await sandbox.call("GetPractices", "<Fields/><Filter/>", header=sandbox.HEADER.replace(right, wrong))
    names = ("Authenticated", "Authorized", "CustomerKeyValid", "SecurityResult")
    assert tuple(result.text(name) for name in names) == shape
    assert result.text("IsError") == "false"


async def test_a_missing_permission_is_named(running: Any) -> None:
    async with running(credentials={"permissions_missing": "CreateEncounter"}) as sandbox:
        await sandbox.patient()
        result = await sandbox.encounter()
        assert (result.text("Authorized"), result.text("PermissionsMissing")) == ("false", "CreateEncounter")
        assert (await sandbox.ledger())["encounters"] == []


def test_the_connection_carries_only_references_to_secrets() -> None:
    made = connection(SimulatorOptions(base_url="http://sim", credentials={"password": "other"}))
    assert made.settings["endpoint"] == f"http://sim{PATH}"
    assert made.settings["practice_name"] == "Lakeside Dermatology"
    assert made.secrets == {
        "KAREO_CUSTOMER_KEY": "ck-demo",
        "KAREO_USER": "api@example.test",
        "KAREO_PASSWORD": "other",
    }
    assert "other" not in str(made.settings)


async def test_calls_inside_the_gap_are_refused_per_operation(running: Any) -> None:
    async with running(pace=20.0) as sandbox:
        calls = ("GetPractices", "GetPractices", "GetProviders")
        first, second, other = [await sandbox.call(operation, "<Fields/><Filter/>") for operation in calls]
        assert [reply.text("IsError") for reply in (first, second, other)] == ["false", "true", "false"]
        message = second.text("ErrorMessage") or ""
        assert "429" in message
        assert "requested more than allowed" in message
        assert (await sandbox.ledger())["throttled"] == 1


async def test_a_call_after_the_gap_is_answered(running: Any) -> None:
    async with running(pace=0.02) as sandbox:
        for _ in range(2):
            assert (await sandbox.call("GetPractices", "<Fields/><Filter/>")).text("IsError") == "false"
            await asyncio.sleep(0.011)


async def test_the_throttles_are_told_as_they_are_enforced(running: Any) -> None:
    async with running(pace=0.02) as sandbox:
        result = await sandbox.call("GetThrottles", "")
        told = {row.text("Endpoint"): row.text("ThrottleTimeMs") for row in result.rows("ThrottleDetail")}
        assert told["GetPatient"] == "5"
        assert told["CreateEncounter"] == told["UpdateEncounterStatus"] == "10"
        assert told["UpdatePatient"] == told["GetCharges"] == "20"
        assert told["GetThrottles"] == "100"
