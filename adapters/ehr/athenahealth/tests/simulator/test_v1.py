"""The v1 API's habits and the life of an encounter (sections 3 to 10)."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest


@pytest.mark.parametrize(
    "path",
    ["chart/encounter/62014", "appointments/1050322", "patients/7965", "providers/86", "departments/162"],
)
def test_reads_by_id_answer_an_array_of_one(client: Any, path: str) -> None:
    answer = client.get(path).json()
    assert isinstance(answer, list) and len(answer) == 1


def test_empty_members_are_left_out_and_slashes_escaped(client: Any) -> None:
    answer = client.get("chart/encounter/62014")
    assert rb"03\/03\/2026" in answer.content
    for path in ("patients/7001", "appointments/1050001"):
        (row,) = client.get(path).json()
        assert None not in row.values() and "" not in row.values()


def test_ids_are_text_here_and_numbers_there(client: Any) -> None:
    (appointment,) = client.get("appointments/1050322").json()
    (provider,) = client.get("providers/86").json()
    assert appointment["providerid"] == "86" and appointment["renderingproviderid"] == 86
    assert provider["npi"] == 1999999984


def test_lists_page_by_relative_links(client: Any) -> None:
    first = client.get("departments", limit=1).json()
    assert first["totalcount"] >= 2
    assert first["next"].startswith("/v1/195900/departments?")
    assert "previous" not in first
    second = client.call("GET", first["next"]).json()
    assert second["departments"] != first["departments"]
    assert "previous" in second


def test_a_missing_parameter_is_named(client: Any) -> None:
    answer = client.get("appointments/booked", departmentid="162")
    assert answer.status_code == 400
    assert answer.json()["missingfields"] == ["startdate", "enddate"]
    assert client.get("chart/7965/encounters").json()["missingfields"] == ["departmentid"]


def test_an_encounter_goes_from_open_to_review_to_closed_and_again(client: Any) -> None:
    def encounter() -> dict[str, Any]:
        return dict(client.get("chart/encounter/62014").json()[0])

    assert encounter()["status"] == "OPEN"
    client.act("review", encounter_id="62014")
    assert encounter()["status"] == "REVIEW"
    client.act("sign", encounter_ids=["62014"])
    assert encounter()["closeddate"]
    client.act("reopen", encounter_id="62014")
    reopened = encounter()
    assert reopened["status"] == "OPEN" and reopened["lastreopened"] and "closeddate" not in reopened
    client.act("amend", encounter_id="62014")
    assert encounter()["status"] == "CLOSED"
    client.act("withdraw", encounter_id="62014")
    assert encounter()["status"] == "DELETED"
    assert client.get("appointments/1050322").json()[0]["encounterstate"] == "DELETED"


def test_deleted_encounters_are_not_listed_unless_asked_for(client: Any) -> None:
    client.act("withdraw", encounter_id="62014")
    found = client.get("chart/7965/encounters", departmentid="162").json()["encounters"]
    every = client.get("chart/7965/encounters", departmentid="162", showallstatuses="true").json()["encounters"]
    assert (len(found), len(every)) == (0, 1)


def test_late_edits_are_possible_after_the_close(client: Any) -> None:
    client.act("sign", encounter_ids=["62014"])
    before = client.get("encounter/62014/services").json()["services"]
    changed = client.act("amend", encounter_id="62014")["changed"]
    after = client.get("encounter/62014/services").json()["services"]
    assert changed == "service/9001"
    assert int(after[0]["units"]) == 2 * int(before[0]["units"])


def test_the_day_is_seeded_with_a_service_that_is_not_billed(client: Any) -> None:
    services = client.get("encounter/62001/services").json()["services"]
    assert [s["billforservice"] for s in services][-1] == "false"
    assert any("," in s["procedurecode"] or s["procedurecode"].isalnum() for s in services)


def test_referrers_have_an_id_space_of_their_own(client: Any) -> None:
    (referrer,) = client.get("referringproviders/501").json()
    assert "npinumber" in referrer and "npi" not in referrer
    assert client.get("providers/501").status_code == 404


def test_cancelled_insurances_are_shown_only_when_asked_for(client: Any) -> None:
    client.app.practice.insurances["7965"] = [{"insuranceid": "1", "cancelled": "01/01/2026"}, {"insuranceid": "2"}]
    assert client.get("patients/7965/insurances").json()["totalcount"] == 1
    assert client.get("patients/7965/insurances", showcancelled="true").json()["totalcount"] == 2


class TestClaims:
    FORM: ClassVar[dict[str, str]] = {
        "patientid": "7965",
        "departmentid": "162",
        "supervisingproviderid": "86",
        "servicedate": "03/03/2026",
        "claimcharges": '[{"procedurecode":"99214,25","units":"1"}]',
    }

    def post(self, client: Any, **change: str) -> Any:
        return client.call("POST", "/v1/195900/claims", data={**self.FORM, **change})

    def test_a_repeated_create_makes_a_second_claim(self, client: Any) -> None:
        first, second = self.post(client).json(), self.post(client).json()
        assert first["success"] is True
        assert first["claimids"] != second["claimids"]
        found = client.get(
            "claims", patientid="7965", servicestartdate="03/03/2026", serviceenddate="03/03/2026"
        ).json()
        assert found["totalcount"] == 2

    def test_one_claim_is_an_object_with_mixed_id_types(self, client: Any) -> None:
        (claim_id,) = self.post(client).json()["claimids"]
        claim = client.get(f"claims/{claim_id}").json()
        assert (claim["claimid"], claim["patientid"]) == (claim_id, 7965)

    @pytest.mark.parametrize("change", [{"patientid": "1"}, {"claimcharges": '[{"units":"1"}]'}], ids=str)
    def test_a_business_failure_is_a_200(self, client: Any, change: dict[str, str]) -> None:
        answer = self.post(client, **change)
        assert answer.status_code == 200
        assert answer.json()["success"] in (False, "false")

    def test_what_is_missing_is_a_400(self, client: Any) -> None:
        answer = client.call("POST", "/v1/195900/claims", data={"patientid": "7965"})
        assert answer.json()["missingfields"] == ["departmentid", "supervisingproviderid"]

    def test_charge_entry_makes_a_claim_and_turns_the_appointment_to_4(self, client: Any) -> None:
        assert client.call("POST", "/v1/195900/appointments/1050322/claims").status_code == 200
        assert client.get("appointments/1050322").json()[0]["appointmentstatus"] == "4"
        (claim,) = client.get("claims", patientid="7965").json()["claims"]
        assert claim["appointmentid"] == 1050322
        assert [p["procedurecode"] for p in claim["procedures"]] == ["99214,25,GT"]
