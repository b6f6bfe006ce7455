"""Which diagnoses an encounter has, in claim order (claim_profile section 9, generic_smart_fhir section 9)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.superbill import is_superbill
from gateway.kit.ehr_element import Element, code_values, codings
from gateway.kit.ehr_source import Known, Source

NOT_TRUE = frozenset({"entered-in-error", "refuted"})
LAST = 10**9
NO_DIAGNOSIS = "the encounter has no diagnosis, and a claim needs at least one"
ADD_DIAGNOSIS = "Add the diagnosis to the encounter in the EHR and sign it again."


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One diagnosis: its ICD-10-CM code with the dot, and the Condition that holds it where there is one."""

    code: str
    condition: Known | None


def diagnoses(source: Source, claim: Known | None) -> list[Diagnosis]:
    """The ICD-10-CM codes in order of rank, else of the EHR's Claim, else as listed, else by recorded date; each once.

    Those of a superbill are what was billed: they count more than the rank.

    Raises `MappingError` when there is none or one lacks its code.
    """
    listed = _billing(source.encounter.element.children("diagnosis"))
    ranked = any(entry.integer("rank") is not None for entry in listed)
    claimed = claim.element.children("diagnosis") if claim else []
    billed = claim is not None and is_superbill(claim.element.value)
    if (ranked and not (billed and claimed)) or (listed and not claimed):
        found = _of_encounter(sorted(listed, key=lambda e: _or_last(e.integer("rank"))), source)
    elif claim is not None and claimed:
        found = [claim_diagnosis(entry, claim, source) for entry in _in_sequence(claimed)]
    else:
        found = [Diagnosis(icd10cm(k.element, "code"), k) for k in _conditions(source)]
    if not found:
        raise MappingError("Encounter.diagnosis", NO_DIAGNOSIS, ADD_DIAGNOSIS)
    return list({d.code: d for d in reversed(found)}.values())[::-1]


def claim_diagnosis(entry: Element, claim: Known, source: Source) -> Diagnosis:
    """One Claim.diagnosis, coded in place or by its Condition."""
    reference = entry.child("diagnosisReference")
    if reference is None:
        return Diagnosis(icd10cm(entry, "diagnosisCodeableConcept"), None)
    condition = _condition(reference, claim, source)
    return Diagnosis(icd10cm(condition.element, "code"), condition)


def icd10cm(owner: Element, name: str) -> str:
    """The ICD-10-CM code of a concept, picked beside other systems; SNOMED CT is never mapped silently."""
    for coding in codings(owner, name):
        code = coding.text("code")
        if coding.text("system") == codes.ICD10CM and code:
            canonical = codes.icd10cm(code)
            if canonical is None:
                fix = "Correct the diagnosis code in the EHR, for example E11.9."
                raise MappingError(coding.at("code"), "this is not in the form of an ICD-10-CM code", fix)
            return canonical
    snomed = any(coding.text("system") == codes.SNOMED for coding in codings(owner, name))
    message = "has only a SNOMED code; it needs an ICD-10-CM code" if snomed else "has no ICD-10-CM code"
    raise MappingError(
        owner.at(name), f"the diagnosis {message}", "Add the ICD-10-CM code to this diagnosis in the EHR."
    )


def _billing(entries: list[Element]) -> list[Element]:
    """Those marked for billing where the EHR marks any; all of them elsewhere."""
    marked = [e for e in entries if (use := e.child("use")) is not None and "billing" in code_values(use)]
    return marked or entries


def _in_sequence(entries: list[Element]) -> list[Element]:
    return sorted(entries, key=lambda e: _or_last(e.integer("sequence")))


def _or_last(number: int | None) -> int:
    return LAST if number is None else number


def _of_encounter(entries: list[Element], source: Source) -> list[Diagnosis]:
    found = []
    for entry in entries:
        reference = entry.child("condition")
        if reference is None:
            raise MappingError(
                entry.at("condition"), "is missing, so this diagnosis is unknown", "Correct it in the EHR."
            )
        if "Procedure/" in (reference.text("reference") or ""):
            continue  # R4 lets a procedure stand here; it is no diagnosis
        condition = _condition(reference, source.encounter, source)
        if _is_true(condition):
            found.append(Diagnosis(icd10cm(condition.element, "code"), condition))
    return found


def _condition(reference: Element, owner: Known, source: Source) -> Known:
    condition = source.resolve(reference, owner)
    if condition is None or condition.resource_type != "Condition":
        raise MappingError(
            reference.path,
            "this names a diagnosis that the EHR does not give",
            "Check in the EHR that the diagnosis still exists, and that this client may read Condition.",
        )
    return condition


def _conditions(source: Source) -> list[Known]:
    """The encounter's own Conditions by recorded date; those of category encounter-diagnosis where any is."""
    own = source.encounter
    linked = [
        k for k in source.of_type("Condition") if source.resolve(k.element.child("encounter"), k) is own and _is_true(k)
    ]
    marked = [k for k in linked if _has_category(k, "encounter-diagnosis")]
    problems = [k for k in linked if _has_category(k, "problem-list-item") or _has_category(k, "health-concern")]
    chosen = marked or [k for k in linked if k not in problems] or linked
    return sorted(chosen, key=lambda k: k.element.text("recordedDate") or "9999")


def _is_true(condition: Known) -> bool:
    status = condition.element.child("verificationStatus")
    return status is None or not (code_values(status) & NOT_TRUE)


def _has_category(condition: Known, category: str) -> bool:
    return any(category in code_values(concept) for concept in condition.element.children("category"))
