"""`gateway check` on a DrChrono connection: what works, what is missing, and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.ehr.drchrono import ADAPTER
from adapters.ehr.drchrono.tests.practice_data import clinic_context, command
from gateway.kit.contract_support import Simulator, refused_url


async def faults(adapter: Any) -> dict[str, Any]:
    return {probe.what: probe for probe in await adapter.probe() if not probe.ok}


class TestProbe:
    async def test_a_good_connection(self, ehr: Any, signed: Simulator) -> None:
        probes = {probe.what: probe for probe in await ehr.probe()}
        assert [what for what, probe in probes.items() if not probe.ok] == []
        assert probes["offices"].detail == ""
        assert "123457" in probes["time zone and doctors"].detail  # his taxonomy is not configured

    async def test_what_the_clinic_must_add_is_named(self, opened: Any, signed: Simulator) -> None:
        context = clinic_context()
        bare = replace(context, clinic=replace(context.clinic, locations={}, providers={}))
        probes = {probe.what: probe for probe in await opened(bare).probe()}
        assert "place of service 11 of the clinic for 145678 (Main Office)" in probes["offices"].detail
        assert "no facility NPI" in probes["offices"].detail

    async def test_another_group_npi_than_who_bills_is_told(self, ehr: Any, signed: Simulator) -> None:
        command(signed, "change", kind="doctors", id=123456, members={"group_npi_number": "1888888884"})
        probes = {probe.what: probe for probe in await ehr.probe()}
        assert "who bills in gateway.yaml: 1888888884" in probes["time zone and doctors"].detail

    async def test_no_consent(self, opened: Any, signed: Simulator) -> None:
        found = await faults(opened(clinic_context(), refresh_token=""))
        assert "gateway connect" in found["consent"].remedy

    async def test_a_scope_that_was_not_granted(self, opened: Any, signed: Simulator) -> None:
        found = await faults(opened(clinic_context(), scopes=["user:read", "labs:read"]))
        assert found["scopes"].detail == "missing: labs:read"

    @pytest.mark.parametrize(
        ("permission", "what"),
        [
            ("billing", "permission: line items"),
            ("clinical_notes", "permission: clinical notes"),
            ("manage_patients", "permission: patients"),
            ("scheduling", "permission: appointments"),
        ],
    )
    async def test_a_permission_that_the_user_lacks(
        self, ehr: Any, signed: Simulator, permission: str, what: str
    ) -> None:
        command(signed, "permissions", remove=[permission])
        assert (await faults(ehr))[what].remedy.startswith("Grant it in DrChrono: scope")

    async def test_another_time_zone(self, opened: Any, signed: Simulator) -> None:
        found = await faults(opened(clinic_context(), timezone="America/Los_Angeles"))
        assert "US/Eastern" in found["time zone and doctors"].detail

    async def test_a_budget_that_polls_would_use_up(self, opened: Any, signed: Simulator) -> None:
        found = await faults(opened(clinic_context(), hourly_calls=200, poll_seconds=60))
        assert "poll_seconds" in found["call budget"].remedy

    async def test_webhooks_without_a_secret_are_no_fault(self, opened: Any, signed: Simulator) -> None:
        probes = await opened(clinic_context(), webhook_secret="").probe()
        assert next(p for p in probes if p.what == "webhooks").detail.startswith("none")

    async def test_nobody_there(self, opened: Any) -> None:
        found = await faults(opened(clinic_context(), base_url=refused_url()))
        assert found["consent"].remedy


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"base_url": "http://app.drchrono.com"},
            {"timezone": "Mars/Olympus"},
            {"client_id": ""},
            {"scopes": []},
            {"poll_seconds": -1},
            {"own_billing": "sometimes"},
            {"billing_status": {"no state": "x"}},
            {"surprise": 1},
        ],
    )
    def test_wrong_settings_are_refused(self, wrong: dict[str, Any]) -> None:
        good = {"client_id": "c", "client_secret": "s"}
        assert ADAPTER.settings(**good)
        with pytest.raises(ValueError):
            ADAPTER.settings(**{**good, **wrong})

    def test_secrets_do_not_show(self) -> None:
        names = ("client_secret", "refresh_token", "webhook_secret")
        chosen = ADAPTER.settings(client_id="c", **dict.fromkeys(names, "HIDDEN-TEXT-OF-TESTS"))
        assert "HIDDEN" not in f"{chosen!r}{chosen}"
