"""The simulator's Bulk Data exports (Bulk Data Access 2.0.0) and its refusals of practice-wide searches."""

from __future__ import annotations

from typing import Any

import fhirkit
import httpx
import pytest

from gateway.canonical import jsonio

GROUP = {
    "resourceType": "Group",
    "id": "g1",
    "type": "person",
    "actual": True,
    "member": [{"entity": {"reference": "Patient/p1"}}],
}


async def kick_off(sim: Any, path: str = "Patient/$export", **headers: str) -> httpx.Response:
    answer: httpx.Response = await sim.get(path, **{"prefer": "respond-async", **headers})
    return answer


async def manifest(sim: Any, path: str = "Patient/$export") -> dict[str, Any]:
    """The manifest of an export, and its files by type."""
    status = (await kick_off(sim, path)).headers["content-location"]
    while (answer := await sim.get(status, accept="application/json")).status_code == 202:
        pass
    assert answer.status_code == 200, answer.text
    return {**answer.json(), "status": status}


async def exported(sim: Any, made: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of each type."""
    found: dict[str, list[str]] = {}
    for item in made["output"]:
        file = await sim.get(item["url"], accept="application/fhir+ndjson")
        assert file.headers["content-type"].startswith("application/fhir+ndjson")
        resources = [jsonio.loads(line) for line in file.content.splitlines()]
        assert {r["resourceType"] for r in resources} == {item["type"]} and len(resources) == item["count"]
        found.setdefault(item["type"], []).extend(r["id"] for r in resources)
    return found


async def test_an_export_runs_gives_its_files_and_is_deleted(sandbox: Any) -> None:
    async with sandbox(export_polls="2") as sim:
        begun = await kick_off(sim, "Patient/$export?_type=Encounter,Patient")
        status = begun.headers["content-location"]
        assert begun.status_code == 202
        running = [await sim.get(status), await sim.get(status)]
        assert [(r.status_code, r.headers["retry-after"], "x-progress" in r.headers) for r in running] == [
            (202, "0", True)
        ] * 2
        made = (await sim.get(status)).json()
        assert made["requiresAccessToken"] is True and made["error"] == []
        assert set(await exported(sim, made)) == {"Encounter", "Patient"}
        assert (await sim.http.get(made["output"][0]["url"])).status_code == 401
        assert (await sim.http.delete(status, headers=sim.headers())).status_code == 202
        assert (await sim.get(status)).status_code == 404


async def test_a_question_that_comes_too_early_is_refused(sandbox: Any) -> None:
    async with sandbox(export_retry_after="60") as sim:
        status = (await kick_off(sim)).headers["content-location"]
        assert [(await sim.get(status)).status_code for _ in range(2)] == [202, 429]


async def test_a_second_export_waits_for_the_first(sandbox: Any) -> None:
    async with sandbox() as sim:
        status = (await kick_off(sim)).headers["content-location"]
        second = await kick_off(sim)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        await sim.http.delete(status, headers=sim.headers())
        assert (await kick_off(sim)).status_code == 202


async def test_since_gives_what_changed_after_it(sandbox: Any) -> None:
    async with sandbox() as sim:
        first = await manifest(sim)
        await sim.control("sign", encounter_ids=["e3"])
        at = first["transactionTime"]
        assert await exported(sim, await manifest(sim, f"Patient/$export?_since={at}")) == {"Encounter": ["e3"]}


async def test_a_group_exports_its_members_and_what_belongs_to_nobody(sandbox: Any, practice: Any) -> None:
    async with sandbox([*practice(5), GROUP]) as sim:
        found = await exported(sim, await manifest(sim, "Group/g1/$export?_type=Patient,Encounter,Claim,Practitioner"))
        assert found == {"Patient": ["p1"], "Encounter": ["e1", "e4"], "Claim": ["k1", "k4"], "Practitioner": ["dr1"]}
        assert (await kick_off(sim, "Group/none/$export")).status_code == 404


async def test_a_type_of_many_resources_has_several_files(sandbox: Any) -> None:
    async with sandbox(export_lines="2") as sim:
        made = await manifest(sim, "Patient/$export?_type=Encounter")
        assert [item["count"] for item in made["output"]] == [2, 2, 1]
        assert len((await exported(sim, made))["Encounter"]) == 5


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("Patient/$export", {"prefer": "handling=strict"}, 400),
        ("Patient/$export?_outputFormat=text/csv", {}, 400),
        ("Patient/$export?_typeFilter=x", {}, 400),
        ("Patient/$export?_outputFormat=ndjson", {}, 202),
        ("$export", {}, 404),
        ("Encounter/$export", {}, 404),
        ("Export/none", {}, 404),
    ],
)
async def test_what_is_refused(sandbox: Any, path: str, headers: dict[str, str], status: int) -> None:
    async with sandbox() as sim:
        answer = await kick_off(sim, path, **headers)
        assert answer.status_code == status
        if status >= 400:
            assert answer.json()["resourceType"] == "OperationOutcome"


async def test_the_scopes_must_cover_every_type(sandbox: Any, practice: Any) -> None:
    async with sandbox([*practice(1), GROUP], login=False) as sim:
        await sim.login("system/Encounter.rs")
        assert (await kick_off(sim, "Group/g1/$export?_type=Encounter")).status_code == 403
        assert (await kick_off(sim, "Patient/$export?_type=Claim")).status_code == 403


async def test_kick_offs_by_post_alone(sandbox: Any) -> None:
    async with sandbox(export_post="true") as sim:
        assert (await kick_off(sim)).status_code == 404
        body = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Encounter"}]}
        headers = {**sim.headers(), "prefer": "respond-async"}
        answer = await sim.http.post(f"{sim.base}/Patient/$export", content=jsonio.dumps(body), headers=headers)
        assert answer.status_code == 202


async def test_each_visit_had_an_appointment(sandbox: Any) -> None:
    async with sandbox() as sim:
        found = (await sim.get("Appointment?date=ge2025-03-02&date=lt2025-03-03")).json()
        (appointment,) = [entry["resource"] for entry in found["entry"]]
        assert appointment["participant"][0]["actor"]["reference"] == "Patient/p1"
        assert not [i for i in fhirkit.validate(jsonio.dumps(appointment)) if i.severity == "error"]


@pytest.mark.parametrize(
    ("style", "status", "words"),
    [
        ("outcome", 400, "required"),
        ("forbidden", 403, "forbidden"),
        ("oracle", 400, "No supported search parameters provided"),
        ("outcome_200", 200, "not-supported"),
        ("empty", 200, '"total":0'),
        ("ignored", 200, '"total":5'),
    ],
)
async def test_practice_wide_searches_are_refused_in_the_ways_of_vendors(
    sandbox: Any, style: str, status: int, words: str
) -> None:
    async with sandbox() as sim:
        await sim.control("refuse", feeds={"last_updated": style})
        answer = await sim.get("Encounter?_lastUpdated=ge2090-01-01")
        assert (answer.status_code, words in answer.text) == (status, True)
        anchored = await sim.get("Encounter?_lastUpdated=ge2020-01-01&patient=p1")
        assert sim.ids(anchored.json()) == ["e1", "e4"]


async def test_an_unknown_refusal_is_no_control(sandbox: Any) -> None:
    async with sandbox() as sim:
        answer = await sim.http.post(f"{sim.url}/_sim/refuse", content=b'{"feeds":{"last_updated":"politely"}}')
        assert answer.status_code == 400
