"""The members of the professional claim JSON that Stedi and Optum share (section 6): the rows with other targets.

A member is mapped by the very row that writes its X12 element, so both forms say the same and refuse the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from adapters.billing.x12_837p import rows
from adapters.billing.x12_837p.segments import Element, rows_of

Members = tuple[Element, ...]


def _like(loop: rows.Loop, members: Mapping[str, str]) -> Members:
    known = {row.target: row for row in reversed(rows_of(loop))}  # of a day and a period the day comes first
    return tuple(replace(known[target], target=member) for member, target in members.items())


def _name(loop: str) -> dict[str, str]:
    return {
        "lastName": f"{loop} NM103",
        "firstName": f"{loop} NM104",
        "middleName": f"{loop} NM105",
        "suffix": f"{loop} NM107",
    }


def _address(loop: str, inside: str = "address") -> dict[str, str]:
    return {
        f"{inside}.address1": f"{loop} N301",
        f"{inside}.address2": f"{loop} N302",
        f"{inside}.city": f"{loop} N401",
        f"{inside}.state": f"{loop} N402",
        f"{inside}.postalCode": f"{loop} N403",
        f"{inside}.countryCode": f"{loop} N404",
    }


def _birth(loop: str) -> dict[str, str]:
    return {"dateOfBirth": f"{loop} DMG02", "gender": f"{loop} DMG03"}


def _provider(loop: rows.Loop, name: str, *, taxonomy: bool = False) -> Members:
    special = {"taxonomyCode": f"{name} PRV03"} if taxonomy else {}
    return _like(loop, {"npi": f"{name} NM109", **_name(name), **special})


BILLING = _like(
    rows.BILLING,
    {
        "npi": "2010AA NM109",
        "organizationName": "2010AA NM103",
        "taxonomyCode": "2000A PRV03",
        "employerId": "2010AA REF02 (EI)",
        **_address("2010AA"),
    },
)
_INSURED = {
    "memberId": "2010BA NM109",
    **_name("2010BA"),
    "paymentResponsibilityLevelCode": "2000B SBR01",
    "groupNumber": "2000B SBR03",
    "subscriberGroupName": "2000B SBR04",
    "insuranceTypeCode": "2000B SBR05",
    **_birth("2010BA"),
    **_address("2010BA"),
}
SUBSCRIBER_IS_PATIENT = _like((*rows.SUBSCRIBER, *rows.SUBSCRIBER_IS_PATIENT), _INSURED)
SUBSCRIBER_IS_OTHER = _like((*rows.SUBSCRIBER, *rows.SUBSCRIBER_IS_OTHER), _INSURED)
PAYER = _like(rows.PAYER, {"tradingPartnerServiceId": "2010BB NM109", "tradingPartnerName": "2010BB NM103"})
PAYER_ADDRESS = _like(rows.PAYER, _address("2010BB", "payerAddress"))
DEPENDENT = _like(
    (*rows.PATIENT, *rows.PATIENT_NAME),
    {**_name("2010CA"), **_birth("2010CA"), "relationshipToSubscriberCode": "2000C PAT01", **_address("2010CA")},
)
CLAIM = _like(
    (*rows.SUBSCRIBER, *rows.CLAIM),
    {
        "claimFilingCode": "2000B SBR09",
        "patientControlNumber": "2300 CLM01",
        "claimChargeAmount": "2300 CLM02",
        "placeOfServiceCode": "2300 CLM05-1",
        "claimFrequencyCode": "2300 CLM05-3",
        "relatedCausesCode": "2300 CLM11-1",
        "autoAccidentStateCode": "2300 CLM11-4",
        "patientAmountPaid": "2300 AMT02 (F5)",
        "claimDateInformation.symptomDate": "2300 DTP03 (431)",
        "claimDateInformation.accidentDate": "2300 DTP03 (439)",
        "claimDateInformation.admissionDateAndHour": "2300 DTP03 (435)",
        "claimDateInformation.dischargeDate": "2300 DTP03 (096)",
        "claimSupplementalInformation.referralNumber": "2300 REF02 (9F)",
        "claimSupplementalInformation.priorAuthorizationNumber": "2300 REF02 (G1)",
        "claimSupplementalInformation.claimControlNumber": "2300 REF02 (F8)",
        "claimSupplementalInformation.claimNumber": "2300 REF02 (D9)",
        "claimSupplementalInformation.medicalRecordNumber": "2300 REF02 (EA)",
        "claimNote.additionalInformation": "2300 NTE02",
    },
)
CLAIM_CONSTANTS = {
    "signatureIndicator": "Y",
    "planParticipationCode": "A",
    "benefitsAssignmentCertificationIndicator": "Y",
    "releaseInformationCode": "Y",
}
"""CLM06 to CLM09."""
FACILITY = _like(rows.FACILITY, {"organizationName": "2310C NM103", "npi": "2310C NM109", **_address("2310C")})
PROVIDERS = {
    "rendering": ("RenderingProvider", _provider(rows.RENDERING, "2310B", taxonomy=True)),
    "referring": ("ReferringProvider", _provider(rows.REFERRING, "2310A")),
    "supervisor": ("SupervisingProvider", _provider(rows.SUPERVISING, "2310D")),
}
"""Role of the care team to the vendor's kind and members; the role's own member has the role's name."""
LINE_RENDERING = _provider(rows.LINE_RENDERING, "2420A", taxonomy=True)
ORDERING = _provider(rows.ORDERING, "2420E")
OTHER = _like(
    rows.OTHER_SUBSCRIBER,
    {
        "paymentResponsibilityLevelCode": "2320 SBR01",
        "individualRelationshipCode": "2320 SBR02",
        "insuranceGroupOrPolicyNumber": "2320 SBR03",
        "otherInsuredGroupName": "2320 SBR04",
        "insuranceTypeCode": "2320 SBR05",
        "claimFilingIndicatorCode": "2320 SBR09",
        "otherSubscriberName.otherInsuredLastName": "2330A NM103",
        "otherSubscriberName.otherInsuredFirstName": "2330A NM104",
        "otherSubscriberName.otherInsuredMiddleName": "2330A NM105",
        "otherSubscriberName.otherInsuredNameSuffix": "2330A NM107",
        "otherSubscriberName.otherInsuredIdentifier": "2330A NM109",
        **_address("2330A", "otherSubscriberName.otherInsuredAddress"),
        "otherPayerName.otherPayerOrganizationName": "2330B NM103",
        "otherPayerName.otherPayerIdentifier": "2330B NM109",
        **_address("2330B", "otherPayerName.otherPayerAddress"),
    },
)
OTHER_CONSTANTS = {
    "benefitsAssignmentCertificationIndicator": "Y",
    "releaseOfInformationCode": "Y",
    "otherSubscriberName.otherInsuredQualifier": "1",
    "otherSubscriberName.otherInsuredIdentifierTypeCode": "MI",
    "otherPayerName.otherPayerIdentifierTypeCode": "PI",
}
LINE = _like(
    rows.LINE,
    {
        "assignedNumber": "2400 LX01",
        "providerControlNumber": "2400 REF02 (6R)",
        "serviceDate": "2400 DTP03 (472)",
        "additionalNotes": "2400 NTE02",
        "professionalService.procedureCode": "2400 SV101-2",
        "professionalService.lineItemChargeAmount": "2400 SV102",
        "professionalService.measurementUnit": "2400 SV103",
        "professionalService.serviceUnitCount": "2400 SV104",
        "professionalService.placeOfServiceCode": "2400 SV105",
    },
)
MODIFIERS = tuple(row for row in rows_of(rows.LINE) if row.target in {f"2400 SV101-{n}" for n in range(3, 7)})
POINTERS = tuple(row for row in rows_of(rows.LINE) if row.target.startswith("2400 SV107"))
DRUG = _like(
    rows.DRUG,
    {
        "nationalDrugCode": "2410 LIN03",
        "nationalDrugUnitCount": "2410 CTP04",
        "measurementUnitCode": "2410 CTP05-1",
    },
)
