"""The adapter against the simulator over real HTTP: reading, faults, subscribing, probing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import fhirkit
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    CredentialsRejected,
    ErrorCode,
    MappingError,
    RateLimited,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRef, NotificationRequest, Resource, reference_of
from gateway.kit.contract_support import Simulator, simulator_running
from gateway.kit.ehr_subscribe import subscription_for
from gateway.kit.simulator import FaultKind

REF = EncounterRef("enc-1", "Encounter/enc-1")


def calls(simulator: Simulator) -> dict[str, int]:
    return dict(simulator.ledger()["calls"])


async def opened(settings: dict[str, Any], context: Any, **more: Any) -> Any:
    return ADAPTER.open(ADAPTER.settings(**{**settings, **more}), context)


async def _until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


class TestFetch:
    async def test_everything_in_six_requests(self, ehr: Any, simulator: Simulator) -> None:
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
        finally:
            await anchored.aclose()

    @pytest.mark.parametrize("vendor_id", ["nobody", "../Patient/pat-1", "a b", ""])
    async def test_an_encounter_that_is_not_there(self, ehr: Any, vendor_id: str) -> None:
        with pytest.raises(AdapterError) as raised:
            await ehr.fetch_encounter(EncounterRef(vendor_id, "x"))
        assert raised.value.code is ErrorCode.NOT_FOUND

    @pytest.mark.parametrize(
        ("kind", "failure"),
        [
            (FaultKind.RATE_LIMIT, RateLimited),
            (FaultKind.HTTP_500, VendorUnavailable),
            (FaultKind.GARBAGE, VendorUnavailable),
            (FaultKind.RESET, VendorUnavailable),
        ],
    )
    @pytest.mark.parametrize("operation", ["search:Coverage", "search:Encounter", "search:Condition"])
    async def test_a_failed_read_fails_the_fetch_and_can_be_repeated(
        self, ehr: Any, simulator: Simulator, operation: str, kind: FaultKind, failure: type[AdapterError]
    ) -> None:
        simulator.fail(operation, kind, times=9)  # the HTTP library repeats a GET by itself after one reset
        with pytest.raises(failure):
            await ehr.fetch_encounter(REF)
        simulator.client.post("/_sim/faults", json={"rules": []})
        assert (await ehr.fetch_encounter(REF)).encounter["id"] == "enc-1"

    async def test_a_silent_server_times_out(self, settings: Any, context: Any, simulator: Simulator) -> None:
        hasty = await opened(settings, context, timeout_seconds=0.15)
        try:
            simulator.fail("search:Condition", FaultKind.TIMEOUT)
            with pytest.raises(VendorUnavailable) as raised:
                await hasty.fetch_encounter(REF)
            assert raised.value.code is ErrorCode.TIMEOUT
        finally:
            await hasty.aclose()


class TestHoles:
    @pytest.fixture
    def resources(self, resources: list[Resource]) -> list[Resource]:
        return [r for r in resources if reference_of(r) not in ("Practitioner/prac-2", "Organization/payer-2")]

    async def test_a_missing_reference_is_left_out_and_normalizing_decides(self, ehr: Any) -> None:
        record = await ehr.fetch_encounter(REF)
        assert "Practitioner/prac-2" not in {reference_of(r) for r in record.resources}
        with pytest.raises(MappingError) as raised:
            ehr.normalize(record)
        assert raised.value.findings[0].expression.endswith(".payor")


class TestTokens:
    async def test_expired_tokens_cost_one_renewal_for_all_reads(self, ehr: Any, simulator: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        simulator.client.post("/_sim/expire_tokens").raise_for_status()
        await ehr.fetch_encounter(REF)
        assert calls(simulator)["token"] == 2

    async def test_a_second_401_is_an_alarm(self, ehr: Any, simulator: Simulator) -> None:
        simulator.fail("search:Coverage", FaultKind.UNAUTHORIZED, times=2)
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
    async def test_a_signature_reaches_the_hook_and_becomes_a_bundle(self, ehr: Any, simulator: Simulator) -> None:
        received: list[NotificationRequest] = []

        async def hook(request: Request) -> Response:
            headers, query = dict(request.headers), dict(request.query_params)
            path = request.path_params.get("below", "")
            received.append(NotificationRequest(request.method, path, headers, query, await request.body(), ""))
            return Response(status_code=202)

        routes = [Route("/hook", hook, methods=["POST", "PUT"]), Route("/hook/{below:path}", hook, methods=["PUT"])]
        with simulator_running(lambda _: Starlette(routes=routes), credentials={}) as url:
            await ehr.subscribe(f"{url}/hook")
            await _until(lambda: simulator.ledger()["calls"].get("POST Subscription", 0) == 1)
            simulator.client.post("/_sim/sign", json={"encounter_ids": ["enc-1"]}).raise_for_status()
            await _until(lambda: bool(received))
        ehr.verify_notification(received[0])
        (ref,) = ehr.parse_notification(received[0]).refs
        record = await ehr.fetch_encounter(ref)
        assert ehr.normalize(record).charges

    @pytest.mark.parametrize(("style", "topic"), [("r4", ""), ("backport", "https://ehr.example.test/topic/signed")])
    def test_what_is_asked_for_is_valid(self, credentials: Any, style: str, topic: str) -> None:
        chosen = ADAPTER.settings(
            base_url="https://ehr.example.test/fhir",
            client_id="c",
            private_key=credentials["private_jwk"],
            webhook_secret="s3cr3t",
            subscription=style,
            subscription_topic=topic,
        )
        asked = subscription_for(chosen, "https://gw.example.test/hook", datetime.now(UTC))
        assert [i.path for i in fhirkit.validate(jsonio.dumps(asked)) if i.severity == "error"] == []
        assert asked["criteria"] == (topic or "Encounter?status=finished,entered-in-error")
        assert asked["channel"]["header"] == ["Authorization: Bearer s3cr3t"]

    async def test_an_equal_subscription_is_reused(self, ehr: Any, simulator: Simulator) -> None:
        (first,) = await ehr.subscribe(f"{simulator.client.base_url}hook")
        assert first.id
        assert first.topic == "Encounter?status=finished,entered-in-error"
        assert [s.id for s in await ehr.subscribe(f"{simulator.client.base_url}hook")] == [first.id]
        assert [s.id for s in await ehr.subscribe(f"{simulator.client.base_url}other-hook")] != [first.id]

    async def test_a_changed_secret_is_handed_to_the_ehr_under_the_same_id(
        self, ehr: Any, settings: Any, context: Any, simulator: Simulator
    ) -> None:
        hook = f"{simulator.client.base_url}hook"
        (first,) = await ehr.subscribe(hook)
        changed = await opened(settings, context, webhook_secret="another")
        try:
            before = simulator.ledger()["calls"].get("PUT Subscription", 0)
            for _ in range(2):
                assert [s.id for s in await changed.subscribe(hook)] == [first.id]
            assert simulator.ledger()["calls"]["PUT Subscription"] == before + 1
        finally:
            await changed.aclose()

    async def test_what_is_switched_off_at_the_ehr_stays_so(self, ehr: Any, simulator: Simulator) -> None:
        (made,) = await ehr.subscribe(f"{simulator.client.base_url}hook")
        await ehr.unsubscribe(made.id)
        await ehr.unsubscribe("unheard-of")
        assert (await ehr.subscription_status(made.id)).status == "off"
        assert (await ehr.subscription_status("unheard-of")).status == "off"

    async def test_an_ehr_without_the_operation_gives_no_missed_events(self, ehr: Any, simulator: Simulator) -> None:
        simulator.client.post("/_sim/subscriptions", json={"operations": False}).raise_for_status()
        with pytest.raises(UnsupportedOperation):
            await ehr.missed_events("s1", 1, 2)

    async def test_an_app_that_may_not_subscribe_goes_on_without(
        self, settings: Any, context: Any, simulator: Simulator
    ) -> None:
        reader = await opened(settings, context, scopes=("system/Encounter.rs",))
        try:
            with pytest.raises(UnsupportedOperation, match="grant it the scopes"):
                await reader.subscribe(f"{simulator.client.base_url}hook")
        finally:
            await reader.aclose()

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
            "dialect",
            "discovery",
            "access token",
            "scopes",
            "sign-off",
            "subscriptions",
            "feed last_updated (Encounter?_lastUpdated)",
            "feed date (Encounter?date)",
            "feed bulk ($export)",
            "feed appointments (Appointment, then Encounter?patient)",
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
            _, *tried = await lost.probe()
            assert [(p.ok, bool(p.remedy)) for p in tried] == [(False, True), (False, True)]
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
            {"dialect": "somebody"},
            {"private_key": ""},
            {"client_id": ""},
            {"client_authentication": "client_secret_basic"},
            {"signoff": "extension"},
            {"signoff": "tag"},
            {"scopes": ["system/Group.rs"], "forbidden_scopes": ["Group"]},
            {"dialect": "oracle_health", "client_secret": "s", "scopes": ["system/*.rs"]},
            {"scope_style": "v1", "scopes": ["system/Condition.rs?category=x"]},
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
