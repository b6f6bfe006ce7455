"""Reading a visit over real HTTP: how many calls, in which state, and what DrChrono's oddities do to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.ehr.drchrono.tests.practice_data import KEY, REF, clinic_context, command, objects
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    MappingError,
    NotSignedOff,
    PermissionMissing,
    RateLimited,
    Retry,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRef
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind


def kinds(record: Any) -> list[str]:
    return sorted(r["resourceType"] for r in record.resources)


class TestCalls:
    async def test_an_open_note_costs_one_call(self, ehr: Any, simulator: Simulator) -> None:
        record = await ehr.fetch_encounter(REF)
        assert (record.calls, record.resources) == (1, ())
        with pytest.raises(NotSignedOff):
            ehr.normalize(record)

    async def test_a_visit_without_charges_costs_two(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "sign", encounter_ids=[KEY], late_lines=True)
        record = await ehr.fetch_encounter(REF)
        assert record.calls == 2
        with pytest.raises(NotSignedOff, match="no charges yet"):
            ehr.normalize(record)
        command(simulator, "lines", encounter_id=KEY)
        assert len(ehr.normalize(await ehr.fetch_encounter(REF)).charges) == 2

    async def test_a_warm_visit_costs_four(self, ehr: Any, signed: Simulator) -> None:
        cold, warm = await ehr.fetch_encounter(REF), await ehr.fetch_encounter(REF)
        assert (cold.calls, warm.calls) == (7, 4)
        assert kinds(cold) == kinds(warm)

    async def test_without_authorizations_it_costs_three(self, opened: Any, signed: Simulator) -> None:
        adapter = opened(clinic_context(), read_authorizations=False)
        await adapter.fetch_encounter(REF)
        assert (await adapter.fetch_encounter(REF)).calls == 3

    async def test_the_version_is_asked_for(self, ehr: Any, signed: Simulator) -> None:
        assert ehr._api._headers["X-DRC-API-Version"] == "v4"


class TestSignOff:
    async def test_the_supervisors_lock_is_waited_for(self, opened: Any, signed: Simulator) -> None:
        adapter = opened(clinic_context(), requires_supervisor=True)
        with pytest.raises(NotSignedOff, match="supervisor"):
            adapter.normalize(await adapter.fetch_encounter(REF))
        command(signed, "supervise", encounter_id=KEY)
        assert adapter.normalize(await adapter.fetch_encounter(REF)).charges

    async def test_an_unlocked_note_is_watched_again(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "unlock", encounter_id=KEY)
        with pytest.raises(NotSignedOff):
            ehr.normalize(await ehr.fetch_encounter(REF))


class TestReplicas:
    async def test_a_stale_lock_is_an_open_note(self, ehr: Any, simulator: Simulator) -> None:
        command(simulator, "replica", lag=30)
        command(simulator, "sign", encounter_ids=[KEY])
        with pytest.raises(NotSignedOff):
            ehr.normalize(await ehr.fetch_encounter(REF))
        command(simulator, "clock", seconds=31)
        assert ehr.normalize(await ehr.fetch_encounter(REF)).charges

    async def test_a_state_older_than_was_told_is_read_again(self, ehr: Any, signed: Simulator) -> None:
        refs = [r async for r, _ in ehr.changed_encounters("2020-01-01T00:00:00")]
        ref = next(r for r in refs if r.last_updated)
        assert (await ehr.fetch_encounter(ref)).resources
        with pytest.raises(VendorUnavailable, match="replica"):
            await ehr.fetch_encounter(replace(ref, last_updated=datetime(2999, 1, 1, tzinfo=UTC)))

    async def test_in_the_hour_that_is_written_twice_an_earlier_time_is_no_older_state(
        self, ehr: Any, signed: Simulator
    ) -> None:
        """Told of at 1:50 before the clocks went back, changed again at 1:10 after it."""
        stamp = "2026-11-01T01:10:00"
        appointment = {**objects()["appointments"][0], "updated_at": stamp}
        note = {**appointment["clinical_note"], "locked": True, "updated_at": stamp}
        command(signed, "put", kind="appointments", object={**appointment, "clinical_note": note})
        before = datetime(2026, 11, 1, 5, 50, tzinfo=UTC)
        assert (await ehr.fetch_encounter(replace(REF, last_updated=before))).resources


class TestGone:
    async def test_a_deleted_visit(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "withdraw", encounter_id=KEY)
        record = await ehr.fetch_encounter(REF)
        assert record.withdrawn
        assert record.calls == 1

    async def test_one_that_the_practice_does_not_have(self, ehr: Any, signed: Simulator) -> None:
        """Held: with the consent of another practice's user everything would be voided."""
        with pytest.raises(UnexpectedResponse) as raised:
            await ehr.fetch_encounter(EncounterRef("99", ""))
        assert (raised.value.code, raised.value.retry) == (ErrorCode.NOT_FOUND, Retry.NEVER)

    @pytest.mark.parametrize("flag", ["appt_is_break", "is_virtual_base"])
    async def test_what_is_no_visit(self, ehr: Any, signed: Simulator, flag: str) -> None:
        command(signed, "change", kind="appointments", id=KEY, members={flag: True})
        assert (await ehr.fetch_encounter(REF)).withdrawn

    @pytest.mark.parametrize("key", ["../patients/1", "a b", ""])
    async def test_an_id_that_is_none_is_never_asked_for(self, ehr: Any, signed: Simulator, key: str) -> None:
        with pytest.raises(UnexpectedResponse) as raised:
            await ehr.fetch_encounter(EncounterRef(key, ""))
        assert raised.value.code is ErrorCode.NOT_FOUND


class TestOddities:
    async def test_both_envelopes_are_read(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "envelope", name="data")
        assert len(ehr.normalize(await ehr.fetch_encounter(REF)).charges) == 2

    async def test_another_envelope_is_an_error(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "envelope", name="items")
        with pytest.raises(UnexpectedResponse):
            await ehr.fetch_encounter(REF)

    @pytest.mark.parametrize("knobs", [{"verbose_single": "false"}])
    async def test_where_single_reads_ignore_verbose_the_lists_are_asked(self, ehr: Any, signed: Simulator) -> None:
        bundle = ehr.normalize(await ehr.fetch_encounter(REF))
        assert [c["subscriberId"] for c in bundle.of_type("Coverage")] == ["000123456", "77001"]
        assert bundle.roles["referring_provider"]

    async def test_the_default_supervisor_is_read(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "change", kind="doctor_options", id=123456, members={"default_supervising_provider": 123457})
        bundle = ehr.normalize(await ehr.fetch_encounter(REF))
        assert bundle.find(bundle.roles["supervising_provider"])["name"][0]["family"] == "Chief"

    async def test_a_doctor_who_is_not_there_yet_is_asked_for_again(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "change", kind="appointments", id=KEY, members={"doctor": 5})
        with pytest.raises(MappingError, match="does not show"):
            ehr.normalize(await ehr.fetch_encounter(REF))
        command(signed, "put", kind="doctors", object={**objects()["doctors"][0], "id": 5})
        assert ehr.normalize(await ehr.fetch_encounter(REF)).roles["rendering_provider"]

    async def test_a_line_of_another_doctor_brings_him_along(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "change", kind="line_items", id=88102234, members={"doctor": "123457"})
        assert ehr.normalize(await ehr.fetch_encounter(REF)).charges[1].performer


class TestManyLines:
    @pytest.fixture
    def data(self) -> Any:
        held = objects()
        line = held["line_items"][0]
        held["line_items"] = [{**line, "id": 88_200_000 + i} for i in range(260)]
        return held

    async def test_all_pages_are_read(self, ehr: Any, signed: Simulator) -> None:
        assert len([r for r in (await ehr.fetch_encounter(REF)).resources if r["resourceType"] == "LineItem"]) == 260


class TestFailures:
    @pytest.mark.parametrize(
        ("kind", "failure"),
        [
            (FaultKind.HTTP_500, VendorUnavailable),
            (FaultKind.GARBAGE, VendorUnavailable),
            (FaultKind.RESET, VendorUnavailable),
            (FaultKind.RATE_LIMIT, RateLimited),
        ],
    )
    @pytest.mark.parametrize("operation", ["appointments", "line_items", "patients", "doctors", "offices"])
    async def test_a_failed_read_fails_the_fetch_and_can_be_repeated(
        self, ehr: Any, signed: Simulator, operation: str, kind: FaultKind, failure: type[AdapterError]
    ) -> None:
        signed.fail(operation, kind, times=9)
        with pytest.raises(failure):
            await ehr.fetch_encounter(REF)
        signed.client.post("/_sim/faults", json={"rules": []})
        assert (await ehr.fetch_encounter(REF)).resources

    @pytest.mark.parametrize(
        ("permission", "words"),
        [("billing", "billing tab"), ("manage_patients", "manage patients"), ("scheduling", "scheduling")],
    )
    async def test_a_missing_permission_stops_the_connection_and_is_named(
        self, ehr: Any, signed: Simulator, permission: str, words: str
    ) -> None:
        command(signed, "permissions", remove=[permission])
        with pytest.raises(PermissionMissing, match=words):
            await ehr.fetch_encounter(REF)

    async def test_a_400_tells_fields_and_no_values(self, ehr: Any, signed: Simulator) -> None:
        with pytest.raises(UnexpectedResponse, match="non_field_errors") as raised:
            await ehr._api.get("read:appointments", "appointments")
        assert raised.value.vendor_code == "400"

    async def test_a_consent_that_was_taken_back_asks_for_another(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        command(signed, "revoke")
        with pytest.raises(CredentialsRejected, match="gateway connect"):
            await ehr.fetch_encounter(REF)
