"""The simulated practice does what the vendor document says of the real one (section 10, its checklist)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.ehr.practice_fusion.simulator import build, new_credentials
from gateway.kit.simulator import FaultKind, SimulatorOptions

NO_SCOPE = "client does not have permissions to requested scope"
NOT_GRANTED = "practice has not granted access to system application"
OTHER = "/fhir/r4/v1/3f0c0de0-0000-4000-8000-000000000009"


def refused(answer: Any, message: str = "") -> None:
    assert answer.status_code == 401
    assert answer.json().keys() == {"subcode", "message"}
    assert message in answer.json()["message"]


def test_each_practice_has_its_own_base_and_another_one_is_unrouted(practice: Any) -> None:
    assert practice.ask().status_code == 200
    answer = practice.client.get(f"{OTHER}/metadata")
    assert (answer.status_code, answer.json().keys()) == (404, {"message", "request_id"})


def test_a_practice_that_has_not_granted_access_refuses_tokens(practice: Any) -> None:
    practice.order("practice", granted=False)
    refused(practice.ask(), NOT_GRANTED)


@pytest.mark.parametrize(
    "scope",
    [
        "system/Patient.read",
        "system/Patient.r",
        "system/Location.rs",
        "system/Claim.rs",
        "system/*.rs",
        "system/Nope.rs",
    ],
)
def test_only_rs_scopes_of_the_22_types_are_accepted(practice: Any, scope: str) -> None:
    refused(practice.ask(f"system/Encounter.rs {scope}"), NO_SCOPE)


def test_both_algorithms_are_accepted(practice: Any, rsa: Any) -> None:
    assert practice.ask(assertion=practice.sign_assertion()).status_code == 200
    assert practice.ask(assertion=practice.sign_assertion(rsa)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://api.practicefusion.com/token"},
        {"in_seconds": 600},
        {"in_seconds": -60},
        {"header": {"kid": "unknown"}},
        {"header": {"jku": "https://elsewhere.example.test/jwks"}},
        {"sub": "somebody-else"},
    ],
    ids=["audience", "too long", "expired", "kid", "jku", "subject"],
)
def test_an_assertion_that_breaks_a_rule_is_refused(practice: Any, changes: dict[str, Any]) -> None:
    refused(practice.ask(assertion=practice.sign_assertion(**changes)))


def test_a_jti_is_taken_once(practice: Any) -> None:
    assertion = practice.sign_assertion()
    assert practice.ask(assertion=assertion).status_code == 200
    refused(practice.ask(assertion=assertion))


def test_discovery_names_no_scopes_and_no_authentication_methods(practice: Any) -> None:
    document = practice.client.get(f"{practice.base}/.well-known/smart-configuration").json()
    assert document["token_endpoint"] == f"{practice.base}/token"
    assert "scopes_supported" not in document
    assert "token_endpoint_auth_methods_supported" not in document


@pytest.mark.parametrize(
    "path", ["Location/x", "Claim", "Subscription", "ChargeItem", "Patient/x/$everything", "nothing"]
)
def test_what_is_not_on_offer_is_unrouted(practice: Any, path: str) -> None:
    answer = practice.get(path)
    assert (answer.status_code, answer.json().keys()) == (404, {"message", "request_id"})


def test_what_has_an_endpoint_and_no_scope_is_forbidden(practice: Any) -> None:
    answer = practice.get("ExplanationOfBenefit")
    assert (answer.status_code, answer.json()["resourceType"]) == (403, "OperationOutcome")


def test_a_bad_search_is_refused_with_an_operation_outcome(practice: Any) -> None:
    answer = practice.get("Encounter?date=never")
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_the_facade_shows_no_charges_no_ranks_and_places_by_name_only(practice: Any) -> None:
    entries = practice.get("Encounter?_count=50").json()["entry"]
    for encounter in (entry["resource"] for entry in entries):
        assert "diagnosis" not in encounter
        assert [place["location"].keys() for place in encounter["location"]] == [{"display"}]
        assert all("type" not in participant for participant in encounter["participant"])


def test_patients_have_the_practices_record_number(practice: Any) -> None:
    entries = practice.get("Patient?_count=50").json()["entry"]
    numbers = [entry["resource"]["identifier"][0]["value"] for entry in entries]
    assert all(len(number) == 8 and number[:2].isalpha() and number[2:].isdigit() for number in numbers)
    assert len(set(numbers)) == len(numbers)


class TestAnchored:
    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"unanchored": "false"}

    def test_an_unanchored_encounter_search_can_be_refused(self, practice: Any) -> None:
        answer = practice.get("Encounter?_lastUpdated=ge2020-01-01")
        assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")


def test_an_encounter_is_in_progress_until_it_is_signed(practice: Any) -> None:
    assert practice.get("Encounter/enc-0001").json()["status"] == "in-progress"
    practice.order("sign", encounter_ids=["enc-0001"])
    assert practice.get("Encounter/enc-0001").json()["status"] == "finished"


class TestProof:
    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"proof": "document"}

    def test_finished_does_not_prove_a_signature(self, practice: Any) -> None:
        search = "DocumentReference?encounter=enc-0001"
        practice.order("close", encounter_id="enc-0001")
        assert practice.get("Encounter/enc-0001").json()["status"] == "finished"
        assert practice.get(search, "system/DocumentReference.rs").json()["total"] == 0
        practice.order("sign", encounter_ids=["enc-0001"])
        [entry] = practice.get(search, "system/DocumentReference.rs").json()["entry"]
        assert entry["resource"]["docStatus"] == "final"


def test_a_late_edit_moves_last_updated_and_doubles_the_superbills_first_line(practice: Any) -> None:
    practice.order("sign", encounter_ids=["enc-0001"])
    before, first = practice.get("Encounter/enc-0001").json()["meta"], practice.export()
    practice.order("amend", encounter_id="enc-0001")
    after, second = practice.get("Encounter/enc-0001").json()["meta"], practice.export()
    assert after["lastUpdated"] > before["lastUpdated"]
    assert int(second[0]["units"]) == 2 * int(first[0]["units"])


def test_a_superbill_lags_its_encounter_and_goes_out_with_the_next_export(practice: Any) -> None:
    assert practice.export() == []
    practice.order("sign", encounter_ids=["enc-0001"])
    rows = practice.export()
    assert {row["superbill_id"] for row in rows} == {"SB-enc-0001"}
    assert all(row["status"] == "Ready for biller" and row["dos"] == "2026-03-03" for row in rows)
    assert practice.export() == []


def test_some_superbills_have_no_charges_and_some_are_sent_twice(practice: Any) -> None:
    practice.order("sign", all=True)
    rows = practice.export()
    assert {row["charge"] == "0.00" for row in rows} == {True, False}
    again = practice.export()
    assert again and all(row in rows for row in again)


def test_a_superbill_can_be_sent_again_and_taken_back_to_draft(practice: Any) -> None:
    practice.order("sign", encounter_ids=["enc-0001"])
    first = practice.export()
    practice.order("duplicate", encounter_id="enc-0001")
    assert practice.export() == first
    practice.order("unready", encounter_id="enc-0001")
    assert {row["status"] for row in practice.export()} == {"Draft"}


def test_exports_are_written_whole_into_the_folder(tmp_path: Path, day: list[dict[str, Any]]) -> None:
    credentials = {**new_credentials(1), "superbill_seconds": ""}
    made = build(SimulatorOptions("http://127.0.0.1:1", credentials=credentials, data=day, directory=tmp_path))
    made.signoff.sign({"count": 2})
    name = made.superbills.export()
    assert [path.name for path in (tmp_path / "superbills").iterdir()] == [name]


def test_a_429_has_no_headers_and_a_body_of_the_gateway(practice: Any) -> None:
    rule = {"operation": "search:Encounter", "kind": FaultKind.RATE_LIMIT.value, "times": 1}
    practice.order("faults", rules=[rule])
    answer = practice.get("Encounter")
    assert (answer.status_code, answer.json().keys()) == (429, {"message", "request_id"})
    assert "retry-after" not in answer.headers


class TestPaced:
    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"rate_per_second": "2"}

    def test_too_many_calls_a_second_are_refused(self, practice: Any) -> None:
        statuses = [practice.client.get(f"{practice.base}/metadata").status_code for _ in range(5)]
        assert statuses[0] == 200
        assert 429 in statuses


def test_a_bulk_export_is_polled_and_its_files_need_the_token(practice: Any) -> None:
    practice.order("sign", all=True)
    token = practice.ask("system/Encounter.rs").json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    ask = {**bearer, "Prefer": "respond-async", "Accept": "application/fhir+json"}
    started = practice.client.get(f"{practice.base}/Patient/$export?_type=Encounter", headers=ask)
    assert started.status_code == 202
    status = started.headers["content-location"]
    assert practice.client.get(status, headers=bearer).status_code == 202
    manifest = practice.client.get(status, headers=bearer).json()
    [output] = manifest["output"]
    assert practice.client.get(output["url"]).status_code == 401
    accept = {**bearer, "Accept": "application/fhir+ndjson"}
    assert practice.client.get(output["url"], headers=accept).text.count("\n") == 6
    assert practice.client.delete(status, headers=bearer).status_code == 202


def test_a_withdrawn_encounter_is_entered_in_error(practice: Any) -> None:
    practice.order("withdraw", encounter_id="enc-0001")
    assert practice.get("Encounter/enc-0001").json()["status"] == "entered-in-error"


def test_the_ledger_tells_what_happened(practice: Any) -> None:
    practice.order("sign", count=2)
    practice.export()
    practice.get("Encounter/enc-0001")
    ledger = practice.client.get("/_sim/ledger").json()
    assert ledger["encounters"] == {"total": 6, "unsigned": 4}
    assert [entry["encounter_id"] for entry in ledger["signed"]] == ["enc-0001", "enc-0002"]
    assert ledger["superbill_files"] == ["superbills-0001.csv"]
    assert ledger["calls"]["GET Encounter"] == 1


def test_a_reset_begins_a_new_day(practice: Any) -> None:
    practice.order("sign", all=True)
    practice.order("reset")
    assert practice.client.get("/_sim/ledger").json()["encounters"]["unsigned"] == 6
