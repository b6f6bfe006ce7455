"""Replies: success, the shapes of faults, and what each fault code means."""

from __future__ import annotations

import contextlib
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.advancedmd import actions, errors, outcomes, replies
from adapters.billing.advancedmd.errors import AlreadyThere, SessionExpired
from adapters.billing.advancedmd.replies import Charge
from adapters.billing.advancedmd.scrubbing import scrubbed
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    OutcomeUnknown,
    PermissionMissing,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import SubmissionState

POST, READ = actions.POST_CHARGES, actions.LOOKUP_PATIENT


def body(results: Any, error: Any = None) -> bytes:
    return jsonio.dumps({"PPMDResults": {"Results": results, "Error": error}})


def fault(code: str, description: str = "") -> bytes:
    return body({"@success": "0"}, {"Fault": {"detail": {"code": code, "description": description}}})


@pytest.mark.parametrize("error", [None, "", {}])
def test_success_is_the_attribute_alone(error: Any) -> None:
    assert replies.read(READ, 200, body({"@success": "1", "@a": "b"}, error))["@a"] == "b"
    with pytest.raises(OutcomeUnknown):
        replies.read(POST, 200, body({"@success": "0"}, error))
    with pytest.raises(VendorUnavailable):
        replies.read(READ, 200, body({"@a": "b"}, error))


@pytest.mark.parametrize(
    "error",
    [
        {"Fault": {"detail": {"code": "2051", "description": "x"}}},
        {"Fault": {"detail": [{"code": "2051", "description": "x"}, {"code": "1"}]}},
        {"@Code": "2051", "@Description": "x"},
        {"@message": "x", "@code": "2051"},
    ],
)
def test_every_shape_of_a_fault(error: Any) -> None:
    with pytest.raises(ClaimRejected) as refusal:
        replies.read(POST, 200, body({"@success": "0"}, error))
    assert refusal.value.vendor_code == "2051"


@pytest.mark.parametrize(
    ("action", "code", "kind"),
    [
        (READ, "1024", CredentialsRejected),
        (READ, "-2147220480", CredentialsRejected),
        (POST, "1025", SessionExpired),
        (POST, "-2147220479", SessionExpired),
        (READ, "1026", PermissionMissing),
        (READ, "1027", PermissionMissing),
        (POST, "2048", ClaimRejected),
        (READ, "2048", UnexpectedResponse),
        (POST, "2052", ClaimRejected),
        (POST, "2053", ClaimRejected),
        (READ, "-2147220449", CredentialsRejected),
        (READ, "-2147220474", CredentialsRejected),
        (READ, "-2147217350", UnexpectedResponse),
        (POST, "-2147217398", VendorUnavailable),
        (POST, "99", ClaimRejected),
        (READ, "99", UnexpectedResponse),
    ],
)
def test_every_fault_code_has_one_meaning(action: str, code: str, kind: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as problem:
        replies.read(action, 200, fault(code, "vendor text about JANE"))
    assert type(problem.value) is kind
    assert "JANE" not in str(problem.value)
    assert problem.value.findings


@pytest.mark.parametrize(
    ("action", "description", "kind"),
    [
        (POST, "Duplicate charge", DuplicateClaim),
        (actions.ADD_PATIENT, "A duplicate patient exists", AlreadyThere),
        (POST, "Timeout expired", OutcomeUnknown),
        (READ, "was deadlocked", VendorUnavailable),
        (POST, "Record locked by JSMITH", VendorUnavailable),
    ],
)
def test_faults_that_only_their_text_tells(action: str, description: str, kind: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as problem:
        replies.read(action, 200, fault("-2147467259", description))
    assert type(problem.value) is kind


@pytest.mark.parametrize(
    ("action", "status", "kind"),
    [
        (POST, 500, OutcomeUnknown),
        (READ, 503, VendorUnavailable),
        (POST, 400, ClaimRejected),
        (READ, 400, UnexpectedResponse),
        (READ, 401, CredentialsRejected),
        (READ, 403, PermissionMissing),
        (POST, 404, VendorUnavailable),
    ],
)
def test_http_statuses(action: str, status: int, kind: type[AdapterError]) -> None:
    with pytest.raises(AdapterError) as problem:
        replies.read(action, status, b"<html>no</html>")
    assert type(problem.value) is kind


@given(st.binary(max_size=200), st.sampled_from([POST, READ]))
def test_any_bytes_are_a_reply_or_an_adapter_error(content: bytes, action: str) -> None:
    with contextlib.suppress(AdapterError):
        replies.read(action, 200, content)


def test_the_redirect_is_no_fault() -> None:
    context = {"@webserver": "https://x.advancedmd.com/processrequest/api-801/APP"}
    detail = {"Fault": {"detail": {"code": errors.REDIRECT_CODE, "description": "Redirect"}}}
    found = replies.login_reply(200, body({"@success": "0", "usercontext": context}, detail))
    assert (found.webserver, found.token) == (context["@webserver"], "")
    token = {**context, "#text": "99abc"}
    assert replies.login_reply(200, body({"@success": "1", "usercontext": token})).token == "99abc"
    assert replies.login_reply(200, body({"@success": "1", "usercontext": "99abc"})).token == "99abc"
    with pytest.raises(CredentialsRejected):
        replies.login_reply(200, fault("1024"))
    with pytest.raises(VendorUnavailable):
        replies.login_reply(200, body({"@success": "1"}))


def test_the_exact_code_need_not_be_first() -> None:
    found = [{"@id": "dcode2", "@code": "L57.09"}, {"@id": "dcode1", "@code": "L570"}]
    assert replies.of_code(found, "L57.0") == "dcode1"
    assert replies.of_code(found, "L57") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("DOE,JANE M", "doe,jane", True),
        ("DOE, JANE", "DOE,JANE Q", True),
        ("DOE,JANET", "DOE,JANE", False),
        ("VAN DER BERG,JAN", "Van  Der Berg,Jan", True),
    ],
)
def test_names_of_people(one: str, other: str, same: bool) -> None:
    assert (replies.person_name(one) == replies.person_name(other)) is same


def test_plans_are_in_order_of_payment_and_name_the_member_id_in_two_ways() -> None:
    plans = [
        {"@coverage": "2", "@subscribernum": "B2"},
        {"@coverage": "1", "@subidnumber": "A1", "@begindate": "1/1/2026", "@enddate": "12/31/2026"},
        {"@coverage": "3"},
    ]
    account = replies.demographics(
        {"patientlist": {"patient": {"@respparty": "resp1", "insplanlist": {"insplan": plans}}}}
    )
    assert [plan.number for plan in account.plans] == ["A1", "B2"]
    assert account.plans[0].in_force(date(2026, 12, 31))
    assert not account.plans[0].in_force(date(2027, 1, 1))
    assert account.plans[1].in_force(date(1999, 1, 1))


def test_charge_ids() -> None:
    assert replies.charge_ids({"@chargevalue": "5100001, 5100002"}) == ("5100001", "5100002")
    assert replies.charge_ids({}) == ()


def _charge(**changes: Any) -> Charge:
    plain = dict.fromkeys(("voided", "paid", "billed", "protected"), False)
    return Charge(**{"charge_id": "7", "visit": "8", "batch": "", **plain, **changes})


@pytest.mark.parametrize(
    ("changes", "word", "state"),
    [
        ({}, "held", SubmissionState.RECEIVED),
        ({"protected": True, "batch": "301"}, "protected", SubmissionState.RECEIVED),
        ({"batch": "301"}, "posted", SubmissionState.ACCEPTED),
        ({"billed": True, "batch": "301"}, "billed", SubmissionState.ACCEPTED),
        ({"voided": True, "billed": True}, "voided", SubmissionState.RECEIVED),
    ],
)
def test_what_a_charge_proves(changes: dict[str, Any], word: str, state: SubmissionState) -> None:
    found = outcomes.standing("8", [_charge(**changes)])
    assert (found.state, found.reference) == (state, f"visit 8: charge 7 {word}")
    assert bool(found.findings) == (word == "voided")
    assert outcomes.standing("8", [_charge(billed=True), _charge(**changes)]).state is state


def test_no_charges_prove_nothing_more() -> None:
    assert outcomes.standing("8", []).state is SubmissionState.RECEIVED


def test_an_unknown_flag_is_the_lower_state() -> None:
    (charge,) = replies.charges({"charge": {"@id": "7", "@visit": "v8", "@insbilled": "?", "@void": "maybe"}})
    assert (charge.visit, charge.billed, charge.voided) == ("8", False, False)
    assert outcomes.standing("8", [charge]).state is SubmissionState.RECEIVED


@given(st.text(max_size=60))
def test_day_of_any_text(text: str) -> None:
    assert replies.day_of(text) is None or "/" in text


def test_scrubbing_of_both_forms() -> None:
    xml = (
        '<ppmdmsg action="addpatient"><usercontext>9900TOKEN</usercontext><patient name="DOE,JANE" dob=\'6/15/1985\'/>'
    )
    clean = scrubbed(f'{xml} {{"@name":"DOE,JANE","@zip":"33601","proccode":"99213","units":"1"}} se<cret', ["se<cret"])
    for value in ("DOE", "1985", "TOKEN", "33601", "cret"):
        assert value not in clean
    assert 'action="addpatient"' in clean
    assert '"proccode":"99213"' in clean
