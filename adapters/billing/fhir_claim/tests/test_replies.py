"""Answers of FHIR servers and what they prove; public fixtures of Da Vinci PAS where they are beside the checkout."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.fhir_claim import replies
from adapters.billing.fhir_claim.errors import ADJUDICATION_ERRORS, ISSUES
from adapters.billing.fhir_claim.outcomes import standing
from adapters.billing.fhir_claim.refusals import plain_expression
from adapters.billing.fhir_claim.replies import Answer
from adapters.billing.fhir_claim.scrubbing import scrubbed
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
from gateway.canonical.models import SubmissionState

BASE = "https://payer.example.test/fhir"
PAS = pathlib.Path(__file__).resolve().parents[5] / "shared/fixtures/fhir/pas"
SECRET_TEXT = "Quillfeather, born 1985-06-15"


def response(outcome: str = "queued", **further: Any) -> dict[str, Any]:
    """A ClaimResponse to Claim/41."""
    found = {
        "resourceType": "ClaimResponse",
        "id": "77",
        "status": "active",
        "use": "claim",
        "outcome": outcome,
        "request": {"reference": "Claim/41"},
        "disposition": SECRET_TEXT,
    }
    return {**found, **further}


def outcome(*issues: dict[str, Any]) -> dict[str, Any]:
    """An OperationOutcome of errors whose texts quote the patient."""
    told = {"severity": "error", "diagnostics": SECRET_TEXT, "details": {"text": SECRET_TEXT}}
    return {"resourceType": "OperationOutcome", "issue": [{**told, **issue} for issue in issues]}


def answer(resource: Any = None, status: int = 200, location: str = "") -> Answer:
    body = resource if isinstance(resource, bytes) else b"" if resource is None else jsonio.dumps(resource)
    return Answer(status, body, BASE, location)


def refusal(found: Answer, operation: str = "Claim/$submit") -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        replies.read_submission(operation, found)
    texts = f"{caught.value} {caught.value.findings}"
    assert "Quillfeather" not in texts
    assert "1985" not in texts
    return caught.value


# --- what was accepted ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        lambda r: r,
        lambda r: {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": r}]},
        lambda r: {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [{"resource": {"resourceType": "Patient"}}, {"resource": r}],
        },
    ],
)
def test_a_claim_response_is_found_in_every_shape(shape: Any) -> None:
    accepted = replies.read_submission("Claim/$submit", answer(shape(response())))
    assert accepted.state is SubmissionState.RECEIVED
    assert accepted.vendor_ids == {"Claim": "41", "ClaimResponse": "77"}
    assert accepted.reference == "ClaimResponse/77 queued"


@pytest.mark.parametrize(
    ("resource", "location", "ids"),
    [
        (None, f"{BASE}/Claim/41/_history/1", {"Claim": "41"}),
        (None, "ClaimResponse/77", {"ClaimResponse": "77"}),
        ({"resourceType": "Claim", "id": "41"}, "", {"Claim": "41"}),
        (outcome({"severity": "information"}), f"{BASE}/Claim/41", {"Claim": "41"}),
        (
            {
                "resourceType": "Bundle",
                "type": "transaction-response",
                "entry": [
                    {"response": {"status": "200 OK", "location": "Patient/9/_history/3"}},
                    {"response": {"status": "201 Created", "location": "Claim/41/_history/1"}},
                ],
            },
            "",
            {"Claim": "41"},
        ),
    ],
)
def test_what_was_created_is_named(resource: Any, location: str, ids: dict[str, str]) -> None:
    accepted = replies.read_submission("transaction", answer(resource, 201, location))
    assert accepted.state is SubmissionState.RECEIVED
    assert accepted.vendor_ids == ids


@pytest.mark.parametrize(
    "found",
    [
        answer(b"<html>maintenance</html>"),
        answer(None),
        answer(None, 202),
        answer(b"{"),
        answer(b"[1]"),
        answer(b'"x"'),
        answer({"resourceType": "Bundle", "type": "transaction-response"}),
        answer(None, 201, "https://elsewhere.example.test/fhir/Claim/41"),
        answer({"resourceType": "Claim", "id": "../41"}),
        answer(outcome({"code": "invalid"})),
        answer({"resourceType": "ClaimResponse", "outcome": "queued"}),
        answer(None, 302, "https://payer.example.test/login"),
        answer(None, 303),
        answer(None, 408),
        answer(outcome({"code": "exception"}), 500),
        answer(response("error"), 500),
        answer(None, 502),
        answer(None, 503),
        answer(None, 504),
        answer(outcome({"code": "timeout"}), 400),
        answer(outcome({"code": "lock-error"}), 422),
        answer(outcome({"code": "incomplete"}), 400),
    ],
)
def test_what_proves_nothing_leaves_the_outcome_unknown(found: Answer) -> None:
    assert type(refusal(found)) is OutcomeUnknown


# --- what was refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, VendorUnavailable),
        (307, VendorUnavailable),
        (400, ClaimRejected),
        (401, CredentialsRejected),
        (403, PermissionMissing),
        (406, ClaimRejected),
        (409, DuplicateClaim),
        (412, DuplicateClaim),
        (413, ClaimRejected),
        (422, ClaimRejected),
        (429, RateLimited),
    ],
)
def test_the_status_decides(status: int, error: type[AdapterError]) -> None:
    assert type(refusal(answer(None, status))) is error


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_the_operation_is_told_with_the_remedy(status: int) -> None:
    error = refusal(answer(outcome({"code": "not-found"}), status))
    assert (type(error), error.code) == (ClaimRejected, ErrorCode.UNSUPPORTED)
    assert "mode: transaction" in error.findings[0].fix
    assert "mode: submit" in refusal(answer(None, status), "transaction").findings[0].fix


def test_a_server_without_conditional_creates_is_told_with_the_remedy() -> None:
    error = refusal(answer(outcome({"code": "not-supported"}), 412))
    assert (type(error), error.code) == (ClaimRejected, ErrorCode.UNSUPPORTED)
    assert "conditional_create: false" in error.findings[0].fix


def test_a_404_about_an_element_of_the_claim_is_a_refusal_of_the_claim() -> None:
    error = refusal(answer(outcome({"code": "not-found", "expression": ["Claim.insurer"]}), 404))
    assert error.code is ErrorCode.NOT_FOUND
    assert error.findings[0].expression == "Claim.insurer"


@pytest.mark.parametrize("code", sorted(ISSUES))
def test_every_issue_code_has_an_error_and_a_sentence(code: str) -> None:
    error = refusal(answer(outcome({"code": code, "expression": ["Claim.item[1].modifier[0]"]}), 422))
    assert type(error) is ISSUES[code].error
    assert error.findings[0].message.endswith(".")


def test_issues_become_findings_with_their_place_and_code() -> None:
    error = refusal(
        answer(
            outcome(
                {"code": "code-invalid", "expression": ["Bundle.entry[0].resource.item[0].productOrService"]},
                {"code": "required", "expression": ["Claim.diagnosis"]},
                {"code": "required", "expression": ["Claim.diagnosis"]},
                {"code": "from-another-world", "expression": ["Claim.where(name='Quillfeather')"]},
                {"severity": "warning", "code": "invalid"},
            ),
            422,
        )
    )
    assert [(f.edit, f.expression) for f in error.findings] == [
        ("fhir-code-invalid", "Claim.item[0].productOrService"),
        ("fhir-required", "Claim.diagnosis"),
        ("fhir-from-another-world", "Claim"),
    ]
    assert error.code is ErrorCode.INVALID_PROCEDURE
    assert error.vendor_code == "code-invalid,required,from-another-world"


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("Claim.item[0].net", "Claim.item[0].net"),
        ("Bundle.entry[0].resource.ofType(Claim).total", "Claim.total"),
        ("Bundle.entry[0].resource/*Claim/4711*/.item[2].quantity", "Claim.item[2].quantity"),
        ("Parameters.parameter[0].resource.entry[0].resource.priority", "Claim.priority"),
        ("Bundle.entry[0].Claim.use", "Claim.use"),
        ("Bundle.entry[3].resource.ofType(Patient).birthDate", "Patient.birthDate"),
        ("Bundle.entry[1].Organization.name", "Organization.name"),
        ("Bundle.entry[3].resource.birthDate", "Claim"),
        ("Claim.item.where(sequence=1)", "Claim"),
        ("Claim.item[0].extension('x').value", "Claim"),
        ("Quillfeather, Jane", "Claim"),
        ("", "Claim"),
        (None, "Claim"),
    ],
)
def test_only_plain_paths_are_kept(given_: Any, kept: str) -> None:
    assert plain_expression(given_) == kept


def test_a_claim_response_of_outcome_error_is_a_refusal() -> None:
    errors = [
        {"itemSequence": 2, "detailSequence": 1, "code": {"coding": [{"code": "55"}], "text": SECRET_TEXT}},
        {"code": {"coding": [{"code": "75", "display": SECRET_TEXT}]}},
        {"code": {"text": SECRET_TEXT}},
    ]
    for status in (200, 400, 422):
        error = refusal(answer(response("error", error=errors), status))
        assert (type(error), error.code, error.vendor_code) == (ClaimRejected, ErrorCode.INVALID_PROCEDURE, "55,75")
        assert [(f.edit, f.expression) for f in error.findings] == [
            ("fhir-55", "Claim.item[1].detail[0]"),
            ("fhir-75", "Claim"),
            ("fhir-refused", "Claim"),
        ]


@pytest.mark.parametrize(
    "code",
    ["Quillfeather", "1985-06-15", "XYZ123456789", "Quillfeather 1985", "1985-06-15 Jane", "X" * 40, "", 7, None],
)
def test_what_is_no_code_by_its_form_is_not_passed_on(code: Any) -> None:
    for found in (
        answer(response("error", error=[{"code": {"coding": [{"code": code}]}}])),
        answer(outcome({"code": code}), 422),
    ):
        error = refusal(found)
        assert (error.vendor_code, [f.edit for f in error.findings]) == (None, ["fhir-refused"])


def test_a_refusal_without_a_reason_still_tells_something() -> None:
    error = refusal(answer({"resourceType": "ClaimResponse", "outcome": "error"}))
    assert error.findings[0].message


@pytest.mark.parametrize("code", sorted(ADJUDICATION_ERRORS))
def test_every_reason_of_the_payer_is_named(code: str) -> None:
    error = refusal(answer(response("error", error=[{"code": {"coding": [{"code": code}]}}])))
    assert error.vendor_code == code
    assert error.findings[0].fix


# --- standings --------------------------------------------------------------------------------------------------

USD = {"value": 80, "currency": "USD"}
BENEFIT = {"category": {"coding": [{"code": "benefit"}]}, "amount": USD}
SUBMITTED = {"category": {"coding": [{"code": "submitted"}]}, "amount": USD}


@pytest.mark.parametrize(
    ("found", "state", "warnings"),
    [
        (response("queued"), SubmissionState.RECEIVED, []),
        (response("complete"), SubmissionState.ACCEPTED, []),
        (response("complete", payment={"amount": USD}), SubmissionState.ADJUDICATED, []),
        (response("complete", total=[BENEFIT]), SubmissionState.ADJUDICATED, []),
        (response("complete", total=[SUBMITTED]), SubmissionState.ACCEPTED, []),
        (response("complete", payment={"type": {}}), SubmissionState.ACCEPTED, []),
        (response("partial", payment={"amount": USD}), SubmissionState.RECEIVED, ["fhir-partial"]),
        (response("approved"), SubmissionState.RECEIVED, []),
        (response(""), SubmissionState.RECEIVED, []),
        (response("complete", status="cancelled"), SubmissionState.RECEIVED, ["fhir-response-status"]),
        (response("error", status="draft"), SubmissionState.RECEIVED, ["fhir-response-status"]),
        (response("complete", use="preauthorization"), SubmissionState.RECEIVED, ["fhir-response-use"]),
        (response("error"), SubmissionState.REJECTED, ["fhir-refused"]),
        (response("complete", error=[{"code": {"coding": [{"code": "55"}]}}]), SubmissionState.ACCEPTED, ["fhir-55"]),
    ],
)
def test_standing(found: dict[str, Any], state: SubmissionState, warnings: list[str]) -> None:
    held = standing(found, BASE)
    assert held is not None
    assert held.state is state
    assert [finding.edit for finding in held.findings] == warnings
    assert "Quillfeather" not in held.reference


def test_ids_and_numbers_of_the_payer_are_kept() -> None:
    found = response(
        "complete",
        preAuthRef="PA-1",
        request={"reference": f"{BASE}/Claim/41"},
        identifier=[
            {"system": "urn:fhir-billing-gateway:submission", "value": "GW1"},
            {"value": "untyped-1"},
            {"type": {"coding": [{"code": "FILL"}]}, "value": "ICN-9"},
        ],
    )
    held = standing(found, BASE)
    assert held is not None
    assert held.vendor_ids == {
        "Claim": "41",
        "ClaimResponse": "77",
        "PreAuthRef": "PA-1",
        "PayerClaimControlNumber": "ICN-9",
    }
    foreign = standing(
        {**found, "request": {"reference": "https://other.example.test/Claim/41"}, "identifier": []}, BASE
    )
    assert foreign is not None
    assert foreign.vendor_ids == {"ClaimResponse": "77", "PreAuthRef": "PA-1"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "error",
                    "code",
                    "coding",
                    "identifier",
                    "value",
                    "request",
                    "reference",
                    "payment",
                    "amount",
                    "total",
                    "category",
                    "entry",
                    "resource",
                    "response",
                    "location",
                    "issue",
                    "severity",
                    "expression",
                    "extension",
                    "url",
                    "itemSequence",
                    "outcome",
                    "status",
                    "use",
                    "type",
                    "system",
                    "preAuthRef",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(
    members=st.dictionaries(
        st.sampled_from(
            [
                "id",
                "error",
                "identifier",
                "request",
                "payment",
                "total",
                "entry",
                "issue",
                "outcome",
                "status",
                "use",
                "parameter",
                "preAuthRef",
            ]
        ),
        JSON,
        max_size=8,
    ),
    kind=st.sampled_from(["ClaimResponse", "OperationOutcome", "Bundle", "Parameters", "Claim"]),
    status=st.sampled_from([200, 201, 400, 404, 422, 500]),
)
def test_no_answer_of_any_shape_breaks_the_reading(members: dict[str, Any], kind: str, status: int) -> None:
    """Whatever a server sends, the answer is an acceptance with ids or an error of the tree."""
    found = answer({**members, "resourceType": kind}, status)
    try:
        accepted = replies.read_submission("Claim/$submit", found)
    except AdapterError:
        return
    assert accepted.vendor_ids


# --- reads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (answer(None, 401), CredentialsRejected),
        (answer(None, 403), PermissionMissing),
        (answer(outcome({}), 404), UnexpectedResponse),
        (answer(None, 410), UnexpectedResponse),
        (answer(outcome({}), 400), UnexpectedResponse),
        (answer(None, 302), UnexpectedResponse),
        (answer(None, 501), UnexpectedResponse),
        (answer(None, 500), VendorUnavailable),
        (answer(None, 503), VendorUnavailable),
        (answer(b"<html/>"), VendorUnavailable),
        (answer(outcome({})), UnexpectedResponse),
    ],
)
def test_reads_that_fail(found: Answer, error: type[AdapterError]) -> None:
    with pytest.raises(error):
        replies.read_resource("search Claim", found)


def claim(identity: str, submission_id: str = "GW1", updated: str = "") -> dict[str, Any]:
    numbers = [{"system": "urn:x", "value": submission_id}]
    return {"resourceType": "Claim", "id": identity, "identifier": numbers, "meta": {"lastUpdated": updated}}


def searchset(*resources: dict[str, Any], **further: Any) -> dict[str, Any]:
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries, **further}


def found_in(bundle: dict[str, Any]) -> list[str]:
    def wanted(resource: dict[str, Any]) -> bool:
        return replies.has_identifier(resource, "urn:x", "GW1")

    found = replies.matches("search Claim", bundle, "Claim", wanted)
    return [resource["id"] for resource in replies.oldest_first(found)]


def test_a_search_gives_what_was_asked_for_oldest_first() -> None:
    mixed = searchset(
        claim("10", updated="2026-03-05"), claim("9", updated="2026-03-04"), outcome({"severity": "warning"})
    )
    assert found_in(mixed) == ["9", "10"]
    assert found_in(searchset()) == []
    assert found_in(searchset(claim("10"), claim("9"))) == ["9", "10"]
    assert found_in(searchset(claim("9"), link=[{"relation": "next", "url": "x"}])) == ["9"]


@pytest.mark.parametrize(
    "bundle",
    [
        searchset(claim("9", "another")),
        searchset(claim("9"), claim("10", "another")),
        searchset(link=[{"relation": "next", "url": "x"}]),
        searchset(outcome({"code": "not-supported"})),
        {"resourceType": "Patient"},
    ],
)
def test_a_search_that_the_server_did_not_follow_proves_nothing(bundle: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedResponse):
        found_in(bundle)


# --- scrubbing --------------------------------------------------------------------------------------------------


def test_scrub_keeps_what_is_harmless_and_nothing_else() -> None:
    text = 'failed: {"resourceType":"Patient","name":[{"family":"O\\"Brien","given":["Ann","B."]}],"multipleBirth":3,'
    clean = scrubbed(text + '"birthDate":"1985-06-15","telecom":[{"value":"813-555-0111"}]} call 813-555-0112', [])
    for value in ("Brien", "Ann", "B.", "1985", "555", ":3"):
        assert value not in clean
    assert '"resourceType":"Patient"' in clean
    assert clean.startswith("failed: ")


def test_scrub_of_secrets_in_every_spelling() -> None:
    secret = 'a"b\\c'
    clean = scrubbed(f"{secret} {jsonio.dumps(secret).decode()} Authorization: Bearer abcdef0123456789", [secret])
    assert 'a"b' not in clean
    assert "abcdef" not in clean


def test_scrub_of_a_text_that_was_cut_off() -> None:
    assert "Quill" not in scrubbed('{"family":"Quillfe', [])


# --- public fixtures --------------------------------------------------------------------------------------------


def pas(name: str) -> dict[str, Any]:
    path = PAS / f"{name}.json"
    if not path.is_file():
        pytest.skip("the public FHIR fixtures are not beside the checkout")
    found: dict[str, Any] = jsonio.loads(path.read_bytes())
    return found


@pytest.mark.shared
@pytest.mark.parametrize("name", ["Bundle-ErrorResponseBundleExample", "ClaimResponse-ErrorResponseExample"])
def test_pas_error_response(name: str) -> None:
    error = refusal(answer(pas(name)))
    assert (type(error), error.vendor_code) == (ClaimRejected, "04,T4")
    assert [(f.edit, f.expression) for f in error.findings] == [("fhir-04", "Claim"), ("fhir-T4", "Organization.name")]


@pytest.mark.shared
@pytest.mark.parametrize(
    "name",
    ["Bundle-ReferralAuthorizationResponseBundleExample", "Bundle-ReferralPendingAuthorizationResponseBundleExample"],
)
def test_an_authorization_is_no_acceptance_of_a_claim(name: str) -> None:
    assert replies.read_submission("Claim/$submit", answer(pas(name))).state is SubmissionState.RECEIVED


@pytest.mark.shared
def test_pas_invalid_request() -> None:
    error = refusal(answer(pas("OperationOutcome-InvalidRequestResponse"), 400))
    assert (type(error), error.vendor_code) == (ClaimRejected, "invalid")
