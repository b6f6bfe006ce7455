"""The professional claim JSON that Stedi and Optum share (section 6): required members, and the claim that it tells."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.billing.x12_837p.simulator.claims import Claim, Line, Person, Provider, amount

Json = Mapping[str, Any]
_NAME = r".{1,60}"
_ID = r"[ -~]{1,80}"
_NPI = r"\d{10}"
_DATE = r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_AMOUNT = r"\d{1,8}(\.\d{1,2})?"
_YES_NO = r"[NY]"
_ADDRESS = {"address1": _NAME, "city": _NAME, "state": r"[A-Z]{2}", "postalCode": r"\d{5}(\d{4})?"}
_PERSON = {"firstName": _NAME, "lastName": _NAME, "gender": r"[FMU]", "dateOfBirth": _DATE}

REQUIRED = {
    "tradingPartnerServiceId": _ID,
    "submitter.organizationName": _NAME,
    "submitter.submitterIdentification": _ID,
    "submitter.contactInformation.name": _NAME,
    "submitter.contactInformation.phoneNumber": r"\d{10}",
    "receiver.organizationName": _NAME,
    "billing.npi": _NPI,
    "billing.providerType": "BillingProvider",
    **{f"billing.address.{name}": pattern for name, pattern in _ADDRESS.items()},
    "subscriber.memberId": _ID,
    "subscriber.lastName": _NAME,
    "subscriber.paymentResponsibilityLevelCode": r"[A-HPSTU]",
    "claimInformation.claimFilingCode": r"[A-Z0-9]{2}",
    "claimInformation.patientControlNumber": r"[ -~]{1,20}",
    "claimInformation.claimChargeAmount": _AMOUNT,
    "claimInformation.placeOfServiceCode": r"\d{2}",
    "claimInformation.claimFrequencyCode": r"[178]",
    "claimInformation.signatureIndicator": _YES_NO,
    "claimInformation.planParticipationCode": r"[ABC]",
    "claimInformation.benefitsAssignmentCertificationIndicator": r"[NWY]",
    "claimInformation.releaseInformationCode": r"[IY]",
    "claimInformation.healthCareCodeInformation": "",
    "claimInformation.serviceLines": "",
}
"""Members that every claim has, and the pattern of their text; an empty pattern is a list with something in it."""

_DEPENDENT = {**_PERSON, "relationshipToSubscriberCode": r"01|19|20|21|39|40|53|G8"}
_DIAGNOSIS = {"diagnosisTypeCode": r"ABK|ABF|BK|BF", "diagnosisCode": r"[A-Z0-9]{3,7}"}
_LINE = {
    "serviceDate": _DATE,
    "professionalService.procedureIdentifier": r"HC|ER|IV|WK",
    "professionalService.procedureCode": r"[A-Z0-9]{5}",
    "professionalService.lineItemChargeAmount": _AMOUNT,
    "professionalService.measurementUnit": r"UN|MJ",
    "professionalService.serviceUnitCount": r"\d{1,8}(\.\d{1,3})?",
    "professionalService.compositeDiagnosisCodePointers.diagnosisCodePointers": "",
}
_PROVIDER_ENTITIES = {"rendering": "82", "referring": "DN", "supervising": "DQ"}


@dataclass(frozen=True, slots=True)
class MemberError:
    """A member that is missing or malformed."""

    field: str
    code: str
    value: str = ""


def member_errors(body: Json) -> list[MemberError]:
    """Everything that is wrong with the form of a claim."""
    return list(_errors(body))


def _errors(body: Json) -> Iterator[MemberError]:
    yield from _members(body, "", REQUIRED)
    claim, billing, subscriber = (_object(body.get(name)) for name in ("claimInformation", "billing", "subscriber"))
    if not billing.get("employerId") and not billing.get("ssn"):
        yield MemberError("billing.employerId", "MISSING")
    if not billing.get("organizationName") and not billing.get("lastName"):
        yield MemberError("billing.organizationName", "MISSING")
    if "dependent" in body:
        yield from _members(body["dependent"], "dependent.", _DEPENDENT)
    else:
        yield from _members(subscriber, "subscriber.", _PERSON)
        yield from _members(subscriber.get("address"), "subscriber.address.", _ADDRESS)
    for number, each in enumerate(_rows(claim.get("healthCareCodeInformation"))):
        yield from _members(each, f"claimInformation.healthCareCodeInformation[{number}].", _DIAGNOSIS)
    for number, line in enumerate(_rows(claim.get("serviceLines"))):
        yield from _members(line, f"claimInformation.serviceLines[{number}].", _LINE)


def _members(holder: Any, path: str, rules: Mapping[str, str]) -> Iterator[MemberError]:
    for name, pattern in rules.items():
        value = _at(holder, name)
        if value in (None, "", [], {}):
            yield MemberError(path + name, "MISSING")
        elif not pattern:
            if not isinstance(value, list):
                yield MemberError(path + name, "INVALID")
        elif not isinstance(value, str) or not re.fullmatch(pattern, value):
            yield MemberError(path + name, "INVALID", str(value))


def _at(holder: Any, path: str) -> Any:
    for name in path.split("."):
        holder = _object(holder).get(name)
    return holder


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _word(holder: Json, name: str) -> str:
    value = holder.get(name, "")
    return value if isinstance(value, str) else ""


def claim_of(body: Json, payer_name: str, submission_id: str) -> Claim:
    """The claim of a body without errors; without a `submission_id` the claim's own number is its trace."""
    information, subscriber = body["claimInformation"], body["subscriber"]
    supplement = _object(information.get("claimSupplementalInformation"))
    patient = body.get("dependent", subscriber)
    people = [_word(_object(person.get("address")), "postalCode") for person in (subscriber, patient)]
    return Claim(
        account=information["patientControlNumber"],
        submission_id=submission_id or _word(supplement, "claimNumber"),
        frequency=information["claimFrequencyCode"],
        prior_control=_word(supplement, "claimControlNumber"),
        filing=information["claimFilingCode"],
        total=amount(information["claimChargeAmount"]),
        payer_id=body["tradingPartnerServiceId"],
        payer_name=_word(body, "tradingPartnerName") or payer_name,
        patient=Person(patient["lastName"], _word(patient, "firstName"), _word(patient, "middleName")),
        member_id=subscriber["memberId"],
        billing=_provider("85", body["billing"]),
        providers=tuple(_providers(body)),
        diagnoses=tuple(each["diagnosisCode"] for each in information["healthCareCodeInformation"]),
        lines=tuple(_line(line) for line in information["serviceLines"]),
        postal_codes=tuple(code for code in people if code),
    )


def _providers(body: Json) -> Iterator[Provider]:
    for role, entity in _PROVIDER_ENTITIES.items():
        if role in body:
            yield _provider(entity, body[role])
    information = body["claimInformation"]
    if "serviceFacilityLocation" in information:
        yield _provider("77", information["serviceFacilityLocation"])
    for line in information["serviceLines"]:
        if "renderingProvider" in line:
            yield _provider("82", line["renderingProvider"])


def _provider(entity: str, member: Any) -> Provider:
    member = _object(member)
    address = _object(member.get("address"))
    name = _word(member, "organizationName") or _word(member, "lastName")
    return Provider(entity, name, _word(member, "npi"), _word(address, "address1"), _word(address, "postalCode"))


def _line(line: Json) -> Line:
    service = line["professionalService"]
    return Line(
        control=_word(line, "providerControlNumber"),
        procedure=service["procedureCode"],
        charge=amount(service["lineItemChargeAmount"]),
        pointers=tuple(str(pointer) for pointer in service["compositeDiagnosisCodePointers"]["diagnosisCodePointers"]),
        first_day=line["serviceDate"],
    )
