"""Optum's API: a token, the same JSON, and no idempotency."""

from __future__ import annotations

from typing import Any

import pytest

PATH = "/medicalnetwork/professionalclaims/v3"
REPORTS = "/medicalnetwork/reports/v2"
FORM = {
    "grant_type": "client_credentials",
    "client_id": "client-demo-optum",
    "client_secret": "secret-demo-optum",
}


@pytest.fixture
def bearer(simulator: Any) -> dict[str, str]:
    answer = simulator.client.post("/apip/auth/v2/token", data=FORM).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)
    return {"authorization": f"Bearer {answer['access_token']}"}


def test_tokens(simulator: Any, bearer: dict[str, str]) -> None:
    def status(data: dict[str, str], **options: Any) -> int:
        code: int = simulator.client.post("/apip/auth/v2/token", data=data, **options).status_code
        return code

    assert status(FORM | {"client_secret": "wrong"}) == 401
    assert status(FORM | {"grant_type": "password"}) == 400
    basic = (FORM["client_id"], FORM["client_secret"])
    assert status({"grant_type": "client_credentials"}, auth=basic) == 200
    get = simulator.client.get
    assert get(f"{PATH}/healthcheck", headers=bearer).json() == {"status": "ok"}
    assert get(f"{PATH}/healthcheck").status_code == 401
    simulator.control("advance", hours=2)
    assert get(f"{PATH}/healthcheck", headers=bearer).status_code == 401


def test_every_submission_is_a_claim(simulator: Any, bearer: dict[str, str], claim_json: Any) -> None:
    claim_json["claimInformation"]["claimSupplementalInformation"] = {"claimNumber": "SUB-9"}
    for _ in range(2):
        headers = bearer | {"idempotency-key": "same"}
        answer = simulator.client.post(f"{PATH}/submission", json=claim_json, headers=headers)
        assert (answer.status_code, answer.json()["status"]) == (200, "SUCCESS")
    claims = simulator.ledger()["claims"]
    assert [claim["submission_id"] for claim in claims] == ["SUB-9", "SUB-9"]
    assert claims[0]["channel"] == "optum"


def test_validation_sends_nothing(simulator: Any, bearer: dict[str, str], claim_json: Any) -> None:
    def status(body: Any) -> int:
        code: int = simulator.client.post(f"{PATH}/validation", json=body, headers=bearer).status_code
        return code

    assert (status(claim_json), status({}), status([])) == (200, 400, 400)
    assert simulator.ledger()["claims"] == []


def test_refusals_and_faults(simulator: Any, bearer: dict[str, str], claim_json: Any) -> None:
    def submit() -> Any:
        return simulator.client.post(f"{PATH}/submission", json=claim_json, headers=bearer)

    for kind, status in (("http_500", 500), ("rate_limit", 429), ("unauthorized", 401)):
        simulator.fail("optum-submission", kind)
        assert submit().status_code == status
    claim_json["billing"]["npi"] = "1234567890"
    assert submit().json()["errors"][0]["code"] == "562"
    assert simulator.ledger()["claims"] == []


def test_raw_x12_and_reports(x12: Any, simulator: Any, bearer: dict[str, str]) -> None:
    post, get = simulator.client.post, simulator.client.get
    assert post(f"{PATH}/raw-x12-submission", json={"x12": x12.OFFICE}, headers=bearer).status_code == 200
    (name,) = get(REPORTS, headers=bearer).json()["reports"]
    report = get(f"{REPORTS}/{name}/277", headers=bearer).json()
    assert report["transactions"][0]["payers"][0]["entityIdentifierCode"] == "AY"
    assert get(f"{REPORTS}/none/277", headers=bearer).status_code == 404
