"""What the simulated FHIR server enforces, called without the adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest

from adapters.billing.fhir_claim.simulator import CREATE_OPERATION, build, connection
from adapters.billing.fhir_claim.simulator.access import ASSERTION_TYPE
from adapters.billing.fhir_claim.tests.conftest import CREDENTIALS, TOKEN
from gateway.canonical import jsonio, schema
from gateway.kit.simulator import SimulatorOptions

NPI = "http://hl7.org/fhir/sid/us-npi"
PLAIN: dict[str, Any] = {
    "resourceType": "Bundle",
    "type": "collection",
    "entry": [
        {
            "fullUrl": "urn:uuid:1f1f5a3e-0000-4000-8000-000000000001",
            "resource": {
                "resourceType": "Claim",
                "identifier": [{"system": "urn:fhir-billing-gateway:submission", "value": "S1"}],
                "status": "active",
                "type": {"coding": [{"code": "professional"}]},
                "use": "claim",
                "patient": {"reference": "urn:uuid:1f1f5a3e-0000-4000-8000-000000000002"},
                "created": "2026-03-04",
                "provider": {"reference": "urn:uuid:1f1f5a3e-0000-4000-8000-000000000003"},
                "priority": {"coding": [{"code": "normal"}]},
                "diagnosis": [{"sequence": 1, "diagnosisCodeableConcept": {"coding": [{"code": "L57.0"}]}}],
                "insurance": [{"sequence": 1, "focal": True, "coverage": {"display": "a plan"}}],
                "item": [
                    {
                        "sequence": 1,
                        "diagnosisSequence": [1],
                        "productOrService": {"coding": [{"code": "17000"}]},
                        "net": {"value": 145.5, "currency": "USD"},
                    }
                ],
                "total": {"value": 145.5, "currency": "USD"},
            },
        },
        {
            "fullUrl": "urn:uuid:1f1f5a3e-0000-4000-8000-000000000002",
            "resource": {"resourceType": "Patient", "name": [{"family": "Sample"}]},
        },
        {
            "fullUrl": "urn:uuid:1f1f5a3e-0000-4000-8000-000000000003",
            "resource": {"resourceType": "Organization", "identifier": [{"system": NPI, "value": "1234567893"}]},
        },
    ],
}
FHIR = {"content-type": "application/fhir+json", "authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def server(simulator_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=simulator_url, headers=FHIR) as client:
        yield client


def submit(server: httpx.Client, body: Any = None, **headers: str) -> httpx.Response:
    return server.post("/fhir/Claim/$submit", content=jsonio.dumps(body or OPEN_PAYER), headers=headers)


def transaction(server: httpx.Client, body: Any) -> httpx.Response:
    return server.post("/fhir", content=jsonio.dumps(body))


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The plain Bundle with its claim (and, by `__bundle__`, the Bundle itself) changed."""
    bundle = deepcopy(OPEN_PAYER)
    change(bundle)
    return bundle


def with_payer(bundle: dict[str, Any]) -> dict[str, Any]:
    """The Bundle with an insurer that the practice knows."""
    url = "urn:uuid:1f1f5a3e-0000-4000-8000-000000000004"
    payer = {"system": "urn:fhir-billing-gateway:payer-id", "value": "60054"}
    bundle = deepcopy(bundle)
    bundle["entry"][0]["resource"]["insurer"] = {"reference": url}
    bundle["entry"].append({"fullUrl": url, "resource": {"resourceType": "Organization", "identifier": [payer]}})
    return bundle


OPEN_PAYER = with_payer(PLAIN)


def as_transaction(bundle: dict[str, Any]) -> dict[str, Any]:
    entries = [
        {**entry, "request": {"method": "POST", "url": entry["resource"]["resourceType"]}} for entry in bundle["entry"]
    ]
    return {**bundle, "type": "transaction", "entry": entries}


# --- taking claims ----------------------------------------------------------------------------------------------


def test_a_claim_is_saved_with_what_it_references_and_answered(server: httpx.Client) -> None:
    answer = submit(server).json()
    assert (answer["resourceType"], answer["outcome"]) == ("ClaimResponse", "queued")
    claim = server.get(f"/fhir/{answer['request']['reference']}").json()
    assert claim["meta"]["versionId"] == "1"
    assert server.get(f"/fhir/{claim['patient']['reference']}").json()["name"] == [{"family": "Sample"}]
    for resource in (answer, claim, server.get("/fhir/metadata").json()):
        assert schema.check(resource) == []


def test_every_answer_of_the_payer_is_valid_r4(server: httpx.Client) -> None:
    submit(server)
    for step in ("queued", "partial", "complete", "paid", "denied", "error"):
        assert server.post("/_sim/advance", json={"to": step}).json() == {"moved": 1}
        bundle = server.get("/fhir/ClaimResponse").json()
        assert schema.check(bundle["entry"][0]["resource"]) == []
    assert server.post("/_sim/advance", json={"to": "heaven"}).status_code == 400


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(bundle: dict[str, Any]) -> None:
        at: Any = bundle["entry"][0]["resource"]
        *steps, last = path.split(".")
        for step in steps:
            at = at[int(step)] if step.isdigit() else at[step]
        at[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        (lambda b: b.update(type="document"), 400, "invalid"),
        (lambda b: b["entry"].reverse(), 400, "invalid"),
        (lambda b: b["entry"][1].pop("fullUrl"), 400, "required"),
        (lambda b: b["entry"][1].update(fullUrl=b["entry"][0]["fullUrl"]), 400, "invariant"),
        (lambda b: b["entry"][0]["resource"].pop("created"), 400, "required"),
        (_set("prescriptions", []), 400, "structure"),
        (_set("patient", {"reference": "Patient/1"}), 422, "not-found"),
        (_set("use", "preauthorization"), 422, "business-rule"),
        (_set("insurance.0.focal", False), 422, "business-rule"),
        (_set("total.value", 1), 422, "business-rule"),
        (_set("item.0.sequence", 2), 422, "invariant"),
        (_set("item.0.diagnosisSequence", [2]), 422, "invariant"),
        (lambda b: b["entry"][2]["resource"]["identifier"][0].update(value="1234567890"), 422, "value"),
    ],
)
def test_what_is_refused(change: Any, status: int, code: str, server: httpx.Client) -> None:
    answer = submit(server, changed(change))
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.json()["issue"][0]["code"] == code
    assert schema.check(answer.json()) == []
    assert server.get("/_sim/ledger").json()["claims"] == []


def test_an_unknown_payer_is_answered_with_outcome_error_and_nothing_is_kept(server: httpx.Client) -> None:
    answer = submit(server, PLAIN).json()
    assert answer["outcome"] == "error"
    assert server.get("/_sim/ledger").json()["resources"] == {}


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"resourceType":"Parameters"}', b'{"resourceType":"Claim"}'])
def test_what_is_no_bundle(body: bytes, server: httpx.Client) -> None:
    assert server.post("/fhir/Claim/$submit", content=body).status_code == 400
    assert server.post("/fhir", content=body).status_code == 400


def test_conditional_submit(server: httpx.Client) -> None:
    condition = {"if-none-exist": "identifier=urn:fhir-billing-gateway:submission|S1"}
    first = submit(server, **condition).json()
    assert submit(server, **condition).json()["id"] == first["id"]
    submit(server)
    assert submit(server, **condition).status_code == 412
    assert submit(server, **{"if-none-exist": "status=active"}).status_code == 412


def test_a_transaction_is_all_or_nothing(server: httpx.Client) -> None:
    body = as_transaction(OPEN_PAYER)
    broken = deepcopy(body)
    broken["entry"][0]["resource"]["total"]["value"] = 1
    assert transaction(server, broken).status_code == 422
    assert server.get("/_sim/ledger").json()["resources"] == {}
    answer = transaction(server, body).json()
    assert schema.check(answer) == []
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["201 Created"] * 4


@pytest.mark.parametrize(
    "request_",
    [
        {"method": "DELETE", "url": "Patient/1"},
        {"method": "PUT", "url": "Patient/1"},
        {"method": "PUT", "url": "Patient?identifier=x|y", "id": "p1"},
        {},
    ],
)
def test_what_a_transaction_does_not_offer(request_: dict[str, str], server: httpx.Client) -> None:
    body = as_transaction(OPEN_PAYER)
    request = dict(request_)
    body["entry"][1]["resource"] |= {"id": request.pop("id")} if "id" in request else {}
    body["entry"][1]["request"] = request
    assert transaction(server, body).status_code == 400


# --- reading, access, headers -----------------------------------------------------------------------------------


def test_searches(server: httpx.Client) -> None:
    answer = submit(server).json()
    token = "urn:fhir-billing-gateway:submission|S1"

    def count(path: str, **parameters: str) -> int:
        found = server.get(f"/fhir/{path}", params=parameters).json()
        assert schema.check(found) == []
        return int(found["total"])

    assert count("Claim", identifier=token) == count("Claim", identifier="S1") == 1
    assert count("Claim", identifier="urn:other|S1") == count("ClaimResponse", request="Claim/1") == 0
    for reference in (answer["request"]["reference"], f"{server.base_url}/fhir/{answer['request']['reference']}"):
        assert count("ClaimResponse", request=reference) == 1
    assert server.get("/fhir/Claim", params={"billablePeriod": "2026"}).status_code == 400
    assert server.get("/fhir/Claim/1").status_code == 404
    assert server.get("/fhir/Medication").status_code == 404
    assert server.delete("/fhir/Claim/1").status_code == 405


def test_who_may_call(server: httpx.Client) -> None:
    for header in ("", "Bearer other", "Basic b3RoZXI6b3RoZXI="):
        for answer in (
            server.get("/fhir/Claim", headers={"authorization": header}),
            submit(server, authorization=header),
        ):
            assert answer.status_code == 401
            assert "www-authenticate" in answer.headers
    assert server.get("/fhir/metadata", headers={"authorization": ""}).status_code == 200
    assert server.get("/fhir/Claim", headers={"accept": "application/fhir+xml"}).status_code == 406
    assert submit(server, **{"content-type": "application/fhir+xml"}).status_code == 415
    assert server.post("/fhir/Claim/$other").status_code == 404


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "jwt"}, "invalid_client"),
        ({"client_assertion": "a.b.c"}, "invalid_client"),
    ],
)
def test_token_requests_that_fail(form: dict[str, str], error: str, server: httpx.Client) -> None:
    good = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "scope": "system/*.cruds"}
    answer = server.post("/token", data={**good, **form}, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.json()["error"] == error
    assert server.post("/token", json={}, headers={"content-type": "application/json"}).status_code == 400


def test_the_sandbox_connection_is_complete() -> None:
    options = SimulatorOptions("http://127.0.0.1:1", credentials=CREDENTIALS)
    made = connection(options)
    assert made.secrets == {"FHIR_CLAIM_TOKEN": TOKEN}
    assert made.settings["settle_seconds"] <= 1
    assert build(options)
    assert CREATE_OPERATION == "Claim/$submit"
