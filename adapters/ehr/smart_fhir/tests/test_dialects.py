"""Every dialect against the simulator that plays its vendor: from a registration to a first canonical claim."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from adapters.ehr.smart_fhir.dialects import DIALECTS, DialectName, dialect_table, summary
from adapters.ehr.smart_fhir.settings import SmartFhirSettings
from adapters.ehr.smart_fhir.simulator.variants import VARIANTS
from gateway.canonical import jsonio
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import CredentialsRejected, NotSignedOff, PermissionMissing, RateLimited
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.models import EncounterRef
from gateway.canonical.validation import check_encounter
from gateway.kit.contract_support import NoPacer, Simulator, contract_context
from gateway.ports.context import AdapterContext, utc_now

REF = EncounterRef("enc-1", "Encounter/enc-1")
CLOSED = [name for name, dialect in DIALECTS.items() if dialect.settings.get("signoff") in ("document", "provenance")]
ANCHORED = [name for name, dialect in DIALECTS.items() if dialect.settings.get("patient_anchored")]
FEES = {"G0463": Decimal("185.00"), "J1885": Decimal("33.33"), "G0108": Decimal("61.25")}


@pytest.fixture
def fees() -> AdapterContext:
    """A clinic that has a price for what EHRs without charges leave open."""
    held = contract_context("ehr1")
    clinic = replace(held.clinic, timezone=ZoneInfo("America/Chicago"), fee_schedule=FeeSchedule.flat(FEES))
    return replace(held, clinic=clinic, now=utc_now)


@asynccontextmanager
async def opened(settings: dict[str, Any], context: AdapterContext, **more: Any) -> AsyncIterator[Any]:
    adapter = ADAPTER.open(ADAPTER.settings(**{**settings, **more}), context)
    try:
        yield adapter
    finally:
        await adapter.aclose()


def sign(simulator: Simulator) -> None:
    simulator.client.post("/_sim/sign", json={"encounter_ids": ["enc-1"]}).raise_for_status()


@pytest.mark.parametrize("name", list(DialectName))
class TestEveryDialect:
    async def test_a_signed_visit_becomes_a_valid_claim(self, name: str, playing: Any, fees: AdapterContext) -> None:
        with playing(name) as (simulator, settings):
            sign(simulator)
            async with opened(settings, fees) as ehr:
                bundle = ehr.normalize(await ehr.fetch_encounter(REF))
        assert [f.expression for f in check_encounter(bundle) if f.severity == "error"] == []
        claim = build_claim(bundle, fees.clinic, created="2026-03-05T12:00:00+00:00", generation=1).claim
        lines = {item["productOrService"]["coding"][0]["code"]: item for item in claim["item"]}
        assert set(lines) - {"G0108"} == {"G0463", "J1885"}
        assert [modifier["coding"][0]["code"] for modifier in lines["G0463"]["modifier"]] == ["25", "GT"]
        assert (lines["G0463"]["diagnosisSequence"], lines["G0463"]["net"]["value"]) == ([2, 1], Decimal("185.00"))
        assert bundle.diagnosis_codes == ("E11.9", "I10")

    async def test_the_check_finds_nothing_wrong(self, name: str, playing: Any, fees: AdapterContext) -> None:
        with playing(name) as (simulator, settings):
            sign(simulator)
            async with opened(settings, fees) as ehr:
                probes = await ehr.probe()
        assert [(p.what, p.detail) for p in probes if not p.ok] == []
        assert probes[0].detail.startswith(f"{name}: ")


@pytest.mark.parametrize("name", CLOSED)
async def test_a_closed_visit_waits_for_its_signature(name: str, playing: Any, fees: AdapterContext) -> None:
    with playing(name) as (simulator, settings):
        simulator.client.post("/_sim/close", json={"encounter_id": "enc-1"}).raise_for_status()
        async with opened(settings, fees) as ehr:
            record = await ehr.fetch_encounter(REF)
            assert record.encounter["status"] == "finished"
            with pytest.raises(NotSignedOff) as raised:
                ehr.normalize(record)
            sign(simulator)
            assert ehr.normalize(await ehr.fetch_encounter(REF)).charges
    assert raised.value.findings[0].fix


def test_the_simulator_plays_every_dialect() -> None:
    assert set(VARIANTS) == set(DialectName)


def test_the_readme_has_the_table_of_the_dialects() -> None:
    """GATEWAY_WRITE_GOLDEN=1 writes it anew."""
    path, table = Path(__file__).parents[1] / "README.md", dialect_table()
    before, _, rest = path.read_text("utf-8").partition(table.splitlines()[0])
    present = f"{before}{table}\n\n{rest.partition(chr(10) * 2)[2]}"
    if os.environ.get("GATEWAY_WRITE_GOLDEN"):
        path.write_text(present, "utf-8")
    assert path.read_text("utf-8") == present, "a dialect has other settings than README.md says"


@pytest.mark.parametrize("name", list(DialectName))
def test_a_dialect_is_nothing_but_settings_and_each_can_be_changed(name: DialectName) -> None:
    base = {"base_url": "https://ehr.example.test/fhir", "client_id": "c", "private_key": "k", "client_secret": "s"}
    assert set(DIALECTS[name].settings) <= set(SmartFhirSettings.model_fields)
    assert DIALECTS[name].unconfirmed <= set(DIALECTS[name].settings)
    generic = SmartFhirSettings.model_validate(base)
    for setting, value in DIALECTS[name].settings.items():
        assert getattr(SmartFhirSettings.model_validate({**base, "dialect": name}), setting) == value
        own = getattr(generic, setting)
        changed = SmartFhirSettings.model_validate({**base, "dialect": name, setting: own})
        assert getattr(changed, setting) == own
        assert f"set otherwise: {setting}" in summary(name, changed) or own == value


class TestWhatVendorsRefuse:
    """Each line of the vendor document that a connection could run into."""

    async def test_oracle_and_the_wildcard_scope(self, playing: Any, fees: Any) -> None:
        with playing("oracle_health") as (_, settings):
            with pytest.raises(ValueError, match="refuses to be asked"):
                ADAPTER.settings(**settings, scopes=("system/*.rs",))
            async with opened(settings, fees, scopes=("system/*.rs",), forbidden_scopes=()) as ehr:
                with pytest.raises(PermissionMissing):
                    await ehr.tokens.token()

    async def test_eclinicalworks_and_group_read(self, playing: Any, fees: Any) -> None:
        scopes = ("system/Patient.rs", "system/Group.rs")
        with playing("eclinicalworks") as (_, settings):
            with pytest.raises(ValueError, match=r"system/Group\.rs"):
                ADAPTER.settings(**settings, scopes=scopes)
            async with opened(settings, fees, scopes=scopes, forbidden_scopes=()) as ehr:
                with pytest.raises(CredentialsRejected) as raised:
                    await ehr.tokens.token()
        assert raised.value.vendor_code == "invalid_grant"

    async def test_eclinicalworks_counts_token_calls(self, playing: Any, fees: Any) -> None:
        pacer = NoPacer()
        with playing("eclinicalworks") as (simulator, settings):
            sign(simulator)
            async with opened(settings, replace(fees, pacer=pacer)) as ehr:
                await ehr.fetch_encounter(REF)
            calls = sum(n for name, n in simulator.ledger()["calls"].items() if "smart-configuration" not in name)
        assert len(pacer.spent) == calls
        assert set(pacer.spent) == {(f"smart_fhir:{settings['base_url']}", 250, 60.0)}

    async def test_eclinicalworks_beyond_its_minute(self, playing: Any, fees: Any) -> None:
        with playing("eclinicalworks", pace=1.0, calls_per_minute="4") as (_, settings):
            async with opened(settings, fees) as ehr:
                with pytest.raises(RateLimited):
                    await ehr.fetch_encounter(REF)

    @pytest.mark.parametrize("name", ["epic", "eclinicalworks", "veradigm"])
    async def test_a_key_of_the_wrong_kind(self, name: str, playing: Any, fees: Any, credentials: Any) -> None:
        wrong = {"private_key": credentials["private_jwk"], "algorithm": "ES384", "key_id": ""}
        with playing(name) as (_, settings):
            async with opened(settings, fees, **wrong) as ehr:
                with pytest.raises(CredentialsRejected):
                    await ehr.tokens.token()
                probes = {probe.what: probe for probe in await ehr.probe()}
        assert "RS384; ES384 is used, as set" in probes["discovery"].detail
        assert "algorithm" in probes["access token"].remedy

    async def test_veradigm_reads_keys_by_night(self, playing: Any, fees: Any, credentials: Any) -> None:
        with playing("veradigm", jwks='{"keys":[]}') as (simulator, settings):
            keys = {"jwks": jsonio.loads(credentials["jwks"])}
            simulator.client.post("/_sim/publish_keys", json=keys).raise_for_status()
            async with opened(settings, fees) as ehr:
                with pytest.raises(CredentialsRejected):
                    await ehr.tokens.token()
                simulator.client.post("/_sim/nightly").raise_for_status()
                assert await ehr.tokens.token()

    async def test_veradigm_and_scopes_of_the_other_grammar(self, playing: Any, fees: Any) -> None:
        with playing("veradigm") as (_, settings):
            async with opened(settings, fees, scope_style="v2") as ehr:
                with pytest.raises(PermissionMissing):
                    await ehr.tokens.token()
            async with opened(settings, fees, scopes=("system/Patient.rs", "system/Encounter.read")) as ehr:
                assert ehr.tokens.scopes[:2] == ("system/Patient.read", "system/Encounter.read")
                assert await ehr.tokens.token()

    @pytest.mark.parametrize("name", ["oracle_health", "veradigm"])
    async def test_another_accept_header_is_406(self, name: str, playing: Any, fees: Any) -> None:
        with playing(name) as (simulator, settings):
            sign(simulator)
            async with opened(settings, fees, accept="application/json") as ehr:
                token = await ehr.tokens.token()
                headers = {"Accept": "application/json", "Authorization": f"Bearer {token}"}
            answer = simulator.client.get("/fhir/Patient/pat-1", headers=headers)
        assert (answer.status_code, answer.content) == (406, b"")

    @pytest.mark.parametrize("name", ANCHORED)
    async def test_a_search_without_a_patient(self, name: str, playing: Any, fees: Any) -> None:
        with playing(name) as (simulator, settings):
            async with opened(settings, fees) as ehr:
                headers = {"Accept": ehr.settings.accept, "Authorization": f"Bearer {await ehr.tokens.token()}"}
            answer = simulator.client.get("/fhir/Condition", params={"encounter": "enc-1"}, headers=headers)
        assert answer.status_code == 400


class TestSecrets:
    """Client authentication without a key: Oracle's in a header, Canvas's in the form."""

    @pytest.mark.parametrize("name", ["oracle_health", "canvas"])
    async def test_all_workers_share_one_token(self, name: str, playing: Any, fees: Any) -> None:
        with playing(name) as (simulator, settings):
            async with opened(settings, fees) as first, opened(settings, fees) as second:
                assert await first.tokens.token() == await second.tokens.token()
            assert simulator.ledger()["calls"]["token"] == 1

    @pytest.mark.parametrize("name", ["oracle_health", "canvas"])
    async def test_a_wrong_secret_stops_the_connection(self, name: str, playing: Any, fees: Any) -> None:
        with playing(name) as (_, settings):
            async with opened(settings, fees, client_secret="wrong") as ehr:
                with pytest.raises(CredentialsRejected):
                    await ehr.tokens.token()

    async def test_a_secret_publishes_no_key(self, playing: Any, fees: Any) -> None:
        with playing("canvas") as (_, settings):
            async with opened(settings, fees) as ehr:
                assert ehr.public_keys == ()

    async def test_no_tokens_no_header(self, playing: Any, fees: Any) -> None:
        with playing("hapi") as (simulator, settings):
            sign(simulator)
            async with opened(settings, fees) as ehr:
                await ehr.fetch_encounter(REF)
            assert "token" not in simulator.ledger()["calls"]


class TestQuirks:
    """Quirks that belong to no one vendor, by the simulator's knobs."""

    @pytest.mark.parametrize("errors", ["oauth", "epic", "subcode", "gateway", "html"])
    async def test_no_form_of_a_token_error_is_retried(self, errors: str, playing: Any, fees: Any) -> None:
        with playing("generic", errors=errors) as (_, settings):
            async with opened(settings, fees, client_id="somebody-else") as ehr:
                with pytest.raises(CredentialsRejected):
                    await ehr.tokens.token()

    @pytest.mark.parametrize("lifetime", ["number", "text", "absent"])
    async def test_each_way_to_write_the_tokens_life(self, lifetime: str, playing: Any, fees: Any) -> None:
        with playing("generic", lifetime=lifetime) as (simulator, settings):
            async with opened(settings, fees) as ehr:
                assert await ehr.tokens.token() == await ehr.tokens.token()
            assert simulator.ledger()["calls"]["token"] == 1

    async def test_only_es384(self, playing: Any, fees: Any) -> None:
        with playing("generic", algorithms="ES384") as (_, settings):
            async with opened(settings, fees) as ehr:
                assert await ehr.tokens.token()

    async def test_only_rs_scopes(self, playing: Any, fees: Any) -> None:
        with playing("generic", letters="rs", grammar="v2") as (_, settings):
            async with opened(settings, fees, subscription="none") as ehr:
                assert await ehr.tokens.token()
                assert ehr.tokens.missing_scopes() == ()

    async def test_a_discovery_document_that_lies_is_overruled(self, playing: Any, fees: Any) -> None:
        with playing("generic", discovery="wrong") as (simulator, settings):
            token_url = f"{str(simulator.client.base_url).rstrip('/')}/auth/token"
            async with opened(settings, fees, token_url=token_url) as ehr:
                assert await ehr.tokens.token()
                assert "token_url is used instead" in (await ehr.probe())[1].detail

    async def test_smart_1_0_names_its_endpoint_in_the_capability_statement(self, playing: Any, fees: Any) -> None:
        with playing("generic", discovery="metadata") as (_, settings):
            async with opened(settings, fees) as ehr:
                assert await ehr.tokens.token()
                assert "CapabilityStatement" in (await ehr.probe())[1].detail

    async def test_a_refusal_inside_http_200_is_one(self, playing: Any, fees: Any) -> None:
        knobs = {"refusals_as_200": "true", "scopes": "system/Encounter.rs"}
        with playing("generic", **knobs) as (_, settings):
            async with opened(settings, fees) as ehr:
                with pytest.raises(PermissionMissing):
                    await ehr.fetch_encounter(REF)

    async def test_an_entry_on_two_pages_counts_once(self, playing: Any, fees: Any) -> None:
        with playing("generic", repeats="true", total="false", page_size="1") as (_, settings):
            async with opened(settings, fees) as ehr:
                found = await ehr.client.search("Condition", {"encounter": "enc-1"})
                pages = [page async for page in ehr.client.pages("Condition", {"encounter": "enc-1"})]
        assert sorted(r["id"] for r in found) == ["con-1", "con-2"]
        assert sum(map(len, pages)) == 3

    async def test_a_page_that_expires_begins_the_search_anew(self, playing: Any, fees: Any) -> None:
        with playing("generic", page_size="1") as (simulator, settings):
            async with opened(settings, fees) as ehr:
                pages = ehr.client.pages("Condition", {"encounter": "enc-1"})
                await anext(pages)
                simulator.client.post("/_sim/expire_pages").raise_for_status()
                with pytest.raises(Exception, match="expired"):
                    await anext(pages)

    async def test_masked_elements_are_no_obstacle(self, playing: Any, fees: Any) -> None:
        with playing("generic", masked="Patient.telecom,Patient.address") as (sim, settings):
            sign(sim)
            async with opened(settings, fees) as ehr:
                assert ehr.normalize(await ehr.fetch_encounter(REF)).charges
