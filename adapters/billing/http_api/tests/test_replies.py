"""Reading answers: what each status, word and error means."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.billing.http_api.description import Description
from adapters.billing.http_api.fields import element_of
from adapters.billing.http_api.replies import Answers
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.findings import Severity
from gateway.canonical.models import SubmissionState

SAVED = b'{"id": 17, "status": "received"}'


@pytest.fixture
def description(acme_description: dict[str, Any]) -> Description:
    return Description.model_validate(acme_description)


@pytest.fixture
def answers(description: Description) -> Answers:
    return Answers(description)


def changed(raw: dict[str, Any], **more: Any) -> Answers:
    return Answers(Description.model_validate({**raw, **more}))


# --- the answer to the request that creates a claim -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (SAVED, SubmissionState.RECEIVED),
        (b'{"id": "17", "status": "posted"}', SubmissionState.ACCEPTED),
        (b'{"id": "17", "status": "beamed up"}', SubmissionState.RECEIVED),
        (b'{"id": "17"}', SubmissionState.RECEIVED),
        (b'{"id": "17", "status": {"a": 1}}', SubmissionState.RECEIVED),
    ],
)
def test_an_id_proves_receipt_and_a_known_word_more(answers: Answers, body: bytes, state: SubmissionState) -> None:
    standing = answers.created(201, body, None)
    assert (standing.vendor_ids, standing.state) == ({"claim_id": "17"}, state)


def test_a_word_below_receipt_does_not_lower_it(acme_description: dict[str, Any]) -> None:
    assert changed(acme_description, states={"queued": "sent"}).created(
        200, b'{"id": 1, "status": "queued"}', None
    ).state is (SubmissionState.RECEIVED)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html/>", b"{}", b"[]", b'"17"', b'{"id": null}', b'{"id": true}', b'{"id": {"a": 1}}', b'{"id": ""}'],
)
def test_success_without_an_id_leaves_the_outcome_unknown(answers: Answers, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        answers.created(200, body, None)


@pytest.mark.parametrize(
    ("status", "retry_after", "error"),
    [
        (302, None, UnexpectedResponse),
        (400, None, ClaimRejected),
        (401, None, CredentialsRejected),
        (403, None, PermissionMissing),
        (404, None, UnexpectedResponse),
        (408, None, OutcomeUnknown),
        (409, None, DuplicateClaim),
        (415, None, UnexpectedResponse),
        (422, None, ClaimRejected),
        (429, 7.0, RateLimited),
        (500, None, OutcomeUnknown),
        (503, None, OutcomeUnknown),
        (503, 9.0, RateLimited),
    ],
)
def test_statuses_by_default(
    answers: Answers, status: int, retry_after: float | None, error: type[AdapterError]
) -> None:
    with pytest.raises(AdapterError) as failure:
        answers.created(status, b"<html/>", retry_after)
    assert type(failure.value) is error
    assert failure.value.retry_after == (retry_after if error is RateLimited else None)


def test_statuses_as_the_description_says(acme_description: dict[str, Any]) -> None:
    answers = changed(acme_description, statuses={409: "claim_rejected", 418: "rate_limited", 404: "claim_rejected"})
    for status, error in ((409, ClaimRejected), (418, RateLimited), (404, ClaimRejected)):
        with pytest.raises(error):
            answers.created(status, b"{}", None)


def test_a_refusal_names_the_elements_by_the_map_itself(answers: Answers) -> None:
    rows = [
        {"code": "DX_INVALID", "field": "diagnoses[1]"},
        {"code": "CPT_INVALID", "field": "/lines/2/code"},
        {"code": "AMOUNT_MISMATCH", "field": "lines.1.charge"},
        {"code": "WHO KNOWS, Jane?", "field": "patient.name"},
        {"code": "X99"},
        "Jane Quillfeather is unknown",
    ]
    with pytest.raises(ClaimRejected) as refusal:
        answers.created(422, jsonio.dumps({"errors": rows}), None)
    error = refusal.value
    assert (error.code, error.vendor_code) == (
        ErrorCode.INVALID_DIAGNOSIS,
        "DX_INVALID,CPT_INVALID,AMOUNT_MISMATCH,X99",
    )
    found = [(finding.edit, finding.expression) for finding in error.findings]
    assert found == [
        ("acme-billing-DX_INVALID", "Claim.diagnosis"),
        ("acme-billing-CPT_INVALID", "Claim.item[2].productOrService.coding.code"),
        ("acme-billing-AMOUNT_MISMATCH", "Claim.item[1].net.value"),
        ("acme-billing-unknown", "Patient.name"),
        ("acme-billing-X99", "Claim"),
        ("acme-billing-unknown", "Claim"),
    ]
    assert "Jane" not in str(error) + "".join(f.message + f.fix for f in error.findings)
    assert error.findings[0].fix == "Check the code for the date of service."


def test_an_error_word_may_name_its_element(acme_description: dict[str, Any]) -> None:
    words = {"NO_AUTH": {"error": "missing_prior_authorization", "element": "Claim.insurance[0]", "message": "No."}}
    with pytest.raises(ClaimRejected) as refusal:
        changed(acme_description, error_codes=words).created(422, b'{"errors": {"code": "NO_AUTH"}}', None)
    assert refusal.value.findings[0].expression == "Claim.insurance[0]"


def test_errors_in_a_successful_answer_refuse_the_claim_unless_it_has_an_id(answers: Answers) -> None:
    rows = [{"code": "DX_INVALID", "field": "diagnoses[0]"}]
    with pytest.raises(ClaimRejected):
        answers.created(200, jsonio.dumps({"errors": rows}), None)
    assert answers.created(200, jsonio.dumps({"id": 5, "errors": rows}), None).vendor_ids == {"claim_id": "5"}
    with pytest.raises(ClaimRejected):
        answers.created(200, jsonio.dumps({"id": 5, "status": "rejected", "errors": rows}), None)


@pytest.mark.parametrize(
    ("field", "element"),
    [
        ("total", "Claim.total.value"),
        ("$.lines[3].units", "Claim.item[3].quantity.value"),
        ("lines[0].service", "Claim.item[0].servicedDate"),
        ("coverages[1].payer.id", "Claim.insurance[1].coverage.payor.identifier"),
        ("patient", "Patient.identifier"),
        ("", ""),
        ("nothing.of.ours", ""),
        ("[0]", ""),
    ],
)
def test_fields_are_followed_back(description: Description, field: str, element: str) -> None:
    assert element_of(field, description.plan.leaves) == element


# --- searching ------------------------------------------------------------------------------------------------------


def _find(answers: Answers, body: bytes, status: int = 200) -> list[str]:
    find = answers._description.find
    assert find is not None
    return [standing.vendor_ids["claim_id"] for standing in answers.found(status, body, None, find, "GW1")]


def test_only_claims_with_the_submission_id_are_found(answers: Answers) -> None:
    claims = [{"id": n, "reference": reference} for n, reference in enumerate(("GW1", "GW10", "GW1", ""), 1)]
    assert _find(answers, jsonio.dumps({"claims": claims})) == ["1", "3"]
    assert _find(answers, b'{"claims": []}') == []
    assert _find(answers, b'{"claims": null}') == []


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html/>", UnexpectedResponse),
        (200, b"{}", UnexpectedResponse),  # a wrong path must not look like an empty search
        (200, b'{"claims": [{"id": 1, "ref": "GW1"}]}', UnexpectedResponse),
        (200, b'{"claims": [{"reference": "GW1"}]}', UnexpectedResponse),
        (404, b"{}", UnexpectedResponse),
        (409, b"{}", UnexpectedResponse),
        (500, b"{}", VendorUnavailable),
        (401, b"{}", CredentialsRejected),
        (429, b"{}", RateLimited),
    ],
)
def test_a_search_that_fails_proves_nothing(
    answers: Answers, status: int, body: bytes, error: type[AdapterError]
) -> None:
    with pytest.raises(error):
        _find(answers, body, status)


def test_an_absent_list_means_none_only_where_the_description_says_so(acme_description: dict[str, Any]) -> None:
    find = {**acme_description["find"], "none_status": 404, "none_when_missing": True}
    answers = changed(acme_description, find=find)
    assert _find(answers, b"", 404) == _find(answers, b"{}") == []


# --- outcomes -------------------------------------------------------------------------------------------------------


def test_outcomes(answers: Answers) -> None:
    rows = [{"code": "DX_INVALID", "field": "diagnoses[0]"}]
    paid = answers.outcome(200, jsonio.dumps({"id": 1, "status": "paid", "errors": rows}), None)
    assert (paid.state, paid.word, paid.findings[0].severity) == (SubmissionState.ACCEPTED, "paid", Severity.WARNING)
    rejected = answers.outcome(200, jsonio.dumps({"id": 1, "status": "rejected", "errors": rows}), None)
    assert (rejected.state, rejected.findings[0].severity) == (SubmissionState.REJECTED, Severity.ERROR)
    bare = answers.outcome(200, b'{"id": 1, "status": "rejected"}', None)
    assert [finding.edit for finding in bare.findings] == ["acme-billing-rejected"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(404, b"", ClaimRejected), (200, b"<html/>", UnexpectedResponse), (502, b"", VendorUnavailable)],
)
def test_an_outcome_that_cannot_be_read(answers: Answers, status: int, body: bytes, error: type[AdapterError]) -> None:
    with pytest.raises(error):
        answers.outcome(status, body, None)


def test_an_outcome_may_lie_elsewhere_in_the_answer(acme_description: dict[str, Any]) -> None:
    outcome = {"request": "GET /v1/claims/{claim_id}", "ids": {"claim_id": "$.claim.id"}, "state": "$.claim.state"}
    standing = changed(acme_description, outcome=outcome).outcome(200, b'{"claim": {"id": 1, "state": "paid"}}', None)
    assert (standing.vendor_ids, standing.state) == ({"claim_id": "1"}, SubmissionState.ACCEPTED)
