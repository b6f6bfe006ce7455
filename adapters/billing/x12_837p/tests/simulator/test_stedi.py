"""Stedi's API: the members of a claim, Idempotency-Key, polling and reports, and its faults."""

from __future__ import annotations

import copy
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

PATH = "/2024-04-01/change/medicalnetwork/professionalclaims/v3"
REPORTS = "/2024-04-01/change/medicalnetwork/reports/v2"
POLLING = "/2023-08-01/polling/transactions"
KEY = {"authorization": "key-demo-stedi"}


def changed(body: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """A copy with one member replaced, or without it."""
    body = copy.deepcopy(body)
    *outer, name = path.split(".")
    holder: Any = body
    for step in outer:
        holder = holder[int(step)] if step.isdigit() else holder[step]
    if value is None:
        del holder[name]
    else:
        holder[name] = value
    return body


def post(simulator: Any, body: Any, key: str = "", **headers: str) -> httpx.Response:
    sent = KEY | ({"idempotency-key": key} if key else {}) | headers
    answer: httpx.Response = simulator.client.post(f"{PATH}/submission", json=body, headers=sent)
    return answer


def test_a_claim_is_saved_and_answered(x12: Any, simulator: Any, claim_json: Any) -> None:
    answer = post(simulator, claim_json, "SUB-1")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["status"], body["tradingPartnerServiceId"]) == ("SUCCESS", "60054")
    reference = body["claimReference"]
    assert (reference["correlationId"], reference["patientControlNumber"]) == ("CH0000001", "GW7F3A91")
    assert reference["serviceLines"] == [
        {"lineItemControlNumber": "GW7F3A91L1"},
        {"lineItemControlNumber": "GW7F3A91L2"},
    ]
    assert "STC*A1>19>PR*" in body["x12"]
    assert x12.referee(body["x12"]) == ""
    (claim,) = simulator.ledger()["claims"]
    assert claim["submission_id"] == "SUB-1"
    assert (claim["account_number"], claim["vendor_id"], claim["channel"]) == ("GW7F3A91", "CH0000001", "stedi")
    assert simulator.ledger()["calls"] == {"submission": 1}


def test_the_key_may_be_written_in_two_ways(simulator: Any, claim_json: Any) -> None:
    assert post(simulator, claim_json, authorization="Key key-demo-stedi").status_code == 200
    answer = post(simulator, claim_json, authorization="wrong")
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert simulator.client.get(f"{PATH}/submission", headers=KEY).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "tradingPartnerServiceId",
        "submitter",
        "submitter.contactInformation.phoneNumber",
        "receiver",
        "billing.npi",
        "billing.organizationName",
        "billing.employerId",
        "billing.address.postalCode",
        "subscriber",
        "subscriber.memberId",
        "subscriber.dateOfBirth",
        "subscriber.address.city",
        "claimInformation",
        "claimInformation.patientControlNumber",
        "claimInformation.healthCareCodeInformation",
        "claimInformation.serviceLines.0.serviceDate",
        "claimInformation.serviceLines.1.professionalService.compositeDiagnosisCodePointers",
    ],
)
def test_members_that_must_be_there(simulator: Any, claim_json: Any, path: str) -> None:
    answer = post(simulator, changed(claim_json, path), "SUB-1")
    assert answer.status_code == 400
    assert {error["code"] for error in answer.json()["errors"]} == {"MISSING"}
    assert simulator.ledger()["claims"] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("claimInformation.patientControlNumber", "X" * 21),
        ("claimInformation.claimChargeAmount", 265),
        ("claimInformation.claimFrequencyCode", "5"),
        ("claimInformation.planParticipationCode", "D"),
        ("claimInformation.healthCareCodeInformation.0.diagnosisCode", "L57.0"),
        ("claimInformation.serviceLines.0.professionalService.measurementUnit", "XX"),
        ("claimInformation.serviceLines", "none"),
        ("subscriber.dateOfBirth", "1985-06-15"),
        ("subscriber.gender", "X"),
        ("billing.providerType", "Other"),
    ],
)
def test_members_that_are_malformed(simulator: Any, claim_json: Any, path: str, value: Any) -> None:
    answer = post(simulator, changed(claim_json, path, value), "SUB-1")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "INVALID"
    assert answer.json()["errors"][0]["followupAction"] == "Please Correct and Resubmit"


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("tradingPartnerServiceId", "99999", "116"),
        ("billing.npi", "1234567890", "562"),
        ("rendering.npi", "1679576721", "562"),
        ("claimInformation.claimChargeAmount", "266", "400"),
        ("billing.address.postalCode", "33601", "500"),
        ("claimInformation.claimFrequencyCode", "7", "464"),
    ],
)
def test_edits_are_those_of_files(simulator: Any, claim_json: Any, path: str, value: str, code: str) -> None:
    answer = post(simulator, changed(claim_json, path, value), "SUB-1")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, code)
    ledger = simulator.ledger()
    assert (ledger["claims"], len(ledger["rejected"])) == ([], 1)


def test_a_dependent_needs_all_of_itself(simulator: Any, claim_json: Any) -> None:
    child = {"firstName": "TESS", "lastName": "ROE", "gender": "F", "dateOfBirth": "20180201"}
    assert post(simulator, {**claim_json, "dependent": child}).status_code == 400
    child["relationshipToSubscriberCode"] = "19"
    assert post(simulator, {**claim_json, "dependent": child}).status_code == 200


def test_a_body_that_is_no_claim(simulator: Any) -> None:
    for content in (b"", b"[]", b"{"):
        answer = simulator.client.post(f"{PATH}/submission", content=content, headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_REQUEST")


def test_a_correction(simulator: Any, claim_json: Any) -> None:
    post(simulator, claim_json, "SUB-1")
    simulator.control("advance", payer="accept")
    control = simulator.ledger()["claims"][0]["payer_control"]
    body = changed(claim_json, "claimInformation.claimFrequencyCode", "7")
    body["claimInformation"]["claimSupplementalInformation"] = {"claimControlNumber": control}
    assert post(simulator, body, "SUB-2").status_code == 200
    first, second = simulator.ledger()["claims"]
    assert (first["replaced_by"], second["frequency"]) == (second["vendor_id"], "7")


def test_the_same_key_gives_the_same_answer_for_a_day(simulator: Any, claim_json: Any) -> None:
    first = post(simulator, claim_json, "SUB-1")
    assert post(simulator, claim_json, "SUB-1").content == first.content
    other = post(simulator, changed(claim_json, "usageIndicator", "P"), "SUB-1")
    assert (other.status_code, other.json()["code"]) == (422, "RequestChangedException")
    assert len(simulator.ledger()["claims"]) == 1
    simulator.control("advance", hours=25)
    assert post(simulator, claim_json, "SUB-1").content != first.content
    assert len(simulator.ledger()["claims"]) == 2


def test_without_a_key_each_request_is_a_claim(simulator: Any, claim_json: Any) -> None:
    for _ in range(2):
        assert post(simulator, claim_json).status_code == 200
    assert len(simulator.ledger()["claims"]) == 2


def test_the_same_key_while_the_first_request_runs(running: Any, claim_json: Any) -> None:
    with running(think_seconds=0.4) as simulator, ThreadPoolExecutor() as pool:
        first = pool.submit(post, simulator, claim_json, "SUB-1")
        time.sleep(0.15)
        second = post(simulator, claim_json, "SUB-1")
        assert (second.status_code, second.headers["retry-after"]) == (409, "1")
        assert first.result().status_code == 200
        assert len(simulator.ledger()["claims"]) == 1


@pytest.mark.parametrize(
    ("kind", "held"),
    [("http_500", 0), ("http_500_after_save", 1), ("rate_limit", 0), ("unauthorized", 0), ("garbage", 0)],
)
def test_answers_that_go_wrong(simulator: Any, claim_json: Any, kind: str, held: int) -> None:
    simulator.fail("submission", kind)
    answer = post(simulator, claim_json, "SUB-1")
    statuses = {"rate_limit": 429, "unauthorized": 401, "garbage": 200}
    assert answer.status_code == statuses.get(kind, 500)
    assert len(simulator.ledger()["claims"]) == held
    assert post(simulator, claim_json, "SUB-1").status_code == 200
    assert len(simulator.ledger()["claims"]) == 1


@pytest.mark.parametrize(
    ("kind", "held"),
    [("reset", 0), ("reset_after_save", 1), ("timeout", 0), ("timeout_after_save", 1), ("save_after_timeout", 0)],
)
def test_answers_that_never_come(simulator: Any, claim_json: Any, kind: str, held: int) -> None:
    simulator.fail("submission", kind, late_save_seconds=0.2)
    with pytest.raises(httpx.TransportError), httpx.Client(base_url=simulator.url, timeout=0.3) as client:
        client.post(f"{PATH}/submission", json=claim_json, headers=KEY | {"idempotency-key": "SUB-1"})
    assert len(simulator.ledger()["claims"]) == held
    time.sleep(0.4 if kind == "save_after_timeout" else 0)
    assert post(simulator, claim_json, "SUB-1").status_code == 200
    assert len(simulator.ledger()["claims"]) == 1


def test_more_than_a_hundred_requests_in_a_second(running: Any, claim_json: Any) -> None:
    with running(pace=20.0) as simulator:
        answers = [post(simulator, claim_json, f"SUB-{number}") for number in range(102)]
        assert [answer.status_code for answer in answers] == [200] * 100 + [429] * 2
        assert answers[-1].json()["code"] == "TOO_MANY_REQUESTS"
        assert "retry-after" not in answers[-1].headers


def test_what_became_of_claims_is_polled(simulator: Any, claim_json: Any) -> None:
    post(simulator, claim_json, "SUB-1")
    post(simulator, changed(claim_json, "tradingPartnerServiceId", "99999"), "SUB-2")
    simulator.control("advance", payer="accept")
    get = simulator.client.get
    first = get(POLLING, params={"startDateTime": "2020-01-01T00:00:00Z", "pageSize": 2}, headers=KEY).json()
    second = get(POLLING, params={"pageToken": first["nextPageToken"]}, headers=KEY).json()
    items = [*first["items"], *second["items"]]
    assert (len(first["items"]), len(items), "nextPageToken" in second) == (2, 3, False)
    assert {item["x12"]["metadata"]["transaction"]["transactionSetIdentifier"] for item in items} == {"277"}
    assert get(POLLING, params={"startDateTime": "2099-01-01T00:00:00Z"}, headers=KEY).json()["items"] == []
    told = []
    for item in items:
        report = get(f"{REPORTS}/{item['transactionId']}/277", headers=KEY).json()
        payer = report["transactions"][0]["payers"][0]
        details = payer["claimStatusTransactions"][0]["claimStatusDetails"][0]["patientClaimStatusDetails"][0]
        status = details["claims"][0]["claimStatus"]
        word = status["informationClaimStatuses"][0]["informationStatuses"][0]
        told.append((status["patientAccountNumber"], word["healthCareClaimStatusCategoryCode"], word["statusCode"]))
    assert told == [("GW7F3A91", "A1", "19"), ("GW7F3A91", "A3", "116"), ("GW7F3A91", "A2", "20")]
    assert status["tradingPartnerClaimNumber"] == simulator.ledger()["claims"][0]["payer_control"]


@pytest.mark.parametrize("query", [{}, {"startDateTime": "yesterday"}, {"pageToken": "0", "pageSize": "501"}])
def test_polling_needs_a_beginning(simulator: Any, query: dict[str, str]) -> None:
    assert simulator.client.get(POLLING, params=query, headers=KEY).status_code == 400
    assert simulator.client.get(f"{REPORTS}/277-9/277", headers=KEY).status_code == 404


def test_an_interchange_in_json(x12: Any, simulator: Any) -> None:
    def raw(body: Any, key: str) -> Any:
        headers = KEY | {"idempotency-key": key}
        return simulator.client.post(f"{PATH}/raw-x12-submission", json=body, headers=headers)

    good = raw({"x12": x12.OFFICE}, "A")
    assert (good.status_code, good.json()["claimReference"]["patientControlNumber"]) == (200, "GW7F3A91")
    assert raw({"x12": x12.OFFICE}, "A").content == good.content
    assert raw({"x12": x12.OFFICE}, "B").status_code == 400  # the control number is used up
    assert (
        raw({"x12": x12.edited(x12.OFFICE, ("PI*60054", "PI*99999"), number="102")}, "C").json()["errors"][0]["code"]
        == "116"
    )
    assert raw({"y": 1}, "D").status_code == 400
    assert [claim["submission_id"] for claim in simulator.ledger()["claims"]] == ["SUB-1"]
