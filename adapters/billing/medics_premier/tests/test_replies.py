"""What acknowledgments prove."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.billing.medics_premier import errors, replies
from adapters.billing.medics_premier.layout import Layout, arrange
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.findings import Severity
from gateway.canonical.models import ClaimOutcome, SubmissionState
from gateway.kit.encoders import hl7
from gateway.kit.encoders.hl7 import AckError, Acknowledgment

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
HEADER = "MSH|^~\\&|MEDICSPREMIER|0001|CLAIMGW|LAKESIDE|20260304141502||ACK^P03^ACK|A771|P|2.5.1\r"


@pytest.fixture(scope="module")
def layout() -> Layout:
    plain = {"transport": {"kind": "mllp", "host": "h", "port": 1}, "sending_facility": "a", "receiving_facility": "b"}
    overrides = {"ZFT-3": "item.locationCodeableConcept.coding.code", "FT1-13": "place.code"}
    return arrange(MedicsPremierSettings.model_validate({**plain, "field_overrides": overrides}))


def told(layout: Layout, code: str, *entries: AckError) -> replies.Verdict:
    return replies.verdict(Acknowledgment(code, "GW1-D", "A1", entries), layout)


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_acceptance(code: str, layout: Layout) -> None:
    assert told(layout, code) == replies.Verdict()
    assert told(layout, code, AckError("PID", 1, 8, code="103", severity="W")).problem is None


@pytest.mark.parametrize(
    ("code", "entry", "error", "meaning", "expression"),
    [
        ("AE", AckError("FT1", 2, 20, code="204"), ClaimRejected, ErrorCode.PROVIDER_NOT_FOUND, "Claim.careTeam"),
        ("AE", AckError("PV1", 1, 7, code="204"), ClaimRejected, ErrorCode.PROVIDER_NOT_FOUND, "Claim.careTeam"),
        ("AE", AckError("PV1", 1, 3, code="204"), ClaimRejected, ErrorCode.LOCATION_NOT_FOUND, "Claim.facility"),
        ("AE", AckError("FT1", 1, 13, code="204"), ClaimRejected, ErrorCode.LOCATION_NOT_FOUND, "Claim.facility"),
        (
            "AE",
            AckError("IN1", 1, 3, code="204"),
            ClaimRejected,
            ErrorCode.PAYER_UNKNOWN,
            "Claim.insurance[0].coverage.payor",
        ),
        (
            "AE",
            AckError("PID", 1, 3, 1, "204"),
            ClaimRejected,
            ErrorCode.PATIENT_INVALID,
            "Patient.identifier.where(type.coding.code='MR').value",
        ),
        (
            "AE",
            AckError("FT1", 2, 7, code="103"),
            ClaimRejected,
            ErrorCode.INVALID_PROCEDURE,
            "Claim.item[1].productOrService",
        ),
        (
            "CE",
            AckError("FT1", 1, 19, code="103"),
            ClaimRejected,
            ErrorCode.INVALID_DIAGNOSIS,
            "Claim.item[0].diagnosisSequence",
        ),
        ("AE", AckError("DG1", 3, 3, code="103"), ClaimRejected, ErrorCode.INVALID_DIAGNOSIS, "Claim.diagnosis[2]"),
        ("AE", AckError("FT1", 1, 26, code="103"), ClaimRejected, ErrorCode.INVALID_MODIFIER, "Claim.item[0].modifier"),
        ("AE", AckError("FT1", 1, 4, code="102"), ClaimRejected, ErrorCode.INVALID_DATE, "Claim.item[0].servicedDate"),
        (
            "AE",
            AckError("FT1", 1, 10, code="102"),
            ClaimRejected,
            ErrorCode.INVALID_AMOUNT,
            "Claim.item[0].quantity.value",
        ),
        (
            "AE",
            AckError("ZFT", 1, 3, code="103"),
            ClaimRejected,
            ErrorCode.PLACE_OF_SERVICE_INVALID,
            "Claim.item[0].locationCodeableConcept.coding.code",
        ),
        (
            "AE",
            AckError("GT1", 1, 3, code="101"),
            ClaimRejected,
            ErrorCode.MISSING_ELEMENT,
            "Claim.insurance[0].coverage.subscriber",
        ),
        ("AE", AckError("XYZ", 1, 3, code="101"), ClaimRejected, ErrorCode.MISSING_ELEMENT, "Claim"),
        ("AE", AckError(code="100"), ClaimRejected, ErrorCode.OTHER, "Claim"),
        ("AE", AckError("FT1", 1, 7, code="", application_code="X17"), ClaimRejected, ErrorCode.OTHER, ""),
        ("AR", AckError("MSH", 1, 9, code="200"), ClaimRejected, ErrorCode.UNSUPPORTED, "Claim"),
        ("AR", AckError("MSH", 1, 12, code="203"), ClaimRejected, ErrorCode.UNSUPPORTED, "Claim"),
        ("AR", AckError(code="206"), VendorUnavailable, ErrorCode.UNAVAILABLE, "Claim"),
        ("AR", AckError(code="207"), VendorUnavailable, ErrorCode.UNAVAILABLE, "Claim"),
        ("AR", AckError("MSH", 1, 3, code="204"), CredentialsRejected, ErrorCode.CREDENTIALS, "Claim"),
        ("AE", AckError("MSH", 1, 6, code="103"), CredentialsRejected, ErrorCode.CREDENTIALS, "Claim"),
        ("AE", AckError("PV1", 1, 50, code="205"), DuplicateClaim, ErrorCode.DUPLICATE, ""),
    ],
)
def test_refusals(
    code: str, entry: AckError, error: type[AdapterError], meaning: ErrorCode, expression: str, layout: Layout
) -> None:
    found = told(layout, code, entry)
    raised = found.error("DFT^P03")
    assert type(raised) is error
    assert raised.code is meaning
    if expression:
        assert [finding.expression for finding in raised.findings] == [expression]
    assert all(finding.edit.startswith("medics_premier-") for finding in found.findings)
    assert all(finding.message.endswith(".") and finding.fix for finding in found.findings if error is ClaimRejected)


def test_diagnoses_after_each_line_are_not_counted() -> None:
    plain = {"transport": {"kind": "mllp", "host": "h", "port": 1}, "sending_facility": "a", "receiving_facility": "b"}
    grouped = arrange(MedicsPremierSettings.model_validate({**plain, "diagnosis_groups": "per_line"}))
    found = told(grouped, "AE", AckError("DG1", 5, 3, code="103"))
    assert [finding.expression for finding in found.findings] == ["Claim.diagnosis"]


def test_refusals_without_a_code(layout: Layout) -> None:
    assert told(layout, "AE").problem is errors.WITHOUT_CODE["error"]
    assert told(layout, "AR").problem is errors.WITHOUT_CODE["reject"]
    assert told(layout, "??").problem is errors.UNREADABLE


def test_a_business_refusal_outweighs_a_passing_one_and_warnings_are_left_out(layout: Layout) -> None:
    entries = (
        AckError(code="207"),
        AckError("FT1", 1, 20, code="204"),
        AckError("PID", 1, 8, code="103", severity="W"),
        AckError("FT1", 2, 20, code="204"),
    )
    found = told(layout, "AE", *entries)
    assert (found.code, len(found.findings)) == (ErrorCode.PROVIDER_NOT_FOUND, 1)


@pytest.mark.parametrize(
    ("entries", "ours"),
    [
        ((AckError("FT1", 1, 2, code="205"),), True),
        ((AckError("MSH", 1, 10, code="205"), AckError("FT1", 1, 2, code="205")), True),
        ((AckError("FT1", 1, 7, code="205"),), False),
        ((AckError(code="205"),), False),
    ],
)
def test_a_duplicate_is_ours_only_by_our_own_id(entries: tuple[AckError, ...], ours: bool, layout: Layout) -> None:
    found = told(layout, "AE", *entries)
    assert (found.code, found.is_ours) == (ErrorCode.DUPLICATE, ours)


def read(layout: Layout, text: str, *, drops: bool = False) -> list[ClaimOutcome]:
    return replies.outcomes(text, layout, NOW, drops_duplicates=drops)


def test_a_file_of_acknowledgments(layout: Layout) -> None:
    text = (
        f"{HEADER}MSA|AA|GW1-A\r{HEADER}MSA|AA|GW1-D\r"
        f"{HEADER}MSA|AE|GW2-D\rERR||FT1^1^20|204^Unknown key^HL70357|E|||DOE, JANE not on file\r"
        f"{HEADER}MSA|AR|GW3-D\r{HEADER}MSA|AA|SOMEBODY\r{HEADER}MSA|??|GW4-D\r{HEADER}MSA|AE|GW5-A\r"
    )
    found = {outcome.submission_id: outcome for outcome in read(layout, text)}
    assert {name: outcome.evidence.state for name, outcome in found.items()} == {
        "GW1": SubmissionState.RECEIVED,
        "GW2": SubmissionState.REJECTED,
        "GW3": SubmissionState.REJECTED,
        "GW4": SubmissionState.SENT,
        "GW5": SubmissionState.SENT,
    }
    assert found["GW1"].evidence.reference == "AA GW1-D"
    assert found["GW2"].findings[0].expression == "Claim.careTeam"
    assert "JANE" not in str(found)
    assert found["GW3"].findings[0].fix
    assert {finding.severity for finding in found["GW5"].findings} == {Severity.WARNING}


def test_a_duplicate_in_a_file(layout: Layout) -> None:
    text = f"{HEADER}MSA|AE|GW1-D\rERR||FT1^1^2|205^Duplicate^HL70357|E\r"
    assert read(layout, text)[0].evidence.state is SubmissionState.SENT
    assert read(layout, text)[0].findings
    assert read(layout, text, drops=True)[0].evidence.state is SubmissionState.RECEIVED


@pytest.mark.parametrize("text", ["", "MSH|^~\\&|PM\rPID|1\r", "<html>", f"{HEADER}SCH|1\r"])
def test_a_file_without_an_acknowledgment(text: str, layout: Layout) -> None:
    with pytest.raises(UnexpectedResponse):
        read(layout, text)


@given(text=st.text(max_size=80))
def test_texts_of_the_receiver_are_never_passed_on(text: str) -> None:
    plain = {"transport": {"kind": "mllp", "host": "h", "port": 1}, "sending_facility": "a", "receiving_facility": "b"}
    arranged = arrange(MedicsPremierSettings.model_validate(plain))
    secret = "WEATHERBY" + hl7.escaped(text)
    message = f"{HEADER}MSA|AE|GW1-D|{secret}\rERR||FT1^1^20|204^{secret}^HL70357|E|||{secret}|{secret}\r"
    assert "WEATHERBY" not in str(read(arranged, message))
