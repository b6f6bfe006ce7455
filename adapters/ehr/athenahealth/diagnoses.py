"""athenahealth's diagnoses are SNOMED CT first; a claim needs the ICD-10-CM codes beside them. Pure (section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.ehr.athenahealth.slip import plain
from adapters.ehr.athenahealth.values import rank, text
from gateway.canonical import codes
from gateway.canonical.codes import codings
from gateway.canonical.errors import MappingError
from gateway.canonical.models import Resource
from gateway.kit.ehr_reading import Rule

Row = Mapping[str, Any]
_ICD10 = "ICD10"


def lacks_icd10(diagnosis: Row) -> bool:
    """Whether the diagnosis itself has no ICD-10 code: FHIR may then have one."""
    return not _own_codes(diagnosis)


def conditions(diagnoses: Sequence[Row], beside: Iterable[Resource], belongs: Mapping[str, Any]) -> list[Resource]:
    """One Condition per ICD-10 code in claim order; one with the SNOMED code alone where there is none.

    Order is by `ranking`, then as listed; several codes of one diagnosis keep theirs. `beside` are the FHIR Conditions
    of the encounter, asked for the ICD-10 code beside a SNOMED code; `belongs` are the references to whom it belongs.
    """
    known = list(beside)
    ordered = sorted(enumerate(diagnoses), key=lambda pair: (rank(pair[1].get("ranking")), pair[0]))
    return [
        _condition(f"{text(diagnosis.get('diagnosisid')) or index}-{n}", snomed, code, belongs)
        for index, diagnosis in ordered
        for snomed in [text(diagnosis.get("snomedcode"))]
        for n, code in enumerate(_own_codes(diagnosis) or list(_beside(snomed, known)) or [""])
    ]


def uncoded(conditions_: Sequence[Resource]) -> list[MappingError]:
    """That a diagnosis has no ICD-10 code, neither in v1 nor in FHIR: a SNOMED code is never mapped silently."""
    bare = [c for c in conditions_ if not code_of(c)]
    kind = "has only a SNOMED code; it needs an ICD-10-CM code"
    return [
        MappingError(
            "diagnosis.icdcodes",
            f"the diagnosis {kind if codings(condition['code']) else 'has no ICD-10-CM code'}",
            "Choose the ICD-10 code of this diagnosis in athenahealth.",
        )
        for condition in bare
    ]


def code_of(condition: Resource) -> str:
    """The ICD-10 code of a Condition of `conditions` as `plain` writes it; empty when it has none."""
    return next((plain(c["code"]) for c in codings(condition["code"]) if c["system"] == codes.ICD10CM), "")


def _own_codes(diagnosis: Row) -> list[str]:
    held = diagnosis.get("icdcodes")
    listed = [entry for entry in held if isinstance(entry, dict)] if isinstance(held, list) else []
    found = [text(entry.get("code")) for entry in listed if _is_icd10(entry)]
    return [code for code in (found or [text(diagnosis.get("diagnosiscode"))]) if code]


def _is_icd10(entry: Row) -> bool:
    return text(entry.get("codeset", _ICD10)).upper().replace("-", "").startswith(_ICD10)


def _beside(snomed: str, known: Iterable[Resource]) -> Iterator[str]:
    for condition in known:
        held = {(text(c.get("system")), text(c.get("code"))) for c in codings(condition.get("code"))}
        if snomed and (codes.SNOMED, snomed) in held:
            yield from (text(c.get("code")) for c in codings(condition.get("code")) if _is_icd10cm(c))
            return


def _is_icd10cm(coding: Row) -> bool:
    return coding.get("system") in codes.ICD10CM_ALIASES


def _condition(condition_id: str, snomed: str, code: str, belongs: Mapping[str, Any]) -> Resource:
    pairs = ((codes.SNOMED, snomed), (codes.ICD10CM, code))
    return {
        "resourceType": "Condition",
        "id": condition_id,
        "code": {"coding": [{"system": system, "code": value} for system, value in pairs if value]},
        **belongs,
    }


DIAGNOSIS_RULES = (Rule("code", "diagnosis.icdcodes.code | diagnosis.diagnosiscode | Condition.code", conditions),)
"""Where the codes come from; one rule makes all Conditions, as their order is part of it."""
