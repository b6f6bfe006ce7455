"""Access to data: tokens, scopes, reads, searches, pages, includes and batches."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.kit.fhir_simulator.values import KINDS, date_range


async def test_missing_unknown_and_expired_tokens_are_401(sandbox: Any) -> None:
    async with sandbox() as sim:
        missing = await sim.http.get(f"{sim.base}/Patient/p1")
        assert (missing.status_code, missing.headers["www-authenticate"]) == (401, "Bearer")
        unknown = await sim.get("Patient/p1", Authorization="Bearer wrong")
        assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
        assert unknown.json()["issue"][0]["code"] == "unknown"
        assert (await sim.get("Patient/p1")).status_code == 200
        await sim.control("expire_tokens")
        expired = await sim.get("Patient/p1")
        assert (expired.status_code, expired.json()["issue"][0]["code"]) == (401, "expired")
        await sim.login()
        assert (await sim.get("Patient/p1")).status_code == 200


async def test_the_life_of_a_token_can_be_set(sandbox: Any) -> None:
    async with sandbox(expires_in="0") as sim:
        assert (await sim.get("Patient/p1")).status_code == 401


@pytest.mark.parametrize(
    ("scope", "read", "search"),
    [("system/Encounter.r", 200, 403), ("system/Encounter.s", 403, 200), ("system/Encounter.read", 200, 200)],
)
async def test_scopes_separate_read_from_search(sandbox: Any, scope: str, read: int, search: int) -> None:
    async with sandbox() as sim:
        await sim.login(scope)
        assert (await sim.get("Encounter/e1")).status_code == read
        assert (await sim.get("Encounter?patient=p1")).status_code == search
        refused = await sim.get("Claim/k1")
        assert refused.status_code == 403
        assert "insufficient_scope" in refused.headers["www-authenticate"]
        assert refused.json()["issue"][0]["code"] == "forbidden"


async def test_scopes_hold_for_includes_and_queries(sandbox: Any) -> None:
    async with sandbox() as sim:
        await sim.login("system/Encounter.rs system/Condition.rs?code=I10 system/Claim.rs?status=draft")
        found = (await sim.get("Encounter?_id=e1&_include=Encounter:patient&_revinclude=Condition:encounter")).json()
        assert [entry["resource"]["resourceType"] for entry in found["entry"]] == ["Encounter", "Condition"]
        assert (await sim.get("Claim/k1")).status_code == 404
        assert (await sim.get("Claim?patient=p1")).json()["total"] == 0


async def test_read_vread_etag_and_what_is_not_there(sandbox: Any) -> None:
    async with sandbox() as sim:
        read = await sim.get("Claim/k1")
        assert b'"value":105.00' in read.content
        assert (read.headers["etag"], read.headers["content-type"]) == ('W/"1"', "application/fhir+json")
        assert (await sim.get("Claim/k1", **{"If-None-Match": 'W/"1"'})).status_code == 304
        assert (await sim.get("Claim/k1/_history/1")).json()["meta"]["versionId"] == "1"
        assert (await sim.get("Claim/k1/_history/2")).status_code == 404
        assert (await sim.get("Claim/none")).json()["resourceType"] == "OperationOutcome"
        assert (await sim.get("Nothing/1")).status_code == 404
        assert (await sim.get("Claim/k1", Accept="application/fhir+xml")).status_code == 406
        assert (await sim.get("Claim/k1?_format=xml")).status_code == 406
        assert (await sim.get("Claim/k1", Accept="application/fhir+json; fhirVersion=3.0")).status_code == 406
        assert (await sim.post("Claim", {"resourceType": "Claim"})).status_code == 405


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("Encounter?patient=p1", ["e1", "e4"]),
        ("Encounter?subject=Patient/p1&date=ge2025-03-03", ["e4"]),
        ("Encounter?subject:Patient=p1", ["e1", "e4"]),
        ("Encounter?date=ge2025-03-02&date=lt2025-03-04", ["e1", "e2"]),
        ("Encounter?date=2025-03-02", ["e1"]),
        ("Encounter?status=planned,in-progress&_sort=-date&_count=2", ["e4", "e3"]),
        ("Encounter?practitioner=dr1&_id=e2,e3,none", ["e2", "e3"]),
        ("Encounter?status:not=in-progress", []),
        ("Condition?encounter=Encounter/e2&category=encounter-diagnosis", ["c2"]),
        ("Condition?encounter=e2&code=http://hl7.org/fhir/sid/icd-10-cm|I10", ["c2"]),
        ("Condition?encounter=e2&code=http://snomed.info/sct|I10", []),
        ("Claim?encounter=Encounter/e3", ["k3"]),
        ("Claim?created:missing=true&patient=p0", ["k0", "k3"]),
        ("Coverage?beneficiary=Patient/p2&status=active", ["v2"]),
        ("Coverage?patient=p2", ["v2"]),
        ("Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|1234567893", ["dr1"]),
        ("Practitioner?_id=dr1,x", ["dr1"]),
        ("Patient?name=sAmPle1", ["p1"]),
        ("Procedure?encounter=e1", []),
        ("Encounter?_lastUpdated=lt2020", []),
        ("Patient?_lastUpdated=gt2020&_lastUpdated=lt2999&_sort=-_id", ["p2", "p1", "p0"]),
    ],
)
async def test_search(sandbox: Any, search: str, expected: list[str]) -> None:
    async with sandbox() as sim:
        got = await sim.get(search)
        assert got.status_code == 200, got.text
        assert sim.ids(got.json()) == expected
        kind, _, query = search.partition("?")
        form = {**sim.headers(), "Content-Type": "application/x-www-form-urlencoded"}
        posted = await sim.http.post(f"{sim.base}/{kind}/_search", content=query, headers=form)
        assert sim.ids(posted.json()) == expected


@pytest.mark.parametrize(
    "search",
    [
        "Encounter?colour=red",
        "Encounter?date=23 May 2009",
        "Encounter?date=ge2025-13",
        "Encounter?status:above=x",
        "Encounter?_sort=length",
        "Encounter?_count=many",
        "Encounter?_include=Encounter:status",
    ],
)
async def test_a_search_that_cannot_be_understood_is_400(sandbox: Any, search: str) -> None:
    async with sandbox() as sim:
        got = await sim.get(search)
        assert (got.status_code, got.json()["resourceType"]) == (400, "OperationOutcome")


async def test_lenient_handling_drops_unknown_parameters_from_the_self_link(sandbox: Any) -> None:
    async with sandbox() as sim:
        got = (await sim.get("Encounter?colour=red&patient=p1", Prefer="handling=lenient")).json()
        assert sim.ids(got) == ["e1", "e4"]
        assert got["link"] == [{"relation": "self", "url": f"{sim.base}/Encounter?patient=p1"}]


async def test_pages_are_complete_stable_and_absolute(sandbox: Any, visit: Any, practice: Any) -> None:
    async with sandbox(practice(25), page_size="10") as sim:
        page = (await sim.get("Encounter?_sort=_id&_include=Encounter:patient")).json()
        assert page["total"] == 25
        seen, url = sim.ids(page), {link["relation"]: link["url"] for link in page["link"]}["next"]
        assert url.startswith(f"{sim.base}/Encounter?")
        await sim.control("data", resources=visit(90))
        while url:
            page = (await sim.get(url)).json()
            seen += sim.ids(page)
            assert sim.ids(page, "include")
            url = {link["relation"]: link["url"] for link in page["link"]}.get("next", "")
        assert seen == sorted({f"e{n}" for n in range(25)})
        assert (await sim.get("Encounter?_page=nothing.10")).status_code == 410
        assert len(sim.ids((await sim.get("Encounter?_count=3")).json())) == 3
        counted = (await sim.get("Encounter?_count=0")).json()
        assert (counted["total"], "entry" in counted) == (26, False)


async def test_a_changed_reference_moves_the_resource_to_its_new_target(sandbox: Any, visit: Any) -> None:
    async with sandbox() as sim:
        changed = {**visit(1)[0], "subject": {"reference": "Patient/p2"}}
        assert await sim.control("data", resources=[changed]) == {"added": 1}
        assert sim.ids((await sim.get("Encounter?patient=p1")).json()) == ["e4"]
        assert sorted(sim.ids((await sim.get("Encounter?patient=p2")).json())) == ["e1", "e2"]
        await sim.control("sign", encounter_ids=["e2"])
        assert sim.ids((await sim.get("Encounter?patient=p2")).json()) == ["e2", "e1"]
        assert (await sim.get("Encounter/e1/_history/1")).json()["subject"]["reference"] == "Patient/p1"


async def test_includes_come_once_and_are_marked(sandbox: Any) -> None:
    async with sandbox() as sim:
        search = "Encounter?patient=p1&_include=Encounter:patient&_include=Encounter:practitioner"
        bundle = (await sim.get(f"{search}&_revinclude=Condition:encounter&_revinclude=Claim:encounter")).json()
        assert sim.ids(bundle) == ["e1", "e4"]
        assert sorted(sim.ids(bundle, "include")) == ["c1", "c4", "dr1", "k1", "k4", "p1"]
        assert bundle["entry"][0]["fullUrl"] == f"{sim.base}/Encounter/e1"


async def test_patient_anchored_servers_refuse_open_encounter_searches(sandbox: Any) -> None:
    async with sandbox(patient_anchored="true") as sim:
        assert (await sim.get("Encounter?_lastUpdated=ge2020")).status_code == 400
        assert (await sim.get("Encounter?patient=p1")).status_code == 200
        assert (await sim.get("Encounter?_id=e1")).status_code == 200


async def test_a_batch_answers_and_authorizes_each_entry(sandbox: Any) -> None:
    async with sandbox() as sim:
        await sim.login("system/Encounter.rs")
        urls = ["Encounter/e1", "Encounter?patient=p1", "Claim/k1", "Encounter/none"]
        entries = [{"request": {"method": "GET", "url": url}} for url in urls]
        entries.append({"request": {"method": "DELETE", "url": "Encounter/e1"}})
        answer = await sim.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
        got = answer.json()
        assert got["type"] == "batch-response"
        assert [entry["response"]["status"] for entry in got["entry"]] == ["200", "200", "403", "404", "405"]
        assert got["entry"][0]["resource"]["id"] == "e1"
        assert sim.ids(got["entry"][1]["resource"]) == ["e1", "e4"]
        assert got["entry"][2]["response"]["outcome"]["resourceType"] == "OperationOutcome"
        assert (await sim.post("", {"resourceType": "Bundle", "type": "transaction"})).status_code == 400


@pytest.mark.parametrize(
    ("value", "operand", "expected"),
    [
        ("2013-01-14T10:00:00Z", "2013-01-14", True),
        ("2013-01-14", "eq2013-01", True),
        ("2013-01", "eq2013-01-14", False),
        ("2013-01-14", "gt2013-01-14", False),
        ("2013-01-15", "gt2013-01-14", True),
        ("2013-01-14", "ge2013-01-14", True),
        ("2013-01-13", "le2013-01-14", True),
        ("2013-01-13", "sa2013-01-14", False),
        ("2013-01-13", "eb2013-01-14", True),
        ("2013-01-14", "ne2013-01-14", False),
        ("2013-01-14T23:30:00-02:00", "eq2013-01-15", True),
    ],
)
def test_date_prefixes(value: str, operand: str, expected: bool) -> None:
    kind = KINDS["date"]
    assert kind.matches(date_range(value), kind.operand(operand)) is expected
