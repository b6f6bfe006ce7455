"""The pure parts: a canonical claim as HL7 messages, and what the settings change about them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters.billing.medics_premier import ADAPTER, paths
from adapters.billing.medics_premier.adapter import parts
from adapters.billing.medics_premier.layout import ELEMENT_SOURCES, WAIVABLE, arrange
from adapters.billing.medics_premier.payload import build
from adapters.billing.medics_premier.rows import TABLES
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle
from gateway.kit.encoders import hl7
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.kit.samples import SAMPLES, sample

NEW_YORK = ZoneInfo("America/New_York")
SUBMISSION_ID = "GW7F3A91"
CARRIED_SAMPLES = [name for name in SAMPLES if name != "replacement"]
PLAIN: dict[str, Any] = {
    "transport": {"kind": "mllp", "host": "127.0.0.1", "port": 9, "tls": False},
    "sending_facility": "LAKESIDE",
    "receiving_facility": "0001",
}
API = {
    "gateway_key": "gk",
    "secret_key": "sk",
    "authstring": "as",
    "endpoint": "https://client.example.test/csp/prem/api.v4.cls",
    "profile": "clinic1",
}


@pytest.fixture
def body(settings: MedicsPremierSettings) -> Callable[..., str]:
    """The body of a claim under the test settings, with changes."""

    def of(bundle: ClaimBundle | str, **changes: Any) -> str:
        claim = sample(bundle) if isinstance(bundle, str) else bundle
        changed = MedicsPremierSettings.model_validate({**settings.model_dump(), **changes})
        return build(claim, SUBMISSION_ID, changed, arrange(changed), NEW_YORK).body.decode()

    return of


@pytest.fixture
def charges(body: Callable[..., str]) -> Callable[..., hl7.Message]:
    """The charge message of a claim."""

    def of(bundle: ClaimBundle | str, **changes: Any) -> hl7.Message:
        return hl7.messages(parts(body(bundle, **changes))[1][-1])[0]

    return of


def named(message: hl7.Message, name: str) -> list[hl7.Segment]:
    return [segment for segment in message if segment.name == name]


def order(message: hl7.Message) -> list[str]:
    """The names of the segments, repetitions once."""
    return [name for name, _ in itertools.groupby(segment.name for segment in message)]


# --- another validator -------------------------------------------------------------------------------------------


def accepted_by_hl7apy(message: str, structure: str) -> None:
    parsed = parse_message(message, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)
    assert parsed.name == structure
    assert parsed.validate()


@pytest.mark.parametrize("name", CARRIED_SAMPLES)
@pytest.mark.parametrize("event", ["P03", "P11"])
def test_hl7apy_accepts_every_message(name: str, event: str, body: Callable[..., str]) -> None:
    if event == "P11":
        bundle = _with_pointed_diagnoses(_without_line_notes(sample(name)))
        text = body(bundle, trigger_event="P11", diagnosis_groups="per_line", field_overrides={}, **WAIVED)
    else:
        text = body(name)
    registration, charge = parts(text)[1]
    accepted_by_hl7apy(registration, "ADT_A01")
    accepted_by_hl7apy(charge, f"DFT_{event}")


@pytest.mark.parametrize("name", sorted(set(CARRIED_SAMPLES) - {"period_with_line_note"}))
def test_hl7apy_accepts_version_2_3_1(name: str, body: Callable[..., str]) -> None:
    registration, charge = parts(body(name, hl7_version="2.3.1", **WAIVED))[1]
    assert "|2.3.1" in charge
    accepted_by_hl7apy(registration, "ADT_A01")
    accepted_by_hl7apy(charge, "DFT_P03")


def test_hl7apy_refuses_what_is_wrong(body: Callable[..., str]) -> None:
    """The validator is not asleep."""
    charge = parts(body("office_visit"))[1][-1]
    with pytest.raises(Exception, match=r"FT1|PID|required|valid"):
        accepted_by_hl7apy(charge.replace("\rPID|", "\rQQQ|"), "DFT_P03")


WAIVED = {"waived_elements": sorted(WAIVABLE)}


def _without_line_notes(bundle: ClaimBundle) -> ClaimBundle:
    for item in bundle.claim["item"]:
        item.pop("informationSequence", None)
    return bundle


def _with_pointed_diagnoses(bundle: ClaimBundle) -> ClaimBundle:
    """The claim without the diagnoses that no line points to."""
    pointed = {sequence for item in bundle.claim["item"] for sequence in item["diagnosisSequence"]}
    kept = [entry for entry in bundle.claim["diagnosis"] if entry["sequence"] in pointed]
    return ClaimBundle({**bundle.claim, "diagnosis": kept}, bundle.resources)


# --- what the messages say ---------------------------------------------------------------------------------------


def test_the_messages_of_a_claim(body: Callable[..., str]) -> None:
    registration, charge = (hl7.messages(text)[0] for text in parts(body("office_visit"))[1])
    assert order(registration) == ["MSH", "EVN", "PID", "PV1", "GT1", "IN1"]
    assert order(charge) == ["MSH", "EVN", "PID", "PV1", "FT1", "DG1", "GT1", "IN1"]
    assert [m[0].text(10) for m in (registration, charge)] == ["GW7F3A91-A", "GW7F3A91-D"]
    assert [m[0].text(7) for m in (registration, charge)] == ["20260304102000"] * 2  # 15:20 UTC is 10:20 in New York
    assert [line.text(2) for line in named(charge, "FT1")] == ["GW7F3A91-1", "GW7F3A91-2"]
    assert {line.text(3) for line in named(charge, "FT1")} == {"GW7F3A91"}


def test_codes_of_the_site(charges: Callable[..., hl7.Message]) -> None:
    message = charges(
        "office_visit",
        provider_key="table",
        providers={"1679576722": "DR07"},
        labels={"cpt": "C4", "icd10": "ICD10"},
        diagnosis_dots=False,
    )
    (visit,), first = named(message, "PV1"), named(message, "FT1")[0]
    assert visit.field(7) == "DR07^Stone^Alan^^^^MD"
    assert (visit.text(3), first.text(16)) == ("LOC1", "LOC1")
    assert first.field(19) == "L570^^ICD10~D485^^ICD10"
    assert first.field(7) == "99213^^C4"
    assert [segment.text(3) for segment in named(message, "DG1")] == ["L570", "D485"]
    (insurance,) = named(message, "IN1")
    assert (insurance.text(2), insurance.text(3)) == ("INS101", "INS101")


@pytest.mark.parametrize(
    ("changes", "expression"),
    [
        ({"provider_key": "table", "providers": {"1245319599": "X"}}, "Claim.careTeam[0].provider"),
        ({"locations": {"Elsewhere": "X"}}, "Claim.facility"),
        ({"payers": {"00000": {"company": "X"}}}, "Claim.insurance[0].coverage"),
    ],
)
def test_a_code_that_a_table_lacks_holds_the_claim(
    changes: dict[str, Any], expression: str, body: Callable[..., str]
) -> None:
    with pytest.raises(MappingError) as caught:
        body("office_visit", **changes)
    (finding,) = caught.value.findings
    assert finding.expression == expression
    assert "settings" in finding.fix


def test_without_tables_the_claims_own_names_are_sent(charges: Callable[..., hl7.Message]) -> None:
    message = charges("office_visit", locations={}, payers={})
    assert named(message, "PV1")[0].text(3) == "Lakeside Main"
    assert named(message, "IN1")[0].text(3) == "60054"


@pytest.mark.parametrize("field", ["PID-2", "PID-18"])
def test_the_record_number_in_another_field(field: str, charges: Callable[..., hl7.Message]) -> None:
    patient = named(charges("office_visit", mrn_field=field, mrn_authority="AUTH"), "PID")[0]
    assert patient.field(int(field[4:])) == patient.field(3) == "MRN1001^^^AUTH^MR"


def test_the_fee_schedule_prices(charges: Callable[..., hl7.Message]) -> None:
    line = named(charges("office_visit", amounts=False), "FT1")[0]
    assert (line.field(11), line.field(12), line.text(10)) == ("", "", "1")


def test_the_place_of_service_elsewhere(charges: Callable[..., hl7.Message]) -> None:
    line = named(charges("office_visit", pos_field="FT1-18"), "FT1")[0]
    assert (line.text(18), line.field(16)) == ("11", "LOC1^^^LAKESIDE")
    in_z = charges("office_visit", pos_field="ZFT-5")
    assert [segment.text(5) for segment in named(in_z, "ZFT")] == ["11", "11"]


def test_diagnoses_after_each_charge(body: Callable[..., str], charges: Callable[..., hl7.Message]) -> None:
    bundle = sample("twelve_diagnoses")
    with pytest.raises(UnsupportedElement) as caught:
        body(bundle, diagnosis_groups="per_line")
    assert caught.value.findings[0].expression == "Claim.diagnosis[9]"
    message = charges(_with_pointed_diagnoses(bundle), diagnosis_groups="per_line")
    assert order(message)[3:] == ["PV1", *["FT1", "DG1"] * 4, "GT1", "IN1"]
    last = [(segment.text(1), segment.text(3), segment.text(15)) for segment in named(message, "DG1")][-4:]
    assert last == [("1", "B07.9", "9"), ("2", "L70.0", "8"), ("3", "L82.1", "7"), ("4", "L20.9", "5")]


def test_p11_has_its_charges_at_the_end(charges: Callable[..., hl7.Message]) -> None:
    message = charges("office_visit", trigger_event="P11", diagnosis_groups="per_line")
    assert order(message) == ["MSH", "EVN", "PID", "PV1", "GT1", "IN1", "FT1", "DG1", "FT1", "DG1"]
    assert message[0].field(9) == "DFT^P11^DFT_P11"


def test_commit_mode(charges: Callable[..., hl7.Message]) -> None:
    assert [charges("office_visit", acknowledgment=mode)[0].field(15) for mode in ("original", "commit")] == ["", "AL"]


def test_guarantors(charges: Callable[..., hl7.Message]) -> None:
    assert named(charges("child_of_subscriber"), "GT1")[0].field(3) == "Tannenbaum^Greta"
    assert named(charges("child_of_subscriber", guarantor="patient"), "GT1")[0].field(3) == "Tannenbaum^Milo"
    assert named(charges("child_of_subscriber", guarantor="none"), "GT1") == []


def test_a_payment_is_a_transaction_of_its_own(charges: Callable[..., hl7.Message]) -> None:
    payment = named(charges("period_with_line_note"), "FT1")[-1]
    assert [payment.text(n) for n in (1, 2, 6, 7, 11)] == ["3", "GW7F3A91-P", "PY", "PATPAY", "20.00"]


def test_letters_beyond_ascii_name_their_character_set(charges: Callable[..., hl7.Message]) -> None:
    bundle = sample("office_visit")
    bundle.resources["Patient/ehr.p-jane"]["name"][0]["given"] = ["Åsa"]
    assert charges("office_visit")[0].text(18) == ""
    assert charges(bundle)[0].text(18) == "UNICODE UTF-8"
    assert named(charges(bundle, character_set="8859/1"), "PID")[0].text(5, 2) == "Åsa"
    with pytest.raises(UnsupportedElement) as caught:
        charges(bundle, character_set="ASCII")
    assert caught.value.findings[0].expression == "Patient.name"
    assert "Åsa" not in str(caught.value)


def test_api_v4_data_takes_the_place_of_the_registration(body: Callable[..., str]) -> None:
    data, messages = parts(body("two_payers", demographics="api_v4", api=API))
    told = jsonio.loads(data)
    assert [message[:3] for message in messages] == ["MSH"]
    assert "DFT^P03" in messages[0]
    assert (told["patient"]["last_name"], told["patient"]["dob"]) == ("Brackwater", "19501102")
    assert told["patient"]["patient_number"] == "MRN1002"
    assert [told["insurance"][rank].get("policy_no") for rank in ("primary", "secondary", "tertiary")] == [
        "1EG4TE5MK73",
        "007420088",
        None,
    ]
    assert len(told["patient"]), len(told["guarantor"]) == (21, 14)


def test_nobody_tells_of_the_patient(body: Callable[..., str]) -> None:
    assert len(parts(body("office_visit", demographics="none"))[1]) == 1


# --- what a clinic may change ------------------------------------------------------------------------------------


def test_fields_can_be_added_moved_and_left_out(charges: Callable[..., hl7.Message]) -> None:
    overrides = {
        "PV1-10": "'DERM'",
        "PV1-44": "",
        "PV1-18": "hospitalized.timingPeriod.start",
        "PID-10": "Patient.gender",
        "ZCL-1.2": "Claim.referral.identifier.value",
        "IN1-16": "",
        "FT1-26": "",
        "FT1-25": "modifiers",
        "ZFT-2": "item.servicedDate",
        "ZFT-1": "drug.code",
    }
    message = charges("inpatient_two_renderers", field_overrides=overrides)
    visit = named(message, "PV1")[0]
    assert (visit.text(10), visit.text(44), visit.text(18)) == ("DERM", "", "20260302")
    assert named(message, "PID")[0].text(10) == "M"  # the words of the field that has the same source
    assert named(message, "IN1")[0].field(16) == ""
    assert [segment.text(2) for segment in named(message, "ZFT")] == ["20260302", "20260303"]
    assert order(message) == ["MSH", "EVN", "PID", "PV1", *["FT1", "ZFT"] * 2, "DG1", "GT1", "IN1"]
    referred = charges(
        "referred_and_authorized", field_overrides=overrides, waived_elements=["Claim.careTeam.supervisor"]
    )
    assert named(referred, "ZCL")[0].field(1) == "^REF-90210"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"PID": "Patient.id"}, "not an address"),
        ({"OBX-5": "Patient.id"}, "use a Z segment"),
        ({"PV1-13": ""}, "not filled anyway"),
        ({"PV1-13": "Patient name"}, "not a path"),
        ({"PV1-13": "patient.name"}, "must begin with one of"),
        ({"FT1-19.1": "item.sequence"}, "filled as a whole"),
        ({"FT1-2": "item.sequence"}, "known by this field"),
        ({"MSH-10.1": ""}, "known by this field"),
        ({"ZCL-1": "Claim.identifier value"}, "not a path"),
    ],
)
def test_an_override_that_cannot_be_understood_stops_the_start(overrides: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MedicsPremierSettings.model_validate({**PLAIN, "field_overrides": overrides})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"waived_elements": ["Claim.diagnosis"]}, "cannot be waived"),
        ({"pos_field": "somewhere"}, "not an address"),
        ({"trigger_event": "P11", "hl7_version": "2.3.1"}, "needs hl7_version"),
        ({"demographics": "api_v4"}, "needs the settings under api"),
        ({"provider_key": "table"}, "needs the table providers"),
        ({"demographics": "api_v4", "api": {**API, "url": "http://api.example.test/x"}}, "https"),
        ({"transport": {"kind": "pigeon"}}, "pigeon"),
    ],
)
def test_settings_that_do_not_fit_together(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MedicsPremierSettings.model_validate({**PLAIN, **changes})


def test_an_override_that_names_more_than_one_value_holds_the_claim(body: Callable[..., str]) -> None:
    with pytest.raises(MappingError) as caught:
        body("office_visit", field_overrides={"ZCL-1": "Patient.name"})
    assert caught.value.findings[0].expression == "Patient.name"
    assert "Quillfeather" not in str(caught.value)


def test_what_is_left_out_is_no_longer_carried(body: Callable[..., str]) -> None:
    fields = {"PV1-44": "", "PV1-45": ""}
    with pytest.raises(UnsupportedElement) as caught:
        body("inpatient_two_renderers", field_overrides=fields)
    assert caught.value.findings[0].expression == "Claim.supportingInfo[0]"
    assert body(
        "inpatient_two_renderers", field_overrides=fields, waived_elements=["Claim.supportingInfo.hospitalized"]
    )


def test_every_row_begins_with_a_known_root() -> None:
    sources = [part for rows in TABLES.values() for row in rows for part in row.source.split(" | ")]
    assert {paths.root_of(source) for source in sources} <= set(paths.ROOT_PATHS)


def test_every_canonical_element_is_carried_or_known_not_to_be() -> None:
    without_z = {"Claim.referral", "Claim.careTeam.supervisor", "Claim.supportingInfo.onset"}
    not_carried = {"Claim.related", "Claim.supportingInfo.patientPaid", *without_z}
    assert set(CLAIM_ELEMENTS) - set(ADAPTER.carried) == not_carried
    assert set(ELEMENT_SOURCES) <= set(CLAIM_ELEMENTS)


# --- what cannot be carried --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("period_with_line_note", "Claim.supportingInfo[2]"),  # a payment, without the site's code for it
        ("injected_drug", "Claim.item[1].detail[0].quantity"),
        ("auto_accident", "Claim.supportingInfo[0]"),  # onset
        ("referred_and_authorized", "Claim.referral"),
        ("replacement", "Claim.related"),
    ],
)
def test_without_agreed_z_segments(name: str, expression: str, body: Callable[..., str]) -> None:
    with pytest.raises(UnsupportedElement) as caught:
        body(name, field_overrides={}, payment_code="")
    assert caught.value.findings[0].expression == expression
    assert caught.value.findings[0].fix


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *way, last = path.split(".")

    def change(claim: dict[str, Any]) -> None:
        at: Any = claim
        for step in way:
            at = at[int(step)] if step.isdigit() else at[step]
        at[int(last) if last.isdigit() else last] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "expression"),
    [
        ("two_payers", _set("insurance.0.focal", False), "Claim.insurance[0]"),
        ("referred_and_authorized", _set("insurance.0.preAuthRef", ["A", "B"]), "Claim.insurance[0].preAuthRef"),
        ("office_visit", _set("item.0.quantity", {"value": 30, "unit": "MJ"}), "Claim.item[0].quantity"),
        ("office_visit", _set("item.0.net.value", Decimal("119.00")), "Claim.item[0].net"),
        ("office_visit", _set("total.value", Decimal("1.00")), "Claim.total"),
        ("office_visit", _set("item.0.unitPrice.currency", "EUR"), "Claim.item[0].unitPrice"),
        ("office_visit", _set("item.0.diagnosisSequence", [1, 2, 1, 2, 1]), "Claim.item[0].diagnosisSequence"),
        ("office_visit", _set("item.0.modifier", [{"coding": [{"code": "25"}]}] * 5), "Claim.item[0].modifier"),
        ("period_with_line_note", _set("item.0.informationSequence", [3]), "Claim.item[0].informationSequence"),
        ("period_with_line_note", _set("supportingInfo.1.valueString", None), ""),
        ("inpatient_two_renderers", _set("item.1.careTeamSequence", [1]), "Claim.careTeam[1]"),
        ("injected_drug", _set("item.1.detail", [{}, {}]), "Claim.item[1].detail"),
    ],
)
def test_limits(name: str, change: Callable[[dict[str, Any]], None], expression: str, body: Callable[..., str]) -> None:
    bundle = sample(name)
    change(bundle.claim)
    if not expression:
        del bundle.claim["supportingInfo"][1]["valueString"]
        expression = "Claim.supportingInfo[1]"
    with pytest.raises(UnsupportedElement) as caught:
        body(bundle)
    assert caught.value.findings[0].expression == expression


@pytest.mark.parametrize(
    ("reference", "member", "expression"),
    [
        ("Patient/ehr.p-jane", "birthDate", "Patient.birthDate"),
        ("Patient/ehr.p-jane", "name", "Patient.name"),
        ("Patient/ehr.p-jane", "identifier", "Patient.identifier.where(type.coding.code='MR').value"),
        ("Coverage/ehr.cov-jane", "subscriberId", "Claim.insurance[0].coverage.subscriberId"),
        ("Coverage/ehr.cov-jane", "payor", "Claim.insurance[0].coverage.payor"),
        ("Practitioner/ehr.dr-stone", "identifier", "Claim.careTeam[0].provider"),
    ],
)
def test_what_is_missing_is_named(reference: str, member: str, expression: str, body: Callable[..., str]) -> None:
    bundle = sample("office_visit")
    del bundle.resources[reference][member]
    with pytest.raises(MappingError) as caught:
        body(bundle)
    assert caught.value.findings[0].expression == expression


def test_lines_that_point_to_nothing(body: Callable[..., str]) -> None:
    bundle = sample("office_visit")
    bundle.claim["item"][1]["diagnosisSequence"] = [7]
    with pytest.raises(MappingError) as caught:
        body(bundle)
    assert caught.value.findings[0].expression == "Claim.item[1].diagnosisSequence"
    bundle.claim["item"][1]["diagnosisSequence"] = []
    with pytest.raises(MappingError) as caught:
        body(bundle)
    assert caught.value.findings[0].expression == "Claim.item[1].diagnosisSequence"


@pytest.mark.parametrize("bad", ["", "x" * 18, "GW 1", "GW|1"])
def test_submission_ids_that_do_not_fit(bad: str, settings: MedicsPremierSettings) -> None:
    with pytest.raises(ValueError, match="submission id"):
        build(sample("office_visit"), bad, settings, arrange(settings), NEW_YORK)


def test_transaction_ids_of_a_receiver_that_cuts_them(charges: Callable[..., hl7.Message]) -> None:
    long = "GWABCDEFGHIJKLMN"
    settings = MedicsPremierSettings.model_validate({**PLAIN, "transaction_id_length": 12})
    text = build(sample("twelve_diagnoses"), long, settings, arrange(settings), NEW_YORK).body.decode()
    ids = [line.text(2) for line in named(hl7.messages(parts(text)[1][-1])[0], "FT1")]
    assert ids == [f"FGHIJKLMN-{n}" for n in range(1, 5)]
    assert [line.text(2) for line in named(charges("office_visit"), "FT1")] == ["GW7F3A91-1", "GW7F3A91-2"]


# --- properties --------------------------------------------------------------------------------------------------

NAMES = st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
BASE = MedicsPremierSettings.model_validate(PLAIN)
LAYOUT = arrange(BASE)


@given(family=NAMES, street=NAMES, member=NAMES)
def test_no_text_breaks_a_message(family: str, street: str, member: str) -> None:
    bundle = deepcopy(sample("office_visit"))
    patient = bundle.resources["Patient/ehr.p-jane"]
    patient["name"][0]["family"], patient["address"][0]["line"] = family, [street]
    bundle.resources["Coverage/ehr.cov-jane"]["subscriberId"] = member
    text = build(bundle, SUBMISSION_ID, BASE, LAYOUT, NEW_YORK).body.decode()
    messages = parts(text)[1]
    assert "".join(messages) == text
    for message in map(hl7.messages, messages):
        assert len(message) == 1
        (told,) = named(message[0], "PID")
        assert (told.text(5), told.text(11)) == (family, street)
        assert [segment.text(36) for segment in named(message[0], "IN1")] == [member]


@given(
    quantity=st.integers(1, 999),
    cents=st.decimals(min_value=0, max_value=99999, places=3, allow_nan=False, allow_infinity=False),
)
def test_amounts_stay_exact(quantity: int, cents: Decimal) -> None:
    bundle = deepcopy(sample("office_visit"))
    item = bundle.claim["item"][0]
    item["quantity"]["value"], item["unitPrice"]["value"], item["net"]["value"] = quantity, cents, quantity * cents
    bundle.claim["total"]["value"] = quantity * cents + bundle.claim["item"][1]["net"]["value"]
    text = build(bundle, SUBMISSION_ID, BASE, LAYOUT, NEW_YORK).body.decode()
    line = named(hl7.messages(parts(text)[1][-1])[0], "FT1")[0]
    assert (Decimal(line.text(12)), Decimal(line.text(11))) == (cents, quantity * cents)
    assert "E" not in line.text(11)


@given(
    st.dictionaries(
        st.sampled_from(
            ["PID-8", "PID-5", "PV1-44", "ZCL-1", "ZCL-2.3", "ZFT-1", "FT1-19", "IN1-36", "DG1-3.1", "GT1-3.2"]
        ),
        st.sampled_from(
            ["", "'x|y'", "Patient.gender", "item.sequence", "diagnosis.code", "cover.plan", "rendering.key"]
        ),
        max_size=5,
    )
)
def test_overrides_are_refused_at_the_start_or_give_messages(overrides: dict[str, str]) -> None:
    try:
        settings = MedicsPremierSettings.model_validate({**PLAIN, "field_overrides": overrides})
    except ValidationError:
        return
    try:
        text = build(sample("two_payers"), SUBMISSION_ID, settings, arrange(settings), NEW_YORK).body.decode()
    except UnsupportedElement as refusal:  # the only row of an element was taken away
        assert refusal.findings[0].expression.startswith("Claim.")
        return
    assert all(len(hl7.messages(message)) == 1 for message in parts(text)[1])


def test_building_takes_less_than_a_millisecond(settings: MedicsPremierSettings) -> None:
    claims, layout = [sample(name) for name in CARRIED_SAMPLES], arrange(settings)

    def once() -> float:
        started = time.perf_counter()
        for claim in claims:
            build(claim, SUBMISSION_ID, settings, layout, NEW_YORK)
        return (time.perf_counter() - started) / len(claims)

    assert min(once() for _ in range(20)) < 0.002  # half of it on a quiet machine
