"""Telling DrChrono what became of a claim: once, in the clinic's own words, and no more often than asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.ehr.drchrono.tests.practice_data import KEY, REF, clinic_context, command
from adapters.ehr.drchrono.writing import note_of
from gateway.canonical.errors import ErrorCode, PermissionMissing, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import EncounterRef, SubmissionState
from gateway.kit.contract_encounter import FATE
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind


def texts(simulator: Simulator) -> list[str]:
    return [note["text"] for row in simulator.ledger()["written"] for note in row["notes"]]


def statuses(simulator: Simulator) -> list[str]:
    return [row["billing_status"] for row in simulator.ledger()["written"]]


class TestNotes:
    async def test_a_fate_is_one_note(self, ehr: Any, signed: Simulator) -> None:
        await ehr.write_back(REF, FATE)
        await ehr.write_back(REF, FATE)
        assert texts(signed) == ["Claim ACC-1: received (the billing system). V-42"]

    async def test_each_state_is_a_note_of_its_own(self, ehr: Any, signed: Simulator) -> None:
        rejected = replace(FATE, state=SubmissionState.REJECTED, reason="The payer does not know the member id")
        for fate in (FATE, rejected, rejected):
            await ehr.write_back(REF, fate)
        assert texts(signed) == [note_of(FATE), note_of(rejected)]

    async def test_a_note_whose_answer_was_lost_is_not_written_twice(self, ehr: Any, signed: Simulator) -> None:
        signed.fail("claim_billing_notes", FaultKind.RESET_AFTER_SAVE)
        with pytest.raises(VendorUnavailable):
            await ehr.write_back(REF, FATE)
        await ehr.write_back(REF, FATE)
        assert len(texts(signed)) == 1

    async def test_a_state_that_nobody_asked_for_costs_no_call(self, opened: Any, signed: Simulator) -> None:
        adapter = opened(clinic_context(), told_states=["rejected"])
        await adapter.write_back(REF, FATE)
        assert signed.ledger()["calls"] == {}

    async def test_no_clock_is_in_a_note(self) -> None:
        assert note_of(FATE) == note_of(replace(FATE, at=FATE.at.replace(year=2027)))


class TestStatus:
    async def test_the_clinics_word_is_set_once(self, opened: Any, signed: Simulator) -> None:
        adapter = opened(clinic_context(), billing_status={"received": "Claim Sent"}, told_states=[])
        await adapter.write_back(REF, FATE)
        made = signed.ledger()["calls"]["PATCH appointments"]
        await adapter.write_back(REF, FATE)
        assert statuses(signed) == ["Claim Sent"]
        assert signed.ledger()["calls"]["PATCH appointments"] == made == 1
        assert texts(signed) == []

    async def test_without_a_word_the_status_stays(self, ehr: Any, signed: Simulator) -> None:
        await ehr.write_back(REF, FATE)
        assert statuses(signed) == [""]


class TestRefusals:
    @pytest.mark.parametrize("key", ["999", "../patients/1"])
    async def test_an_appointment_that_is_gone_is_told(self, ehr: Any, signed: Simulator, key: str) -> None:
        with pytest.raises(UnexpectedResponse) as raised:
            await ehr.write_back(EncounterRef(key, ""), FATE)
        assert raised.value.code is ErrorCode.NOT_FOUND

    async def test_a_missing_permission_is_named(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "permissions", remove=["billing"])
        with pytest.raises(PermissionMissing, match="billing:write"):
            await ehr.write_back(REF, FATE)

    async def test_writing_can_wait_for_live_visits(self, opened: Any, signed: Simulator) -> None:
        context = clinic_context()
        await opened(context, hourly_calls=500, live_reserve=150).write_back(EncounterRef(KEY, ""), FATE)
        assert {calls for name, calls, _ in context.pacer.spent if name.endswith("/hour")} == {350}
