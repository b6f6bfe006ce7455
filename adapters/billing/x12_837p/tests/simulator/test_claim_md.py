"""Claim.MD's services: the account key first, files, cursors, and errors with HTTP 200."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from lxml import etree

KEY = "key-demo-claimmd"
JSON = {"accept": "application/json"}


@pytest.fixture
def office(x12: Any) -> str:
    text: str = x12.edited(x12.OFFICE, ("*ZZ*CLRHOUSE       ", "*ZZ*CLAIMMD        "))
    return text


@pytest.fixture
def two(x12: Any) -> str:
    text: str = x12.edited(x12.TWO, ("*ZZ*CLRHOUSE       ", "*ZZ*CLAIMMD        "), ("PI*60054", "PI*99999"))
    return text


def upload(simulator: Any, text: str, name: str = "GW101.837", headers: dict[str, str] = JSON, **fields: str) -> Any:
    data = {"AccountKey": KEY, "Filename": name} | fields
    answer: httpx.Response = simulator.client.post(
        "/services/upload/", data=data, files={"File": (name, text.encode())}, headers=headers
    )
    assert answer.status_code == 200
    return answer.json() if headers else etree.fromstring(answer.content)


def call(simulator: Any, service: str, **fields: str) -> Any:
    answer = simulator.client.post(f"/services/{service}/", data={"AccountKey": KEY} | fields, headers=JSON)
    assert answer.status_code == 200
    return answer.json()


def test_an_uploaded_file_names_each_of_its_claims(simulator: Any, two: str) -> None:
    rejected, accepted = upload(simulator, two)["claim"]
    assert (rejected["pcn"], rejected["remote_claimid"], rejected["status"]) == ("GW7F3A91", "SUB-1", "R")
    assert rejected["messages"][0]["mesgid"] == "A3:116:PR"
    expected = {
        "claimid": "CH0000002",
        "fileid": "70001",
        "pcn": "GW7F3A92",
        "remote_claimid": "SUB-2",
        "bill_npi": "1234567893",
        "payerid": "87726",
        "ins_number": "XYZ555",
        "fdos": "20260303",
        "total_charge": "265.5",
        "status": "A",
    }
    assert accepted.items() >= expected.items()
    (claim,) = simulator.ledger()["claims"]
    assert (claim["submission_id"], claim["vendor_id"], claim["channel"]) == ("SUB-2", "CH0000002", "claim_md")


def test_xml_by_default(simulator: Any, office: str) -> None:
    result = upload(simulator, office, headers={})
    assert [(e.tag, e.get("pcn"), e.get("status")) for e in result] == [("claim", "GW7F3A91", "A")]
    assert result[0][0].tag == "messages"
    wrong = upload(simulator, "none", headers={})
    assert wrong[0].tag == "error"
    assert wrong[0].get("error_code") == "INVALID_FILE"


def test_the_same_file_is_taken_twice_and_both_are_listed(simulator: Any, office: str) -> None:
    for _ in range(2):
        assert "claim" in upload(simulator, office)
    assert len(simulator.ledger()["claims"]) == 2
    files = call(simulator, "uploadlist")["file"]
    assert [(file["fileid"], file["filename"]) for file in files] == [("70001", "GW101.837"), ("70002", "GW101.837")]
    assert call(simulator, "uploadlist", UploadDate=files[0]["uploaddate"])["file"] == files
    assert call(simulator, "uploadlist", UploadDate="2020-01-01")["file"] == []


def test_the_cursor_of_responses(simulator: Any, two: str) -> None:
    upload(simulator, two)
    first = call(simulator, "response", ResponseID="0")
    assert ([row["status"] for row in first["claim"]], first["last_responseid"]) == (["R", "A"], "2")
    assert call(simulator, "response", ResponseID="2") == {"last_responseid": "2", "claim": []}
    simulator.control("advance", payer="accept")
    (row,) = call(simulator, "response", ResponseID="2")["claim"]
    assert (row["status"], row["messages"][0]["mesgid"], row["sender_name"]) == ("A", "A2:20:PR", "HARBOR MUTUAL")
    assert row["sender_icn"].startswith("PCN")
    assert call(simulator, "response")["error"]["error_code"] == "MISSING_RESPONSEID"


def test_errors_have_http_200(x12: Any, simulator: Any, office: str) -> None:
    assert upload(simulator, office, AccountKey="wrong")["error"]["error_code"] == "INVALID_ACCOUNTKEY"
    late = simulator.client.post("/services/response/", data={"ResponseID": "0", "AccountKey": KEY}, headers=JSON)
    assert late.json()["error"]["error_code"] == "MISSING_ACCOUNTKEY"
    assert upload(simulator, x12.OFFICE)["error"]["error_code"] == "INVALID_FILE"  # another receiver
    assert upload(simulator, office.replace("DMG*D8*19850615", "DMG*D8*1985"))["error"]["error_code"] == "INVALID_FILE"
    assert upload(simulator, "CLM*" * 2001)["error"]["error_code"] == "TOO_MANY_CLAIMS"
    empty = simulator.client.post("/services/upload/", data={"AccountKey": KEY}, headers=JSON)
    assert empty.json()["error"]["error_code"] == "MISSING_FILE"
    assert simulator.ledger()["claims"] == []


def test_more_than_a_hundred_requests_in_a_minute(running: Any) -> None:
    with running(pace=1.0) as simulator:
        for _ in range(100):
            call(simulator, "uploadlist")
        answer = simulator.client.post("/services/uploadlist/", data={"AccountKey": KEY}, headers=JSON)
        assert answer.status_code == 429


def test_faults(simulator: Any, office: str) -> None:
    simulator.fail("upload", "http_500_after_save")
    answer = simulator.client.post(
        "/services/upload/", data={"AccountKey": KEY}, files={"File": ("a.837", office.encode())}, headers=JSON
    )
    assert answer.status_code == 500
    assert len(simulator.ledger()["claims"]) == 1
    simulator.fail("upload", "unauthorized")
    assert upload(simulator, office)["error"]["error_code"] == "INVALID_ACCOUNTKEY"
