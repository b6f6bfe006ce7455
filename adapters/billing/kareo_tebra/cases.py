"""Which case of a patient a claim is billed on (sections 5 and 8). Pure.

Tebra keeps accident and onset on the case, and `GetPatient` shows neither: a case that the gateway makes for them
tells them in its name, "[auto accident FL 2026-03-01, onset 2026-03-02] Gulf Auto Insurance". The label in brackets
is the key: a claim is billed only on a case of the same label, and a claim without accident and onset on none that
has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from adapters.billing.kareo_tebra import operations
from adapters.billing.kareo_tebra.case_names import label_of
from adapters.billing.kareo_tebra.errors import refused
from adapters.billing.kareo_tebra.replies import PatientCase
from gateway.canonical.errors import ClaimRejected, ErrorCode

_LABEL_FORM = "[<auto, work or other> accident <state, if auto> <date>, onset <date>]"

Document = Mapping[str, Any]


def lacks_case(cases: Sequence[PatientCase], document: Document) -> bool:
    """Whether no case at all is for the claim's accident and onset, or for neither when it has neither."""
    return not _same_label(cases, document)


def matching_case(cases: Sequence[PatientCase], document: Document) -> PatientCase | None:
    """The case of the claim's label whose policies in force on the day of service begin with the claim's, in order.

    The one with the fewest further policies wins, then the patient's primary case, then the first listed.
    """
    day = _service_day(document)
    wanted = _numbers(document)
    fitting = []
    for case in _same_label(cases, document):
        numbers = [_plain(policy.number) for policy in case.policies if policy.in_force(day)]
        if numbers[: len(wanted)] == wanted:
            fitting.append((len(numbers), not case.primary, case))
    return min(fitting, key=lambda entry: entry[:2])[2] if fitting else None


def case_problem(cases: Sequence[PatientCase], document: Document) -> ClaimRejected | None:
    """Why the claim cannot be billed on any of the cases, for the biller; None when it can."""
    case = matching_case(cases, document)
    return coverage_problem(cases, document) if case is None else authorization_problem(case, document)


def coverage_problem(cases: Sequence[PatientCase], document: Document) -> ClaimRejected:
    """Why no case fits, for the biller."""
    same = _same_label(cases, document)
    if not same and label_of(document["case"].get("CaseName", "")):
        return refused(
            operations.GET_PATIENT,
            ErrorCode.COVERAGE_MISSING,
            "Claim.accident" if "AccidentDate" in document["case"]["Dates"] else "Claim.supportingInfo",
            "The patient has no case in Tebra for this accident or onset",
            f"Add the case in Tebra with a name that begins with {_LABEL_FORM}, then send the claim again.",
        )
    day, wanted = _service_day(document), _numbers(document)
    policies = [policy for case in same for policy in case.policies]
    code, message = (
        ErrorCode.COVERAGE_MISMATCH,
        "No case of the patient in Tebra has the claim's policies in this order",
    )
    if not policies:
        code, message = ErrorCode.COVERAGE_MISSING, "The patient has no insurance policy in Tebra"
    elif any(_plain(policy.number) == wanted[0] and not policy.in_force(day) for policy in policies):
        code, message = ErrorCode.COVERAGE_INACTIVE, "The policy in Tebra is not in force on the date of service"
    return refused(
        operations.GET_PATIENT,
        code,
        "Claim.insurance",
        message,
        "Correct the case in Tebra (policy number, order, dates) or the coverage in the EHR, then send it again.",
    )


def authorization_problem(case: PatientCase, document: Document) -> ClaimRejected | None:
    """An authorization that Tebra knows, but not for the day of service. One that it does not know is the EHR's."""
    number, day = _plain(document["encounter"].get("AuthorizationNumber", "")), _service_day(document)
    known = [a for policy in case.policies for a in policy.authorizations if number and _plain(a.number) == number]
    if not known or any(authorization.in_force(day) for authorization in known):
        return None
    return refused(
        operations.GET_PATIENT,
        ErrorCode.MISSING_PRIOR_AUTHORIZATION,
        "Claim.insurance[0].preAuthRef",
        "The prior authorization is in Tebra, but not in force on the date of service",
        "Correct its dates in Tebra, or the authorization in the EHR, then send the claim again.",
    )


def _same_label(cases: Sequence[PatientCase], document: Document) -> list[PatientCase]:
    wanted = label_of(document["case"].get("CaseName", ""))
    return [case for case in cases if label_of(case.name) == wanted]


def _service_day(document: Document) -> date:
    return date.fromisoformat(document["encounter"]["ServiceStartDate"][:10])


def _numbers(document: Document) -> list[str]:
    return [_plain(policy["PolicyNumber"]) for policy in document["case"]["Policies"]]


def _plain(number: str) -> str:
    return "".join(filter(str.isalnum, number)).upper()
