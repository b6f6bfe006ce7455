"""Code systems and the few code tables that the canonical model itself needs (claim_profile section 8)."""

from __future__ import annotations

import re
from typing import Any

CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
HCPCS_ALIASES = frozenset(
    {
        HCPCS,
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "urn:oid:2.16.840.1.113883.6.285",
        "http://terminology.hl7.org/CodeSystem/HCPCS",
        "https://bluebutton.cms.gov/resources/codesystem/hcpcs",
    }
)
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10CM_ALIASES = frozenset({ICD10CM, "urn:oid:2.16.840.1.113883.6.90"})
SNOMED = "http://snomed.info/sct"
POS = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
NPI = "http://hl7.org/fhir/sid/us-npi"
NDC = "http://hl7.org/fhir/sid/ndc"
TAXONOMY = "http://nucc.org/provider-taxonomy"
EIN = "urn:oid:2.16.840.1.113883.4.4"
SSN = "http://hl7.org/fhir/sid/us-ssn"
THO = "http://terminology.hl7.org/CodeSystem"
IDENTIFIER_TYPE = f"{THO}/v2-0203"
ACT_CODE = f"{THO}/v3-ActCode"
CLAIM_TYPE = f"{THO}/claim-type"
PROCESS_PRIORITY = f"{THO}/processpriority"
CARE_TEAM_ROLE = "http://hl7.org/fhir/us/carin-bb/CodeSystem/C4BBClaimCareTeamRole"
DIAGNOSIS_TYPE = f"{THO}/ex-diagnosistype"
SUPPORTING_INFO = f"{THO}/claiminformationcategory"
RELATED_CLAIM = f"{THO}/ex-relatedclaimrelationship"
COVERAGE_CLASS = f"{THO}/coverage-class"
RELATIONSHIP = f"{THO}/subscriber-relationship"

CLAIM_IDENTIFIER = "urn:fhir-billing-gateway:claim"
ACCOUNT_IDENTIFIER = "urn:fhir-billing-gateway:patient-account"
PAYER_IDENTIFIER = "urn:fhir-billing-gateway:payer-id"
SUPERBILL_IDENTIFIER = "urn:fhir-billing-gateway:superbill"
PROFILE_BASE = "https://fhir-billing-gateway.org/fhir/StructureDefinition"

_CPT_FORM = re.compile(r"\d{4}[0-9FTU]")
_HCPCS_FORM = re.compile(r"[A-V]\d{4}")
_ICD10CM_FORM = re.compile(r"[A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?")
_NDC_FORM = re.compile(r"(\d{4,5})-(\d{3,4})-(\d{1,2})")
_MODIFIER_FORM = re.compile(r"[0-9A-Z]{2}")


def concept(system: str, code: str) -> dict[str, Any]:
    """A CodeableConcept of one coding, without display: descriptors of CPT are licensed."""
    return {"coding": [{"system": system, "code": code}]}


def procedure_system(code: str) -> str | None:
    """CPT or HCPCS Level II by the code's form, or None when it has neither form."""
    if _CPT_FORM.fullmatch(code):
        return CPT
    return HCPCS if _HCPCS_FORM.fullmatch(code) else None


def icd10cm(code: str) -> str | None:
    """An ICD-10-CM code in canonical form (upper case, with the dot), or None when it has not that form."""
    plain = code.strip().upper().replace(".", "")
    dotted = plain if len(plain) <= 3 else f"{plain[:3]}.{plain[3:]}"
    return dotted if _ICD10CM_FORM.fullmatch(dotted) else None


def modifier(code: str) -> str | None:
    """A procedure modifier in canonical form, or None when it has not that form."""
    plain = code.strip().upper()
    return plain if _MODIFIER_FORM.fullmatch(plain) else None


def ndc(code: str) -> str | None:
    """A National Drug Code as its 11 digits (5-4-2), or None when it has not that form.

    The short forms are filled up with zeros where hyphens show which part is short; without them nobody can know.
    """
    plain = code.strip()
    match = _NDC_FORM.fullmatch(plain)
    if match:
        return "".join(part.zfill(size) for part, size in zip(match.groups(), (5, 4, 2), strict=True))
    return plain if re.fullmatch(r"[0-9]{11}", plain) else None


def npi_is_valid(npi: str) -> bool:
    """Ten digits whose Luhn check digit holds over the prefix 80840 (CMS NPI standard)."""
    if not re.fullmatch(r"[12][0-9]{9}", npi):
        return False
    digits = [int(c) for c in "80840" + npi]
    doubled = [d if i % 2 else sum(divmod(d * 2, 10)) for i, d in enumerate(reversed(digits), start=1)]
    return sum(doubled) % 10 == 0


def codings(concept_: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The codings of a CodeableConcept, tolerant of its absence."""
    return list((concept_ or {}).get("coding") or [])


def identifier(resource: dict[str, Any], system: str) -> str | None:
    """The value of a resource's first identifier of a system."""
    return next(
        (i["value"] for i in resource.get("identifier") or [] if i.get("system") == system and i.get("value")),
        None,
    )


def procedure_modifier_system(code: str) -> str:
    """CPT lists the modifiers of two digits (and those of anaesthesia status P1-P6), HCPCS Level II the others."""
    return CPT if re.fullmatch(r"\d\d|P[1-6]", code) else HCPCS
