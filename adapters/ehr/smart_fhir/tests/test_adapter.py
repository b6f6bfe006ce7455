"""The adapter against the simulator over real HTTP: reading, faults, subscribing, probing."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    RateLimited,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRef, Resource, reference_of
from gateway.kit.contract_ehr import SimulatorServer

REF = EncounterRef("enc-1", "Encounter/enc-1")


def calls(simulator: SimulatorServer) -> dict[str, int]:
    return dict(simulator.control("ledger")["calls"])


async def opened(settings: dict[str, Any], context: Any, **more: Any) -> Any:
    return ADAPTER.open(ADAPTER.settings(**{**settings, **more}), context)


class TestFetch:
    async def test_everything_in_six_requests(self, ehr: Any, simulator: SimulatorServer) -> None:
        await ehr.fetch_encounter(REF)
        before = calls(simulator)
        record = await ehr.fetch_encounter(REF)
        after = calls(simulator)
        assert record.calls == sum(after.values()) - sum(before.values()) <= 6
        assert {"Patient/pat-1", "Practitioner/prac-2", "Location/loc-1", "Organization/payer-1", "Claim/claim-1"} <= {
            reference_of(resource) for resource in record.resources
        }

    async def test_without_includes_the_same_facts_arrive(self, ehr: Any, settings: Any, context: Any) -> None:
        plain = await opened(settings, context, includes=False)
        try:
            with_includes, without = await ehr.fetch_encounter(REF), await plain.fetch_encounter(REF)
            assert {reference_of(r) for r in with_includes.resources} == {reference_of(r) for r in without.resources}
            assert (await plain.fetch_encounter(REF)).calls <= 8  # providers, payers and places come from the cache
        finally:
            await plain.aclose()

    async def test_a_patient_anchored_server(self, ehr: Any, settings: Any, context: Any) -> None:
        anchored = await opened(settings, context, patient_anchored=True)
        try:
            record = await anchored.fetch_encounter(REF)
            assert {reference_of(r) for r in (await ehr.fetch_encounter(REF)).resources} == {
                reference_of(r) for r in record.resources
            }
            with pytest.raises(UnsupportedOperation):
                [ref async for ref in anchored.changed_encounters(None)]
        finally:
            await anchored.aclose()

    @pytest.mark.parametrize("vendor_id", ["nobody", "../Patient/pat-1", "a b", ""])
    async def test_an_encounter_that_is_not_there(self, ehr: Any, vendor_id: str) -> None:
        with pytest.raises(AdapterError) as raised:
            await ehr.fetch_encounter(EncounterRef(vendor_id, "x"))
        assert raised.value.code is ErrorCode.NOT_FOUND

    async def test_a_missing_reference_is_left_out(self, ehr: Any, resources: list[Resource], simulator: Any) -> None:
        assert "Practitioner/prac-9" not in {reference_of(r) for r in resources}
        record = await ehr.fetch_encounter(REF)
        assert "Practitioner/prac-9" not in {reference_of(r) for r in record.resources}

    @pytest.mark.parametrize(
        ("kind", "failure"),
        [
            ("rate_limit", RateLimited),
            ("http_500", VendorUnavailable),
            ("garbage", VendorUnavailable),
            ("reset", VendorUnavailable),
        ],
    )
    @pytest.mark.parametrize("operation", ["search:Coverage", "search:Encounter", "search:Condition"])
    async def test_a_failed_read_fails_the_fetch_and_can_be_repeated(
        self, ehr: Any, simulator: SimulatorServer, operation: str, kind: str, failure: type[AdapterError]
    ) -> None:
        simulator.fail(operation, kind, times=9)  # the HTTP library repeats a GET by itself after one reset
        with pytest.raises(failure):
            await ehr.fetch_encounter(REF)
        simulator.control("faults", {"rules": []})
        assert (await ehr.fetch_encounter(REF)).encounter["id"] == "enc-1"

    async def test_a_silent_server_times_out(self, settings: Any, context: Any, simulator: SimulatorServer) -> None:
        hasty = await opened(settings, context, timeout_seconds=0.15)
        try:
            simulator.fail("search:Condition", "timeout")
            with pytest.raises(VendorUnavailable) as raised:
                await hasty.fetch_encounter(REF)
            assert raised.value.code is ErrorCode.TIMEOUT
        finally:
            await hasty.aclose()


class TestTokens:
    async def test_expired_tokens_cost_one_renewal_for_all_reads(self, ehr: Any, simulator: SimulatorServer) -> None:
        await ehr.fetch_encounter(REF)
        simulator.control("expire_tokens", {})
        await ehr.fetch_encounter(REF)
        assert calls(simulator)["token"] == 2

    async def test_a_second_401_is_an_alarm(self, ehr: Any, simulator: SimulatorServer) -> None:
        simulator.fail("search:Coverage", "unauthorized", times=2)
        with pytest.raises(CredentialsRejected):
            await ehr.fetch_encounter(REF)
        assert calls(simulator)["token"] == 2

    async def test_an_unknown_client_stops_the_connection(self, settings: Any, context: Any) -> None:
        stranger = await opened(settings, context, client_id="somebody-else")
        try:
            with pytest.raises(CredentialsRejected):
                await stranger.fetch_encounter(REF)
        finally:
            await stranger.aclose()


class TestSubscribe:
    async def test_an_equal_subscription_is_reused(self, ehr: Any, simulator: SimulatorServer) -> None:
        first = await ehr.subscribe(f"{simulator.url}/hook")
        assert first
        assert await ehr.subscribe(f"{simulator.url}/hook") == first
        assert await ehr.subscribe(f"{simulator.url}/other-hook") != first

    async def test_switched_off(self, settings: Any, context: Any) -> None:
        silent = await opened(settings, context, subscription="none")
        try:
            with pytest.raises(UnsupportedOperation):
                await silent.subscribe("https://gw.example.test/hook")
        finally:
            await silent.aclose()


class TestProbe:
    async def test_a_good_connection(self, ehr: Any) -> None:
        probes = await ehr.probe()
        assert [p.what for p in probes if not p.ok] == []
        assert [p.what for p in probes] == [
            "discovery",
            "access token",
            "scopes",
            "Encounter search",
            "subscriptions",
        ]

    async def test_a_wrong_client_is_told_what_to_do(self, settings: Any, context: Any) -> None:
        stranger = await opened(settings, context, client_id="somebody-else")
        try:
            token = next(p for p in await stranger.probe() if p.what == "access token")
            assert not token.ok
            assert "client_id" in token.remedy
        finally:
            await stranger.aclose()

    async def test_nobody_there_is_reported_and_not_raised(self, settings: Any, context: Any) -> None:
        lost = await opened(settings, context, base_url="http://127.0.0.1:9/fhir")
        try:
            assert [(p.ok, bool(p.remedy)) for p in await lost.probe()] == [(False, True), (False, True)]
        finally:
            await lost.aclose()


class TestSettings:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"base_url": "http://ehr.example.test/fhir"},
            {"base_url": "ftp://ehr.example.test"},
            {"token_url": "http://ehr.example.test/token"},
            {"algorithm": "HS384"},
            {"subscription": "backport"},
            {"signed_statuses": []},
            {"surprise": 1},
        ],
    )
    def test_wrong_settings_are_refused(self, credentials: Any, wrong: dict[str, Any]) -> None:
        good = {"base_url": "https://ehr.example.test/fhir", "client_id": "c", "private_key": "k"}
        assert ADAPTER.settings(**good)
        with pytest.raises(ValueError):
            ADAPTER.settings(**{**good, **wrong})

    def test_secrets_do_not_show(self, credentials: Any) -> None:
        chosen = ADAPTER.settings(
            base_url="https://ehr.example.test/fhir", client_id="c", private_key="KEY-TEXT", webhook_secret="HOOK-TEXT"
        )
        assert "TEXT" not in f"{chosen!r}{chosen}"
