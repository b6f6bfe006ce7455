"""What the simulator of Acme enforces, without the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest

from adapters.billing.http_api.simulator import build
from gateway.kit.contract_support import simulator_running
from gateway.kit.samples import directory

CLIENT = ("acme-demo-client", "acme-demo-secret")
CLAIM: dict[str, Any] = {
    "reference": "R1",
    "kind": "original",
    "account": "A1",
    "service": {"from": "2026-03-03", "to": "2026-03-03"},
    "currency": "USD",
    "total": 120,
    "patient": {"name": {"last": "Test", "first": "Pat"}, "born": "1990-01-01", "sex": "U"},
    "coverages": [{"order": 1, "billed": True, "payer": {"id": "60054"}, "member": "M1"}],
    "biller": {"npi": "1234567893"},
    "providers": [{"role": "rendering", "npi": "1679576722"}],
    "diagnoses": ["L570"],
    "lines": [
        {
            "code": "99213",
            "pointers": [1],
            "service": {"from": "2026-03-03", "to": "2026-03-03"},
            "place": "11",
            "units": 1,
            "unitKind": "units",
            "price": 120,
            "charge": 120,
        }
    ],
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with simulator_running(build, credentials={}, data=directory()) as address:
        yield address


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    httpx.post(f"{url}/_sim/reset").raise_for_status()
    form = {"grant_type": "client_credentials", "scope": "claims.write"}
    token = httpx.post(f"{url}/oauth/token", data=form, auth=CLIENT).json()["access_token"]
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


def test_a_claim_is_saved_found_and_moved_on(api: httpx.Client) -> None:
    saved = api.post("/v1/claims", json=CLAIM)
    assert (saved.status_code, saved.json()["status"]) == (201, "received")
    number = saved.json()["id"]
    assert [c["id"] for c in api.get("/v1/claims", params={"reference": "R1"}).json()["claims"]] == [number]
    assert api.get("/v1/claims", params={"reference": "R2"}).json() == {"claims": []}
    assert api.get("/v1/claims/ACM-9").status_code == 404
    for state in ("posted", "sent_to_payer", "paid", "paid"):
        assert api.post("/_sim/advance", json={}).json() == {"moved": [number]}
        assert api.get(f"/v1/claims/{number}").json()["status"] == state
    api.post("/_sim/advance", json={"id": number, "to": "rejected", "code": "CPT_INVALID"}).raise_for_status()
    assert api.get(f"/v1/claims/{number}").json()["errors"] == [{"code": "CPT_INVALID", "field": "diagnoses[0]"}]
    assert api.post("/_sim/advance", json={"id": "ACM-9"}).status_code == 400
    entry = api.get("/_sim/ledger").json()["claims"][0]
    assert (entry["submission_id"], entry["vendor_id"]) == ("R1", number)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"account": None}, ("REQUIRED", "account")),
        ({"reference": "R" * 41}, ("TOO_LONG", "reference")),
        ({"kind": "copy"}, ("KIND_INVALID", "kind")),
        ({"kind": "replacement", "replaces": "ACM-9"}, ("REPLACES_UNKNOWN", "replaces")),
        ({"currency": "EUR"}, ("CURRENCY_INVALID", "currency")),
        ({"total": 121}, ("AMOUNT_MISMATCH", "total")),
        ({"service": {"from": "3/3/2026", "to": "2026-03-03"}}, ("DATE_INVALID", "service.from")),
        ({"diagnoses": ["x"]}, ("DX_INVALID", "diagnoses[0]")),
        ({"diagnoses": []}, ("DX_COUNT", "diagnoses")),
        ({"lines": [], "total": "0"}, ("LINE_COUNT", "lines")),
        ({"providers": [{"role": "rendering", "npi": "1999999984"}]}, ("PROVIDER_UNKNOWN", "providers[0].npi")),
        ({"coverages": [{"payer": {"id": "60054"}, "member": "M1"}]}, ("BILLED_NOT_ONE", "coverages")),
        ({"coverages": [{"payer": {"id": "1"}, "member": "M1"}]}, ("PAYER_UNKNOWN", "coverages[0].payer.id")),
        ({"coverages": [{"payer": {"id": "60054"}}]}, ("REQUIRED", "coverages[0].member")),
        ({"patient": {"name": {"last": "T"}, "born": "1990-01-01", "sex": "U"}}, ("REQUIRED", "patient.name.first")),
        ({"patient": {"name": {"last": "T", "first": "P"}, "born": "x", "sex": "X"}}, ("SEX_INVALID", "patient.sex")),
    ],
)
def test_claims_that_acme_refuses(api: httpx.Client, change: dict[str, Any], wrong: tuple[str, str]) -> None:
    refused = api.post("/v1/claims", json={**CLAIM, **change})
    assert refused.status_code == 422
    assert wrong in [(error["code"], error["field"]) for error in refused.json()["errors"]]
    assert api.get("/_sim/ledger").json()["claims"] == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"place": ""}, ("REQUIRED", "lines[0].place")),
        ({"code": "9921"}, ("CPT_INVALID", "lines[0].code")),
        ({"pointers": [2]}, ("POINTER_INVALID", "lines[0].pointers")),
        ({"modifiers": ["25"] * 5}, ("TOO_MANY", "lines[0].modifiers")),
        ({"units": -1}, ("UNITS_INVALID", "lines[0].units")),
        ({"price": 119}, ("AMOUNT_MISMATCH", "lines[0].charge")),
        ({"renderer": "1999999984"}, ("PROVIDER_UNKNOWN", "lines[0].renderer")),
    ],
)
def test_lines_that_acme_refuses(api: httpx.Client, change: dict[str, Any], wrong: tuple[str, str]) -> None:
    claim = deepcopy(CLAIM)
    claim["lines"][0] |= change
    errors = api.post("/v1/claims", json=claim).json()["errors"]
    assert wrong in [(error["code"], error["field"]) for error in errors]


def test_who_may_call(api: httpx.Client, url: str) -> None:
    token = f"{url}/oauth/token"
    assert httpx.post(token, data={"grant_type": "password"}, auth=CLIENT).json() == {"error": "unsupported_grant_type"}
    form = {"grant_type": "client_credentials"}
    assert httpx.post(token, data=form, auth=("acme-demo-client", "x")).status_code == 401
    assert httpx.post(token, data=form, headers={"Authorization": "Basic ???"}).status_code == 401
    unscoped = httpx.post(token, data=form, auth=CLIENT).json()["access_token"]
    headers = {"Authorization": f"Bearer {unscoped}"}
    assert httpx.get(f"{url}/v1/claims", headers=headers).status_code == 403
    assert httpx.get(f"{url}/v1/claims").status_code == 401
    httpx.post(f"{url}/_sim/forget_tokens").raise_for_status()
    assert api.get("/v1/claims").status_code == 401


def test_what_is_no_json(api: httpx.Client) -> None:
    assert api.post("/v1/claims", content=b"{}").status_code == 415
    assert api.post("/v1/claims", content=b"{", headers={"Content-Type": "application/json"}).status_code == 400


def test_a_known_key_is_answered_as_before(api: httpx.Client) -> None:
    answers = [api.post("/v1/claims", json=CLAIM, headers={"Idempotency-Key": "K"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(api.get("/_sim/ledger").json()["claims"]) == 1


def test_the_budget_of_calls() -> None:
    with simulator_running(build, credentials={}, pace=1.0) as url:
        form = {"grant_type": "client_credentials", "scope": "claims.write"}
        token = httpx.post(f"{url}/oauth/token", data=form, auth=CLIENT).json()["access_token"]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
            answers = [client.get("/v1/claims", params={"reference": "R"}) for _ in range(30)]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert answers[-1].headers["retry-after"] == "1"
