"""The rows that make US Core resources canonical. A vendor's mapping takes them whole and changes single ones.

A target that ends in `[]` collects into a list. Elements that no row names are not carried: narrative, extensions,
and identifiers that a claim does not need (a patient's social security number among them).
Source: shared standards claim_profile sections 2, 3 and 8.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.canonical import codes
from gateway.kit.mapping import Row, same

Via = Callable[[Any], Any]


def shape(**members: Via) -> Via:
    """An object with only these members, each transformed; anything but an object is left for the validator."""

    def via(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: member(value[name]) for name, member in members.items() if name in value}

    via.__doc__ = f"Of it only {', '.join(members)}."
    return via


def each(member: Via) -> Via:
    """Every element of a list, transformed; anything but a list is left for the validator."""

    def via(value: Any) -> Any:
        return [member(element) for element in value] if isinstance(value, list) else value

    via.__doc__ = f"Each: {member.__doc__}"
    return via


period = shape(start=same, end=same)
coding = shape(system=same, version=same, code=same, display=same)
reference = shape(reference=same, type=same, identifier=same, display=same)
human_name = shape(use=same, text=same, family=same, given=same, prefix=same, suffix=same)
telecom = shape(system=same, value=same, use=same)
address = shape(use=same, type=same, line=same, city=same, district=same, state=same, postalCode=same, country=same)


def bare_coding(value: Any) -> Any:
    """A coding; of a licensed code system without its descriptor."""
    kept = coding(value)
    if isinstance(kept, dict) and kept.get("system") == codes.CPT:
        return {name: member for name, member in kept.items() if name != "display"}
    return kept


concept = shape(coding=each(bare_coding))
concept_with_text = shape(coding=each(bare_coding), text=same)
identifier = shape(use=same, type=concept, system=same, value=same)


def taxonomy(code: Any) -> Any:
    """A provider taxonomy code as a qualification."""
    return {"code": codes.concept(codes.TAXONOMY, code)} if isinstance(code, str) else code


@dataclass(frozen=True, slots=True)
class Each:
    """Every element of a repeating element, transformed."""

    name: str
    via: Via


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to rewrite, at a path of one or two steps; `types` are those it may lead to.

    One that leads nowhere is dropped with the list element that holds it, unless it is required.
    `mint` makes a resource of that type from a reference that has only an identifier or a name.
    """

    path: str
    types: tuple[str, ...]
    required: bool = False
    mint: str = ""


@dataclass(frozen=True, slots=True)
class ResourceMap:
    """How one resource type becomes canonical."""

    rows: tuple[Row, ...]
    lists: tuple[Each, ...] = ()
    links: tuple[Link, ...] = ()


_PREFERRED_NAME = "{0}.name.where(use='official') | {0}.name.where(use='usual') | {0}.name"
_HOME_ADDRESS = "{0}.address.where(use='home') | {0}.address.where(use='billing') | {0}.address"


def _person(root: str, *, required: bool) -> tuple[Row, ...]:
    """Name, contact, gender, birth date and address: boxes 2-7 of the CMS-1500."""
    return (
        Row(
            "name[]",
            _PREFERRED_NAME.format(root),
            human_name,
            required,
            note="the person has no name",
            fix="Enter the name in the EHR's demographics.",
        ),
        Row("telecom[]", f"{root}.telecom.where(system='phone')", telecom),
        Row("gender", f"{root}.gender"),
        Row(
            "birthDate",
            f"{root}.birthDate",
            required=required,
            note="the patient has no birth date, and a claim needs it",
            fix="Enter the date of birth in the EHR's demographics.",
        ),
        Row("address[]", _HOME_ADDRESS.format(root), address),
    )


US_CORE: Mapping[str, ResourceMap] = {
    "Encounter": ResourceMap(
        rows=(
            Row("identifier[]", "Encounter.identifier", identifier),
            Row("status", "Encounter.status"),
            Row("class", "Encounter.class", bare_coding),
            Row("subject", "Encounter.subject", reference),
            Row("period", "Encounter.period", period),
            Row("serviceProvider", "Encounter.serviceProvider", reference),
        ),
        lists=(
            Each("type", concept),
            Each("participant", shape(type=each(concept_with_text), period=period, individual=reference)),
            Each("location", shape(location=reference, status=same, period=period)),
        ),
        links=(
            Link("subject", ("Patient",), required=True),
            Link("participant.individual", ("Practitioner",), mint="Practitioner"),
            Link("location.location", ("Location",)),
            Link("serviceProvider", ("Organization",)),
        ),
    ),
    "Patient": ResourceMap(
        rows=(
            Row(
                "identifier[]",
                "Patient.identifier.where(type.coding.code='MR') | Patient.identifier.where(use='usual')",
                identifier,
            ),
            *_person("Patient", required=True),
        )
    ),
    "RelatedPerson": ResourceMap(
        rows=(Row("patient", "RelatedPerson.patient", reference), *_person("RelatedPerson", required=False)),
        lists=(Each("relationship", concept_with_text),),
        links=(Link("patient", ("Patient",), required=True),),
    ),
    "Coverage": ResourceMap(
        rows=(
            Row("identifier[]", "Coverage.identifier.where(type.coding.code='MB')", identifier),
            Row("status", "Coverage.status"),
            Row("type", "Coverage.type", concept_with_text),
            Row("subscriber", "Coverage.subscriber", reference),
            Row("subscriberId", "Coverage.subscriberId | Coverage.identifier.where(type.coding.code='MB').value"),
            Row("beneficiary", "Coverage.beneficiary", reference),
            Row("dependent", "Coverage.dependent"),
            Row("relationship", "Coverage.relationship", concept_with_text),
            Row("period", "Coverage.period", period),
        ),
        lists=(Each("payor", reference), Each("class", shape(type=concept, value=same, name=same))),
        links=(
            Link("beneficiary", ("Patient",), required=True),
            Link("subscriber", ("Patient", "RelatedPerson")),
            Link("payor", ("Organization", "Patient", "RelatedPerson"), required=True, mint="Organization"),
        ),
    ),
    "Practitioner": ResourceMap(
        rows=(
            Row("identifier[]", f"Practitioner.identifier.where(system='{codes.NPI}')", identifier),
            Row("name[]", _PREFERRED_NAME.format("Practitioner"), human_name),
            Row("telecom[]", "Practitioner.telecom.where(system='phone')", telecom),
            Row("address[]", "Practitioner.address.where(use='work') | Practitioner.address", address),
            Row(
                "qualification[]",
                f"Practitioner.qualification.code.coding.where(system='{codes.TAXONOMY}').code"
                f" | PractitionerRole.specialty.coding.where(system='{codes.TAXONOMY}').code",
                taxonomy,
            ),
        )
    ),
    "Organization": ResourceMap(
        rows=(
            Row("active", "Organization.active"),
            Row("name", "Organization.name"),
            Row("telecom[]", "Organization.telecom.where(system='phone')", telecom),
            Row("address[]", "Organization.address.where(use='billing') | Organization.address", address),
        ),
        lists=(Each("identifier", identifier), Each("type", concept_with_text)),
    ),
    "Location": ResourceMap(
        rows=(
            Row("status", "Location.status"),
            Row("name", "Location.name"),
            Row("telecom[]", "Location.telecom.where(system='phone')", telecom),
            Row("address", "Location.address", address),
        ),
        lists=(Each("identifier", identifier), Each("type", concept_with_text)),
    ),
    "Condition": ResourceMap(
        rows=(
            Row("clinicalStatus", "Condition.clinicalStatus", concept),
            Row("verificationStatus", "Condition.verificationStatus", concept),
            Row("code", "Condition.code", concept_with_text),
            Row("subject", "Condition.subject", reference),
            Row("encounter", "Condition.encounter", reference),
            Row("onsetDateTime", "Condition.onsetDateTime"),
            Row("recordedDate", "Condition.recordedDate"),
        ),
        lists=(Each("category", concept),),
        links=(
            Link("subject", ("Patient",), required=True),
            Link("encounter", ("Encounter",)),
        ),
    ),
    "Procedure": ResourceMap(
        rows=(
            Row("status", "Procedure.status"),
            Row("code", "Procedure.code", concept),
            Row("subject", "Procedure.subject", reference),
            Row("encounter", "Procedure.encounter", reference),
            Row("performedDateTime", "Procedure.performedDateTime"),
            Row("performedPeriod", "Procedure.performedPeriod", period),
        ),
        lists=(Each("performer", shape(actor=reference)),),
        links=(
            Link("subject", ("Patient",), required=True),
            Link("encounter", ("Encounter",)),
            Link("performer.actor", ("Practitioner",), mint="Practitioner"),
        ),
    ),
}
"""Row tables by resource type; the order of types is their order in the canonical bundle."""
