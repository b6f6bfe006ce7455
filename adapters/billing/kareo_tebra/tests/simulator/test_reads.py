"""The list reads, with their quirks."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY
from adapters.billing.kareo_tebra.simulator.schema import NO_SLASH


async def test_the_directory_is_listed(sandbox: Any) -> None:
    everything = "<Fields/><Filter/>"
    practices = (await sandbox.call("GetPractices", everything)).rows("PracticeData")
    providers = (await sandbox.call("GetProviders", everything)).rows("ProviderData")
    assert [(row.text("ID"), row.text("NPI"), row.text("PracticeCity")) for row in practices] == [
        ("4", "1234567893", "Springfield")
    ]
    assert [row.text("ID") for row in providers] == ["11", "12", "13", "14"]
    assert [row.text("Active") for row in providers] == ["True", "True", "False", "True"]
    assert (await sandbox.call("GetCustomerIdFromKey", "")).text("CustomerId") == "48211"


@pytest.mark.parametrize(
    ("operation", "criteria", "row", "ids"),
    [
        ("GetProviders", "<PracticeID>4</PracticeID>", "ProviderData", ["11", "12", "13"]),
        ("GetProviders", "<FullName>adaeze okafor</FullName>", "ProviderData", ["11"]),
        ("GetProviders", "<Type>Referring Provider</Type>", "ProviderData", []),
        ("GetPractices", "<PracticeName>LAKESIDE dermatology</PracticeName>", "PracticeData", ["4"]),
        ("GetPractices", "<NPI>1999999984</NPI>", "PracticeData", []),
        ("GetPractices", "<FromCreatedDate>01/01/2020</FromCreatedDate>", "PracticeData", ["4"]),
        ("GetPractices", "<ToCreatedDate>2020-01-01</ToCreatedDate>", "PracticeData", []),
    ],
)
async def test_filters_of_the_directory(sandbox: Any, operation: str, criteria: str, row: str, ids: list[str]) -> None:
    result = await sandbox.call(operation, f"<Fields/><Filter>{criteria}</Filter>")
    assert [found.text("ID") for found in result.filled(row)] == ids


@pytest.mark.parametrize(
    ("operation", "row", "criterion", "ids"),
    [
        ("GetServiceLocations", "ServiceLocationData", "<ID>14</ID>", ["14"]),
        ("GetProcedureCodes", "ProcedureCodeData", "<ProcedureCode>G0439</ProcedureCode>", ["503"]),
        ("GetServiceLocations", "ServiceLocationData", "<PracticeID>4</PracticeID>", ["13"]),
    ],
)
async def test_two_operations_want_the_namespace_without_a_slash(
    sandbox: Any, operation: str, row: str, criterion: str, ids: list[str]
) -> None:
    fault = await sandbox.call(operation, "<Fields/><Filter/>")
    assert "Expecting element 'Fields'" in fault.fault
    fields = f'<Fields xmlns="{NO_SLASH}"/>'
    result = await sandbox.call(operation, f'{fields}<Filter xmlns="{NO_SLASH}">{criterion}</Filter>')
    assert [found.text("ID") for found in result.rows(row)] == ids
    named = f'{fields}<Filter xmlns="{NO_SLASH}"><PracticeName>Lakeside Dermatology</PracticeName></Filter>'
    assert (await sandbox.call(operation, named)).filled(row)
    unfiltered = f'{fields}<f:Filter xmlns:f="{NO_SLASH}">{criterion}</f:Filter>'
    assert len((await sandbox.call(operation, unfiltered)).rows(row)) > 1


async def test_a_missing_filter_is_a_null_reference(sandbox: Any) -> None:
    for members in ("<Fields/>", "<Filter/><Fields/>"):
        result = await sandbox.call("GetPractices", members)
        assert (result.fault is not None) == (members == "<Fields/>")
    assert "Object reference not set" in (await sandbox.call("GetPatient", "")).fault


async def test_toggles_in_fields_empty_the_rows_and_criteria_in_fields_do_nothing(sandbox: Any) -> None:
    empty = await sandbox.call("GetProviders", "<Fields><FullName>true</FullName></Fields><Filter/>")
    assert [set(row.texts()) for row in empty.rows("ProviderData")] == [{None}]
    ignored = await sandbox.call("GetProviders", "<Fields><FullName>Sven Lindqvist</FullName></Fields><Filter/>")
    assert len(ignored.rows("ProviderData")) == 4


async def test_the_older_projection_gives_the_columns_asked_for(running: Any) -> None:
    async with running(data={**DEFAULT_DIRECTORY, "projection": "toggles"}) as sandbox:
        result = await sandbox.call("GetPractices", "<Fields><ID>true</ID><NPI>true</NPI></Fields><Filter/>")
        assert [row.texts() for row in result.rows("PracticeData")] == [["4", "1234567893"]]


async def test_no_match_is_one_row_without_an_id(sandbox: Any) -> None:
    result = await sandbox.call("GetPatients", "<Fields/><Filter><LastName>Nobody</LastName></Filter>")
    assert [set(row.texts()) for row in result.rows("PatientData")] == [{None}]
    assert result.text("ID") is None
    details = await sandbox.call("GetEncounterDetails", "<Fields/><Filter><EncounterID>1</EncounterID></Filter>")
    assert len(details.rows("EncounterDetailsData")) == 1
    assert details.text("EncounterID") is None
