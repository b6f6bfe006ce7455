"""The REST API of the simulated DrChrono: refusals, pages, types, asynchronous lists, stale replicas, writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest


class TestLists:
    def test_appointments_without_a_date_filter_are_refused(self, practice: Any) -> None:
        answer = practice.api("GET", "appointments", params={"patient": 1})
        assert answer.status_code == 400
        assert "non_field_errors" in answer.json()

    def test_a_range_of_more_than_190_days_is_refused(self, practice: Any) -> None:
        asked = {"date_range": "2026-01-01/2026-12-31"}
        assert practice.api("GET", "appointments", params=asked).status_code == 400

    def test_verbose_pages_have_25_at_most_and_absolute_links(self, practice: Any) -> None:
        page = practice.get("appointments", since="2000-01-01", verbose="true", page_size=250)
        assert len(page["results"]) == 25
        assert page["next"].startswith(str(practice.client.base_url))
        following = practice.client.get(page["next"], headers={"Authorization": f"Bearer {practice.token}"}).json()
        assert len(following["results"]) == 15
        assert following["next"] is None
        assert len(practice.get("appointments", since="2000-01-01")["results"]) == 40

    def test_they_come_by_date_and_not_by_change(self, practice: Any) -> None:
        found = practice.get("appointments", since="2000-01-01")["results"]
        practice.command("change", kind="appointments", id=found[0]["id"], members={"reason": "x"})
        again = practice.get("appointments", since="2000-01-01")["results"]
        assert [a["id"] for a in again] == [a["id"] for a in found]

    @pytest.mark.parametrize("name", ["results", "data"])
    def test_both_spellings_of_the_envelope(self, practice: Any, name: str) -> None:
        practice.command("envelope", name=name)
        assert name in practice.get("doctors")

    def test_a_trailing_slash_changes_nothing(self, practice: Any) -> None:
        assert practice.get("doctors/") == practice.get("doctors")

    def test_asynchronous_lists_take_their_time(self, practice: Any) -> None:
        started = practice.api("POST", "appointments_list", json={"date_range": "2026-03-01/2026-03-31"})
        assert (started.status_code, started.json()["status"]) == (201, "In progress")
        asked = {"uuid": started.json()["uuid"], "page_size": 30}
        assert practice.get("appointments_list", **asked)["status"] == "In progress"
        complete = practice.get("appointments_list", **asked)
        assert complete["status"] == "Complete"
        assert (len(complete["results"]), complete["pagination"]["pages"]) == (30, 2)
        assert len(practice.get("appointments_list", **asked, page=2)["results"]) == 10


class TestObjects:
    def test_what_only_verbose_shows(self, practice: Any) -> None:
        key = practice.first()
        plain, verbose = practice.get(f"appointments/{key}"), practice.get(f"appointments/{key}", verbose="true")
        assert "clinical_note" not in plain
        assert verbose["clinical_note"]["locked"] is False
        patient = practice.get(f"patients/{plain['patient']}")
        assert "primary_insurance" not in patient
        assert "primary_insurance" in practice.get(f"patients/{plain['patient']}", verbose="true")

    def test_money_is_text_with_two_decimals_and_times_have_no_offset(self, practice: Any) -> None:
        (line, *_) = practice.get("line_items", appointment=practice.first())["results"]
        assert all(len(line[name].partition(".")[2]) == 2 for name in ("price", "billed", "quantity"))
        assert datetime.fromisoformat(line["updated_at"]).tzinfo is None
        assert len(line["modifiers"]) == len(line["diagnosis_pointers"]) == 4

    def test_pointers_are_numbers_and_codes_mixed(self, practice: Any) -> None:
        lines = practice.get("line_items")["results"]
        pointers = {pointer for line in lines for pointer in line["diagnosis_pointers"] if pointer}
        assert {p for p in pointers if p.isdecimal()} and {p for p in pointers if p[0].isalpha()}

    def test_nothing_tells_the_place_of_service_or_a_taxonomy(self, practice: Any) -> None:
        told = {name for kind in ("offices", "doctors") for obj in practice.get(kind)["results"] for name in obj}
        assert not [name for name in told if "taxonomy" in name or "place" in name or name == "npi"]

    def test_what_is_not_there(self, practice: Any) -> None:
        assert practice.api("GET", "appointments/1").status_code == 404
        assert practice.api("GET", "claims").status_code == 404
        assert practice.api("DELETE", f"appointments/{practice.first()}").status_code == 405


class TestReplicas:
    def test_reads_lag_behind_writes(self, practice: Any) -> None:
        key = practice.first()
        practice.command("replica", lag=20)
        practice.command("sign", encounter_ids=[key])
        assert practice.get(f"appointments/{key}", verbose="true")["clinical_note"]["locked"] is False
        practice.command("clock", seconds=21)
        assert practice.get(f"appointments/{key}", verbose="true")["clinical_note"]["locked"] is True


class TestWrites:
    def test_a_status_is_patched_without_a_body_in_answer(self, practice: Any) -> None:
        key = practice.first()
        answer = practice.api("PATCH", f"appointments/{key}", json={"billing_status": "Settled"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert practice.get(f"appointments/{key}")["billing_status"] == "Settled"

    def test_what_is_read_only_is_refused_by_name(self, practice: Any) -> None:
        answer = practice.api("PATCH", f"appointments/{practice.first()}", json={"ins1_status": "x"})
        assert (answer.status_code, list(answer.json())) == (400, ["ins1_status"])

    def test_a_billing_note_posted_twice_is_there_twice(self, practice: Any) -> None:
        key = practice.first()
        for _ in range(2):
            body = {"appointment": int(key), "text": "Claim sent"}
            assert practice.api("POST", "claim_billing_notes", json=body).status_code == 201
        assert [n["text"] for n in practice.get(f"appointments/{key}")["billing_notes"]] == ["Claim sent"] * 2
        assert practice.api("POST", "claim_billing_notes", json={"text": "x"}).status_code == 400


class TestStaff:
    def test_a_lock_changes_note_and_appointment(self, practice: Any) -> None:
        key = practice.first()
        practice.command("sign", encounter_ids=[key])
        assert practice.get(f"clinical_notes/{key}")["signee"]["locked_by"]
        practice.command("unlock", encounter_id=key)
        assert practice.get(f"clinical_notes/{key}")["signee"]["locked_by"] is None

    def test_lines_can_be_late_and_deleted(self, practice: Any) -> None:
        key = practice.first()
        practice.command("sign", encounter_ids=[key], late_lines=True)
        assert practice.get("line_items", appointment=key)["results"] == []
        practice.command("lines", encounter_id=key)
        (line, *_) = practice.get("line_items", appointment=key)["results"]
        practice.command("drop_line", line_item_id=line["id"])
        (deletion,) = practice.get("line_item_deletions", since="2000-01-01")["results"]
        assert (deletion["billing_line_item_id"], str(deletion["appointment_id"])) == (line["id"], key)

    def test_the_ledger_counts_what_was_signed(self, practice: Any) -> None:
        practice.command("sign", count=3)
        ledger = practice.ledger()
        assert ledger["encounters"] == {"total": 40, "unsigned": 37}
        assert len(ledger["signed"]) == 3
        practice.command("amend", encounter_id=ledger["signed"][0]["encounter_id"])
        assert [s["version"] for s in practice.ledger()["signed"]] == [1, 1, 1, 2]

    def test_a_reset_begins_anew(self, practice: Any) -> None:
        practice.command("sign", all=True)
        practice.command("reset")
        assert practice.ledger()["encounters"]["unsigned"] == 40
