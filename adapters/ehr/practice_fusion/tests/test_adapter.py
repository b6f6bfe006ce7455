"""What is Practice Fusion's own: superbills, scopes, token errors by their words, no push, places by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from adapters.ehr.practice_fusion import ADAPTER
from adapters.ehr.practice_fusion.errors import token_refusal
from adapters.ehr.practice_fusion.simulator import connection, new_credentials
from adapters.ehr.practice_fusion.simulator.superbills import COLUMNS
from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFact, ClinicFacts
from gateway.canonical.errors import (
    CredentialsRejected,
    ErrorCode,
    MappingError,
    NotSignedOff,
    PermissionMissing,
    RateLimited,
    SuperbillAwaited,
    UnexpectedResponse,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.canonical.superbill import Layout, Visit
from gateway.canonical.superbill_file import read_superbills
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind, SimulatorOptions
from gateway.ports.context import AdapterContext
from gateway.superbill_settings import SuperbillSettings

REF = EncounterRef("e-1001", "Encounter/e-1001")
HEADER = "superbill_id,mrn,serviced_date,rendering_npi,diagnosis_1,diagnosis_2,product_or_service,modifier_1,quantity"
ROWS = (
    f"{HEADER},charge,diagnosis_pointers,prior_authorization\n"
    "SB-778,AB123456,2026-03-03,1999999984,E11.9,I10,99214,25,1,0.00,BA,PA-0042\n"
    "SB-778,AB123456,2026-03-03,1999999984,E11.9,I10,83036,QW,2,57.00,A,PA-0042\n"
)


def with_superbill(record: EncounterRecord, text: str = ROWS) -> EncounterRecord:
    """The record as the pipeline hands it over once the superbill has come."""
    [superbill] = read_superbills(text.encode(), Layout()).superbills
    claim = {**superbill.claim, "id": "sb-1", "patient": record.encounter["subject"]}
    return replace(record, resources=(*record.resources, claim))


def test_the_superbill_is_what_is_billed(ehr: Any, record: EncounterRecord) -> None:
    bundle = ehr.normalize(with_superbill(record))
    first, second = bundle.charges
    assert (first.code, first.modifiers, first.quantity, first.unit_price) == ("99214", ("25",), Decimal(1), None)
    assert (second.code, second.system, second.quantity, second.unit_price) == (
        *("83036", codes.CPT, Decimal(2)),
        Decimal("28.50"),
    )
    assert (first.diagnosis_codes, second.diagnosis_codes) == (("I10", "E11.9"), ("E11.9",))
    assert bundle.diagnosis_codes == ("E11.9", "I10"), "in the superbill's order, whatever FHIR says"
    assert bundle.prior_authorization == "PA-0042"
    assert bundle.serviced == date(2026, 3, 3), "the evening at the clinic, not the next day of UTC"


def test_a_rank_at_the_ehr_does_not_change_the_superbills_order(ehr: Any, record: EncounterRecord) -> None:
    ranked = [{"condition": {"reference": f"Condition/c-{n}"}, "rank": n} for n in (1, 2)]
    encounter = {**record.encounter, "diagnosis": ranked}
    bundle = ehr.normalize(with_superbill(replace(record, encounter=encounter)))
    assert bundle.diagnosis_codes == ("E11.9", "I10")


async def test_without_its_superbill_the_encounter_waits(ehr: Any) -> None:
    record = await ehr.fetch_encounter(REF)
    with pytest.raises(SuperbillAwaited) as raised:
        ehr.normalize(record)
    assert raised.value.findings[0].fix


async def test_a_superbill_finds_the_visit_by_number_date_and_provider(ehr: Any) -> None:
    record = await ehr.fetch_encounter(REF)
    assert ehr.visit(record) == Visit("AB123456", date(2026, 3, 3), "1999999984")


def test_only_the_practices_own_record_number_counts(ehr: Any, record: EncounterRecord) -> None:
    other = {"type": codes.concept(codes.IDENTIFIER_TYPE, "MR"), "system": "urn:oid:1.2.3", "value": "ELSEWHERE-1"}
    changed = [
        {**r, "identifier": [other, *r["identifier"]]} if r["resourceType"] == "Patient" else r
        for r in record.resources
    ]
    assert ehr.visit(replace(record, resources=tuple(changed))).record_number == "AB123456"
    stripped = [{**r, "identifier": [other]} if r["resourceType"] == "Patient" else r for r in record.resources]
    with pytest.raises(MappingError, match="no record number"):
        ehr.visit(replace(record, resources=tuple(stripped)))


def test_a_place_with_a_name_only_is_completed_from_the_configuration(ehr: Any, record: EncounterRecord) -> None:
    bundle = ehr.normalize(with_superbill(record))
    facility = bundle.find(bundle.roles["service_facility"])
    assert (facility["name"], codes.identifier(facility, codes.NPI)) == ("Main Office", "1234567893")
    assert bundle.location_code == "22"


def test_a_place_that_nobody_knows_is_left_to_the_clinics_place_of_service(
    settings: dict[str, Any], context: AdapterContext, record: EncounterRecord
) -> None:
    clinic: ClinicFacts = replace(context.clinic, locations={})
    adapter = ADAPTER.open(ADAPTER.settings(**settings), replace(context, clinic=clinic))
    bundle = adapter.normalize(with_superbill(record))
    assert "service_facility" not in bundle.roles
    assert bundle.location_code == "11"


async def test_a_reference_to_a_location_is_not_followed_as_no_scope_exists(
    ehr: Any, simulator: Simulator, resources: list[Resource]
) -> None:
    await ehr.fetch_encounter(REF)
    assert not [call for call in simulator.ledger()["calls"] if "Location" in call or "PractitionerRole" in call]


def test_it_declares_no_push_and_refuses_it(ehr: Any, event: Any) -> None:
    assert {c.value for c in ADAPTER.capabilities} == {"poll", "backfill"}
    with pytest.raises(UnsupportedOperation):
        ehr.parse_notification(event)


async def test_it_cannot_be_subscribed_to(ehr: Any) -> None:
    with pytest.raises(UnsupportedOperation):
        await ehr.subscribe("https://gateway.example.test/hooks/c/e")


async def test_only_rs_scopes_are_asked_for_by_default_and_v1_is_refused(open_ehr: Callable[..., Any]) -> None:
    assert await open_ehr().tokens.token()
    asked = open_ehr().tokens.scopes
    assert asked and all(scope.endswith(".rs") for scope in asked)
    assert not [scope for scope in asked if "Location" in scope or "Claim" in scope]
    with pytest.raises(PermissionMissing):
        await open_ehr(scope_style="v1").tokens.token()


@pytest.mark.parametrize("signoff", ["document", "provenance"])
async def test_a_second_signal_is_waited_for_where_it_is_asked_for(
    open_ehr: Callable[..., Any], simulator: Simulator, signoff: str
) -> None:
    ehr = open_ehr(signoff=signoff, charge_sources=("procedure",))
    with pytest.raises(NotSignedOff):  # finished, and nothing else: this practice leaves no proof
        ehr.normalize(await ehr.fetch_encounter(REF))


class TestProof:
    """A practice whose sign-off leaves a signed note, or a signature."""

    @pytest.fixture(params=["document", "provenance"])
    def proof(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def knobs(self, proof: str) -> dict[str, str]:
        return {"proof": proof}

    async def test_a_signed_visit_passes_the_gate(self, open_ehr: Callable[..., Any], proof: str) -> None:
        ehr = open_ehr(signoff=proof, charge_sources=("procedure",))
        assert ehr.normalize(await ehr.fetch_encounter(REF)).charges


async def test_a_practice_that_has_not_authorized_the_app_is_told_what_to_do(ehr: Any, simulator: Simulator) -> None:
    simulator.client.post("/_sim/practice", json={"granted": False})
    with pytest.raises(PermissionMissing, match="Authorize App"):
        await ehr.fetch_encounter(REF)


async def test_a_wrong_key_stops_the_connection(open_ehr: Callable[..., Any], registration: dict[str, str]) -> None:
    with pytest.raises(CredentialsRejected):
        await open_ehr(private_key=new_credentials(0)["private_jwk"]).tokens.token()


async def test_a_wrong_practice_is_the_gateways_404(open_ehr: Callable[..., Any], settings: dict[str, Any]) -> None:
    with pytest.raises((UnexpectedResponse, VendorUnavailable)) as raised:
        await open_ehr(base_url=settings["base_url"][:-1] + "9").fetch_encounter(REF)
    assert raised.value.findings


@pytest.mark.parametrize(
    ("status", "body", "failure", "code"),
    [
        (401, {"subcode": "Unauthorized", "message": "practice has not granted access to system application"},
         PermissionMissing, ErrorCode.PERMISSION),
        (403, {"subcode": "Unauthorized", "message": "client does not have permissions to requested scope"},
         PermissionMissing, ErrorCode.PERMISSION),
        (401, {"subcode": "Unauthorized", "message": "something new about a JWT"},
         CredentialsRejected, ErrorCode.CREDENTIALS),
        (404, {"message": "no Route matched with those values", "request_id": "1"},
         VendorUnavailable, ErrorCode.UNAVAILABLE),
        (503, {"message": "name resolution failed"}, VendorUnavailable, ErrorCode.UNAVAILABLE),
        (429, {"message": "API rate limit exceeded"}, RateLimited, ErrorCode.THROTTLED),
        (400, {"error": "invalid_scope"}, PermissionMissing, ErrorCode.PERMISSION),
        (401, [], CredentialsRejected, ErrorCode.CREDENTIALS),
    ],
)  # fmt: skip
def test_a_token_error_is_told_by_its_words(status: int, body: Any, failure: type[Exception], code: ErrorCode) -> None:
    error = token_refusal("practice_fusion", httpx.Response(status, json=body))
    assert (type(error), error.code) == (failure, code)
    if isinstance(body, dict) and "subcode" in body:
        assert body["message"] not in str(error), "the vendor's words are not passed on"


async def test_a_throttled_read_comes_back_later_without_being_told_when(ehr: Any, simulator: Simulator) -> None:
    simulator.fail("read:Encounter", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited) as raised:
        await ehr.fetch_encounter(REF)
    assert raised.value.retry_after


async def test_two_requests_a_second_are_kept_over_all_workers(
    open_ehr: Callable[..., Any], context: AdapterContext
) -> None:
    await open_ehr(calls_per_minute=120).fetch_encounter(REF)
    assert {spent[1:] for spent in context.pacer.spent} == {(120, 60.0)}  # type: ignore[attr-defined]
    assert ADAPTER.settings.model_fields["calls_per_minute"].default == 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subscription": "r4"}, "subscription must be none"),
        ({"charge_sources": ("claim",)}, "cannot be had from Practice Fusion"),
        ({"scopes": ("system/Location.rs",)}, "refuses to be asked for"),
    ],
)
def test_settings_that_cannot_work_here_are_refused(
    settings: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.settings(**{**settings, **changes})


class TestAnchored:
    """A practice whose server refuses Encounter searches without a patient."""

    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"unanchored": "false"}

    async def test_the_feed_falls_back_to_exports(self, open_ehr: Callable[..., Any], simulator: Simulator) -> None:
        ehr = open_ehr(lookback_minutes=10**6)
        since = "2020-01-01T00:00:00+00:00"
        with pytest.raises(RateLimited):  # 202: the export is being made, and the job comes back
            [ref async for ref, _ in ehr.changed_encounters(since)]
        found = [ref.encounter_id async for ref, _ in ehr.changed_encounters(since)]
        assert found == ["e-1001"]
        assert any("$export" in call or "Export" in call for call in simulator.ledger()["calls"])


def test_the_sandbox_connection_covers_every_column_of_the_export(credentials: dict[str, str]) -> None:
    made = connection(SimulatorOptions("http://127.0.0.1:1", credentials=credentials)).clinic["superbills"]
    settings = SuperbillSettings(**{**made, "matching_key": "0" * 16})
    rows = io.StringIO()
    csv.writer(rows).writerow(COLUMNS)
    assert read_superbills(rows.getvalue().encode(), settings.layout).problems == ()


@pytest.mark.parametrize(
    ("sources", "lacks"), [((), True), (("superbill",), True), (("charge_map",), True), (("procedure",), False)]
)
def test_check_asks_for_charges_unless_procedures_are_billed(
    settings: dict[str, Any], sources: tuple[str, ...], lacks: bool
) -> None:
    assert ADAPTER.lacks_of is not None
    found = ADAPTER.lacks_of(ADAPTER.settings(**{**settings, "charge_sources": sources}))
    assert (ClinicFact.CHARGES in found) is lacks
