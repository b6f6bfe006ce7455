"""Reading an encounter over real HTTP: what is asked, in which shapes it may come, and what each refusal means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from adapters.ehr.athenahealth.fetch import Directory
from adapters.ehr.athenahealth.simulator.words import v1
from gateway.canonical import codes
from gateway.canonical.errors import (
    ErrorCode,
    MappingError,
    NotSignedOff,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRef
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import FaultKind

REF = EncounterRef("62014", "key")


@pytest.fixture
def calls(simulator: Simulator) -> Callable[[], Counter[str]]:
    """The calls of clients so far, by operation."""
    return lambda: Counter(simulator.ledger()["calls"])


async def test_providers_departments_and_referrers_are_kept_between_encounters(ehr: Any, calls: Any) -> None:
    await ehr.fetch_encounter(REF)
    cold = calls()
    await ehr.fetch_encounter(REF)
    assert (cold["provider"], cold["department"], cold["referringprovider"]) == (1, 1, 1)
    assert calls() - cold == Counter(
        {
            "encounter": 1,
            "diagnoses": 1,
            "services": 1,
            "appointment": 1,
            "appointment_insurances": 1,
            "accidentdata": 1,
            "patient": 1,
            "referralauths": 1,
            "claims": 1,
        }
    )


async def test_of_an_encounter_that_is_not_closed_only_the_chart_is_read(
    connect: Any, control: Simulator, act: Any
) -> None:
    ehr = connect()
    for step in ("check_out", "review"):
        act(control, step, encounter_id="62014")
        record = await ehr.fetch_encounter(REF)
        assert record.calls == 3
        with pytest.raises(NotSignedOff):
            ehr.normalize(record)


async def test_a_deleted_encounter_is_withdrawn(ehr: Any, simulator: Simulator, act: Any) -> None:
    act(simulator, "withdraw", encounter_id="62014")
    assert (await ehr.fetch_encounter(REF)).withdrawn


async def test_an_encounter_that_is_not_there_is_no_withdrawal(ehr: Any) -> None:
    with pytest.raises(UnexpectedResponse) as raised:
        await ehr.fetch_encounter(EncounterRef("1", "key"))
    assert raised.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("encounter_id", ["../claims", "1?x=1", ""])
async def test_an_id_that_is_none_is_not_put_into_a_path(ehr: Any, calls: Any, encounter_id: str) -> None:
    before = calls()
    with pytest.raises(UnexpectedResponse):
        await ehr.fetch_encounter(EncounterRef(encounter_id, "key"))
    assert calls() == before


async def test_fhir_is_asked_only_for_a_diagnosis_without_icd10(ehr: Any, app: Any, calls: Any) -> None:
    await ehr.fetch_encounter(REF)
    assert calls()["fhir:Condition"] == 0
    row = app.practice.diagnoses["62014"][0]
    row["icdcodes"] = []
    pairs = ((codes.SNOMED, str(row["snomedcode"])), (codes.ICD10CM, "E11.9"))
    coding = [{"system": system, "code": code} for system, code in pairs]
    app.practice.conditions["62014"] = [{"resourceType": "Condition", "id": "c1", "code": {"coding": coding}}]
    assert ehr.normalize(await ehr.fetch_encounter(REF)).diagnosis_codes == ("I10", "E11.9")
    assert calls()["fhir:Condition"] == 1


async def test_every_page_of_conditions_is_read(ehr: Any, app: Any, calls: Any) -> None:
    for row in app.practice.diagnoses["62014"]:
        row["icdcodes"] = []
    known = {str(r["snomedcode"]): c for r, c in zip(app.practice.diagnoses["62014"], ("E11.9", "I10"), strict=True)}
    snomed = [*map(str, range(100, 125)), *known]
    app.practice.conditions["62014"] = [
        {
            "resourceType": "Condition",
            "id": f"c{code}",
            "code": {
                "coding": [
                    {"system": codes.SNOMED, "code": code},
                    {"system": codes.ICD10CM, "code": known.get(code, "Z00.0")},
                ]
            },
        }
        for code in snomed
    ]
    assert ehr.normalize(await ehr.fetch_encounter(REF)).diagnosis_codes == ("I10", "E11.9")
    assert calls()["fhir:Condition"] == 3


async def test_an_outcome_inside_a_200_is_a_failure(connect: Any, app: Any, simulator: Simulator) -> None:
    app.practice.diagnoses["62014"][0]["icdcodes"] = []
    ehr = connect()
    ehr.fetcher._practice_id = "1"  # as a wrong practice would be
    with pytest.raises(UnexpectedResponse, match="Condition"):
        await ehr.fetch_encounter(REF)


async def test_who_and_where_may_stand_on_the_appointment_alone(ehr: Any, app: Any) -> None:
    encounter = app.practice.encounters["62014"]
    del encounter["providerid"], encounter["departmentid"], app.practice.appointments["1050322"]["renderingproviderid"]
    bundle = ehr.normalize(await ehr.fetch_encounter(REF))
    assert bundle.roles["rendering_provider"] == "Practitioner/ehr1.provider-86"
    assert bundle.location_code == "22"


def test_the_directory_forgets_after_ten_minutes_and_is_bounded() -> None:
    now = [0.0]
    directory = Directory(lambda: now[0])
    for number in range(5000):
        directory.put(f"providers/{number}", {"providerid": number})
    assert directory.get("providers/0") is None
    assert directory.get("providers/4999") == {"providerid": 4999}
    now[0] = 601.0
    assert directory.get("providers/4999") is None


async def test_without_insurances_of_the_visit_those_of_the_patient_are_read(ehr: Any, app: Any) -> None:
    own = app.practice.visit_insurances["1050322"]
    app.practice.visit_insurances["1050322"] = [own[2]]  # self pay
    app.practice.insurances["7965"] = own[:2]
    bundle = ehr.normalize(await ehr.fetch_encounter(REF))
    assert [c["subscriberId"] for c in bundle.of_type("Coverage")] == ["000123456", "77001"]


async def test_an_encounter_without_an_appointment_leads_to_its_patient_by_itself(ehr: Any, app: Any) -> None:
    app.practice.insurances["7965"] = app.practice.visit_insurances["1050322"]
    encounter = app.practice.encounters["62014"]
    del encounter["appointmentid"]
    with pytest.raises(MappingError, match=r"Encounter\.subject"):
        ehr.normalize(await ehr.fetch_encounter(REF))
    encounter |= {"patientid": "7965", "encountertype": "ORDERSONLY"}
    bundle = ehr.normalize(await ehr.fetch_encounter(REF))
    assert len(bundle.of_type("Coverage")) == 2
    assert "referring_provider" not in bundle.roles


async def test_accident_data_may_come_as_an_object(ehr: Any, app: Any) -> None:
    """Whether it is wrapped is not documented: a work accident must not be lost over it."""
    app._reads.routes = tuple(
        (name, pattern, (lambda call: v1({"relatedtoemployment": "true"})) if name == "accidentdata" else read)
        for name, pattern, read in app._reads.routes
    )
    with pytest.raises(MappingError, match="caseinjurydate"):
        ehr.normalize(await ehr.fetch_encounter(REF))


async def test_athenahealths_own_claims_are_read_unless_ignored(connect: Any, simulator: Any, act: Any) -> None:
    act(simulator, "enter_charges", encounter_id="62014")
    guarded, ignoring = connect(), connect(own_billing="ignore")
    with pytest.raises(MappingError, match="already billed"):
        guarded.normalize(await guarded.fetch_encounter(REF))
    bundle = ignoring.normalize(await ignoring.fetch_encounter(REF))
    assert len(bundle.charges) == 2
    assert simulator.ledger()["calls"]["claims"] == 1


async def test_a_late_edit_of_the_slip_is_seen(ehr: Any, simulator: Simulator, act: Any) -> None:
    before = ehr.normalize(await ehr.fetch_encounter(REF))
    act(simulator, "amend", encounter_id="62014")
    after = ehr.normalize(await ehr.fetch_encounter(REF))
    assert after.charges[0].quantity == 2 * before.charges[0].quantity


async def test_one_403_for_nothing_is_asked_about_again(ehr: Any, app: Any) -> None:
    await ehr.fetch_encounter(REF)
    app.knobs["spurious_403"] = "10"
    for _ in range(5):
        assert (await ehr.fetch_encounter(REF)).encounter["id"] == "62014"


async def test_a_lasting_403_stops_the_connection(connect: Any, simulator: Simulator) -> None:
    with pytest.raises(PermissionMissing):
        await connect(practice_id="1").fetch_encounter(REF)


async def test_a_path_that_is_not_routed_is_told_as_a_mistake_of_the_configuration(
    connect: Any, settings: Any, simulator: Simulator
) -> None:
    with pytest.raises(PermissionMissing, match="check host and practice_id") as raised:
        await connect(host=f"{settings['host']}").fetcher._api.one("other", "no/such/path")
    assert raised.value.vendor_code == "not_routed"


@pytest.mark.parametrize("kind", [FaultKind.GARBAGE, FaultKind.HTTP_500, FaultKind.RESET])
async def test_a_page_instead_of_json_a_failure_and_a_reset_are_passing_faults(
    ehr: Any, simulator: Simulator, act: Any, kind: FaultKind
) -> None:
    simulator.fail("services", kind, times=9)  # the HTTP client repeats a GET on a connection that was reset
    with pytest.raises(VendorUnavailable):
        await ehr.fetch_encounter(REF)
    act(simulator, "faults", rules=[])
    assert ehr.normalize(await ehr.fetch_encounter(REF)).charges


async def test_the_days_quota_makes_it_wait_for_midnight_gmt(connect: Any, app: Any, simulator: Simulator) -> None:
    app.access.calls_per_day = 1
    with pytest.raises(RateLimited) as raised:
        await connect().fetch_encounter(REF)
    assert 1 < (raised.value.retry_after or 0) <= 3600


async def test_the_apps_limits_are_kept_for_all_its_connections(connect: Any, context: Any, simulator: Any) -> None:
    ehr = connect(calls_per_second=5, calls_per_day=1000)
    record = await ehr.fetch_encounter(REF)
    spent = Counter(context.pacer.spent)
    assert spent == {
        ("athenahealth/0oa-sandbox/second", 5, 1.0): record.calls,
        ("athenahealth/0oa-sandbox/day", 1000, 86400.0): record.calls,
    }


async def test_backfill_finds_closed_visits_of_the_chosen_departments(
    connect: Any, app: Any, control: Any, act: Any
) -> None:
    since = date(2026, 3, 1)
    assert [p async for p in connect().backfill(since, None)] == []
    act(control, "sign", encounter_ids=["62014"])
    (found,) = [p async for p in connect(department_ids=("162",)).backfill(since, None)]
    assert (found[0].encounter_id, found[1]) == ("62014", "2026-03-03")
    assert [p async for p in connect().backfill(since, "2026-03-04")] == []
    assert [p async for p in connect(department_ids=("7",)).backfill(since, None)] == []
