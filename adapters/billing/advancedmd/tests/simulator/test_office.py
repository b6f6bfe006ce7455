"""Patients, visits and charges as AdvancedMD keeps them, and the reads."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.billing.advancedmd.simulator import reads
from gateway.kit.simulator import FaultKind

from .conftest import JANE, SERVER, TIME, Client

POST, CLASS = "updvisitwithquickcharges", "onlinechargeslips"


def test_a_list_of_one_is_an_object_and_an_empty_one_is_missing(office: Client) -> None:
    nobody = office.do("lookuppatient", name="DOE,JANE")["patientlist"]
    assert "patient" not in nobody
    assert nobody["@itemcount"] == "0"
    office.add_jane()
    assert office.do("lookuppatient", name="DOE")["patientlist"]["patient"]["@id"] == "pat45"
    office.do("addpatient", patientlist={"patient": {**JANE, "@name": "DOE,JOHN"}})
    assert len(office.do("lookuppatient", name="DOE")["patientlist"]["patient"]) == 2


def test_xml_answers_xml(office: Client) -> None:
    attributes = f'action="lookuppatient" class="api" msgtime="{TIME}" nocookie="1" name="DOE"'
    message = f"<ppmdmsg {attributes}><usercontext>{office.token}</usercontext></ppmdmsg>"
    response = office.http.post(SERVER, content=message.encode("latin-1"), headers={"content-type": "text/xml"})
    assert response.text.startswith("<?xml version='1.0' encoding='ISO-8859-1'?>\n<PPMDResults><Results success=\"1\">")


def test_the_exact_code_comes_last(office: Client) -> None:
    found = office.do("lookupdiagcode", code="L57.0", codeset="10")["diagcodelist"]["diagcode"]
    assert [row["@code"] for row in found] == ["L57.09", "L57.0"]
    exact = office.do("lookupdiagcode", code="L57.0", codeset="10", exactmatch="-1")["diagcodelist"]["diagcode"]
    assert exact["@code"] == "L57.0"


def test_more_than_a_thousand_records(office: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    office.add_jane()
    monkeypatch.setattr(reads, "MAX_RECORDS", 0)
    assert office.refused("lookuppatient", name="DOE") == "-2147217350"


def test_pages(office: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "PAGE", 1)
    first, second = (office.do("lookupcarrier", name="", page=page)["carrierlist"] for page in ("1", "2"))
    assert (first["@pagecount"], first["carrier"]["@id"], second["carrier"]["@id"]) == ("2", "car40881", "car40882")


def test_a_duplicate_patient_is_refused(office: Client) -> None:
    office.add_jane()
    assert office.refused("addpatient", patientlist={"patient": JANE}) == "-2147220444"


@pytest.mark.parametrize("name", list(JANE))
def test_a_patient_needs_every_attribute(office: Client, name: str) -> None:
    lacking = {key: value for key, value in JANE.items() if key != name}
    assert office.refused("addpatient", patientlist={"patient": lacking}) == "2048"


def test_a_plan_needs_a_carrier_and_a_responsible_party(office: Client) -> None:
    patient = office.add_jane()
    plan = {
        "@id": "",
        "@carrier": "car40881",
        "@subscriber": "resp45",
        "@subscribernum": "XYZ1",
        "@hipaarelationship": "18",
        "@relationship": "1",
        "@coverage": "1",
    }

    def told(**changes: str) -> dict[str, Any]:
        return {"patient": {"@id": patient, "@changed": "1", "insplanlist": {"insplan": {**plan, **changes}}}}

    for name in ("@carrier", "@subscriber"):
        assert office.refused("addinsurance", **told(**{name: "x"})) == "2051"
    office.do("addinsurance", **told())
    assert office.refused("addinsurance", **told()) == "2051"  # there is a first coverage already
    account = office.do("getdemographic", "demographics", patientid="45")["patientlist"]["patient"]
    assert account["insplanlist"]["insplan"]["@subidnumber"] == "XYZ1"
    assert account["@respparty"] == "resp45"


def test_addvisit_makes_a_visit_every_time_and_wants_numbers(office: Client) -> None:
    office.add_jane()
    assert [office.add_visit(), office.add_visit()] == ["800001", "800002"]
    prefixed = {"@patient": "pat45", "@profile": "3", "@date": "3/3/2026"}
    assert office.refused("addvisit", "chargeentry", appt=prefixed) == "2051"
    day = office.do("getdatevisits", visitdate="3/3/2026")
    assert day["@visitcount"] == "2"
    assert day["visitlist"]["visit"][0]["patient"]["@name"] == "DOE,JANE"


def test_columns_that_are_not_allowed(office: Client) -> None:
    message = {"@action": "getdatevisits", "@class": "api", "@msgtime": TIME, "usercontext": office.token}
    response = office.raw({**message, "@visitdate": "3/3/2026", "visit": {"@note": ""}})
    assert (response.status_code, response.text) == (400, "Invalid column name")


def charged(office: Client) -> str:
    """A patient with a visit and one charge on it; gives the visit."""
    office.add_jane()
    visit = office.add_visit()
    office.do(POST, CLASS, **office.visit(visit, office.charge()))
    return visit


def test_charges_of_the_same_day_provider_and_patient_need_force(office: Client) -> None:
    charged(office)
    second = office.add_visit()
    assert office.refused(POST, CLASS, **office.visit(second, office.charge())) == "-2147220444"
    office.do(POST, CLASS, **office.visit(second, office.charge("17000")))
    office.do(POST, CLASS, **office.visit(second, office.charge(), **{"@force": "1"}))
    assert [len(visit["charges"]) for visit in office.ledger()["visits"]] == [1, 2]


def test_savecharges_voids_whatever_is_on_the_visit(office: Client) -> None:
    visit = charged(office)
    office.do("savecharges", CLASS, **office.visit(visit, office.charge("17000")))
    (kept,) = office.ledger()["visits"]
    assert [(c["procedure"], c["void"]) for c in kept["charges"]] == [("99213", True), ("17000", False)]
    assert len(office.ledger()["claims"]) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"@proccode": "99213"}, "2051"),  # the CPT code is not the id
        ({"@units": "0"}, "2051"),
        ({"@enddate": "03/01/2026"}, "2051"),
        ({"@modcodes": "25"}, "2051"),
        ({"diagcodelist": {"@codeset": "10"}}, "2050"),
        ({"diagcodelist": {"@codeset": "10", "diagcode": {"@id": "dcode1001"}}}, "2050"),  # the number only
        ({"diagcodelist": {"diagcode": {"@id": "1001"}}}, "2048"),
    ],
)
def test_charges_with_mistakes_are_refused_whole(office: Client, change: dict[str, Any], code: str) -> None:
    office.add_jane()
    visit = office.add_visit()
    content = office.visit(visit, office.charge("17000"), office.charge(**change))
    assert office.refused(POST, CLASS, **content) == code
    assert office.ledger()["visits"][0]["charges"] == []


@pytest.mark.parametrize("change", [{"@profile": "prof4"}, {"@facility": "fac9"}, {"@id": "1"}])
def test_a_visit_s_ids_must_be_right(office: Client, change: dict[str, str]) -> None:
    office.add_jane()
    visit = office.add_visit()
    assert office.refused(POST, CLASS, **office.visit(visit, office.charge(), **change)) == "2051"


def test_no_charges(office: Client) -> None:
    office.add_jane()
    assert office.refused(POST, CLASS, **office.visit(office.add_visit())) == "2049"


def test_the_hands_of_biller_and_payer(office: Client) -> None:
    visit = charged(office)
    seen = []
    for step in (None, "posted", "billed", "paid", "voided"):
        if step:
            assert office.advance(visit=visit, to=step) == {"moved": ["5100001"]}
        detail = office.do("getchargedetaildata", "demographics", chargeid="5100001")
        charge = detail["patientlist"]["patient"]["chargelist"]["charge"]
        seen.append(tuple(charge[f"@{n}"] for n in ("protected", "batchnumber", "insbilled", "paid", "void")))
    assert seen == [
        ("1", "", "0", "0.00", "0"),
        ("0", "301", "0", "0.00", "0"),
        ("0", "301", "1", "0.00", "0"),
        ("0", "301", "1", "96.00", "0"),
        ("0", "301", "1", "96.00", "1"),
    ]
    assert office.advance(to="nowhere")["resourceType"] == "OperationOutcome"
    assert office.advance(visit="1")["resourceType"] == "OperationOutcome"


def test_the_next_step_without_a_word(office: Client) -> None:
    visit = charged(office)
    for batch, billed in (("301", False), ("301", True)):
        office.advance(visit=visit)
        (charge,) = office.ledger()["visits"][0]["charges"]
        assert (charge["batch"], charge["billed"]) == (batch, billed)


@pytest.mark.parametrize(
    ("kind", "saved"), [(FaultKind.HTTP_500, 0), (FaultKind.HTTP_500_AFTER_SAVE, 1), (FaultKind.RATE_LIMIT, 0)]
)
def test_faults(office: Client, kind: FaultKind, saved: int) -> None:
    office.add_jane()
    visit, charge = office.add_visit(), office.charge()
    office.http.post("/_sim/faults", json={"rules": [{"operation": POST, "kind": kind.value, "times": 1}]})
    message = {"@action": POST, "@class": CLASS, "@msgtime": TIME, "usercontext": office.token}
    content = office.visit(visit, charge)
    told = {n if isinstance(v, dict) else f"@{n}": v for n, v in content.items()}
    assert office.raw({**message, **told}).status_code == (429 if kind is FaultKind.RATE_LIMIT else 500)
    assert len(office.ledger()["claims"]) == saved
    assert office.ledger()["faults"] == {kind.value: 1}
