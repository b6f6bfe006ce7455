"""Who did what for an encounter, where, and under which authorization (claim_profile section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from gateway.canonical.errors import MappingError
from gateway.canonical.models import Resource
from gateway.kit.ehr_charge_parts import place_code
from gateway.kit.ehr_clinic import known_location
from gateway.kit.ehr_element import Element, code_values, service_date
from gateway.kit.ehr_reading import Rule
from gateway.kit.ehr_source import Known, Source

CARE_TEAM_ROLES: Mapping[str, str] = {
    "rendering": "rendering_provider",
    "performing": "rendering_provider",
    "primary": "rendering_provider",
    "referring": "referring_provider",
    "supervisor": "supervising_provider",
    "supervising": "supervising_provider",
    "ordering": "ordering_provider",
}
"""Codes of Claim.careTeam.role (THO claimcareteamrole, C4BBClaimCareTeamRole) by canonical role."""

RENDERING_TYPES = ("pprf", "atnd", "sprf")
"""v3-ParticipationType codes of the one who saw the patient, the most telling first."""

PLACE_BY_CLASS: Mapping[str, str] = {"VR": "10", "HH": "12", "EMER": "23", "IMP": "21", "ACUTE": "21", "NONAC": "21"}
"""Place of service where only Encounter.class tells it; a virtual visit is taken to reach the patient at home."""

LAST = 10**9


def roles(source: Source, claim: Known | None) -> dict[str, str]:
    """Canonical references by role; raises `MappingError` when nobody rendered the service."""
    found: dict[str, str] = {}
    for rule in PROVIDER_RULES:
        for role, provider in rule.via(source, claim):
            found.setdefault(role, source.use(provider))
    if "rendering_provider" not in found:
        raise MappingError("Encounter.participant", _NOBODY, _ENTER_PROVIDER)
    facility = FACILITY_RULE.via(source, claim)
    return {**found, "service_facility": source.use(facility)} if facility else found


def item_performer(item: Element, name: str, claim: Known, source: Source) -> str | None:
    """The rendering provider of one Claim.item, when its numbers in `name` point at one."""
    numbers = item.integers(name)
    for member in claim.element.children("careTeam"):
        if member.integer("sequence") in numbers and _role(member) in ("rendering_provider", None):
            provider = source.provider(member.child("provider"), claim)
            if provider is not None:
                return source.use(provider)
    return None


def first_performer(known: Known, name: str, source: Source) -> str | None:
    """The first Practitioner among the performers of a ChargeItem or Procedure."""
    found = (source.provider(member.child("actor"), known) for member in known.element.children(name))
    provider = next((p for p in found if p is not None), None)
    return source.use(provider) if provider else None


def place_of_service(source: Source, claim: Known | None) -> str:
    """The CMS place of service: of the charges, the facility, the Encounter.class, or else gateway.yaml's.

    There the location's own comes before the clinic's. It is no match for the class: a virtual visit stays one, at
    whatever office it was booked.
    """
    items = claim.element.children("item") if claim else []
    of_items = (place_code(item, "locationCodeableConcept") for item in items)
    facility = _facility(source, claim)
    kinds = facility.element.children("type") if facility else []
    of_facility = (place_code(Element({"type": kind.value}, kind.path), "type") for kind in kinds)
    named = next((code for code in (*of_items, *of_facility) if code), None)
    encounter_class = source.encounter.element.child("class")
    by_class = PLACE_BY_CLASS.get(encounter_class.text("code") or "") if encounter_class else None
    known = known_location(facility, source.clinic).place_of_service if facility else ""
    return named or by_class or known or source.clinic.place_of_service


def coverages(source: Source, claim: Known | None, patient: Known, serviced: date) -> list[Known]:
    """The coverages to bill, first payer first: those that the billing Claim names, and all others in force.

    Plans of former times stay on file at the EHR and are left out. One that is the only plan is kept: the edits then
    say what is wrong with it.
    """
    sequence: dict[Known, int] = {}
    for entry in _insurance(claim):
        named = source.resolve(entry.child("coverage"), claim) if claim else None
        if named is not None and named.resource_type == "Coverage":
            sequence[named] = _or_last(entry.integer("sequence"))
    of_patient = [k for k in source.of_type("Coverage") if k.element.text("status") != "entered-in-error"]
    held = list(dict.fromkeys([*of_patient, *sequence]))
    for known in held:
        source.same_patient(known, "beneficiary", patient)
    billed = [k for k in held if k in sequence or _in_force(k, serviced, source)] or held
    return sorted(billed, key=lambda k: (_or_last(k.element.integer("order")), sequence.get(k, LAST)))


def _in_force(coverage: Known, serviced: date, source: Source) -> bool:
    period = coverage.element.child("period")
    start = service_date(period, "start", source.clinic) if period else None
    end = service_date(period, "end", source.clinic) if period else None
    active = coverage.element.text("status") == "active"
    return active and (start is None or start <= serviced) and (end is None or serviced <= end)


def accident(_: Source, claim: Known | None) -> Resource | None:
    """Claim.accident of the billing Claim, as it is: who pays depends on it (CLM11, box 10)."""
    found = claim.element.child("accident") if claim else None
    members = ("date", "type", "locationAddress")
    return {name: found.value[name] for name in members if name in found.value} if found else None


def with_order(resources: Mapping[str, Resource], ordered: Iterable[Known]) -> dict[str, Resource]:
    """The resources with Coverage.order set to 1..n, so that the order travels with them."""
    numbered = {k.reference: i for i, k in enumerate(ordered, start=1)}
    return {r: {**v, "order": numbered[r]} if r in numbered else v for r, v in resources.items()}


def prior_authorization(_: Source, claim: Known | None) -> str | None:
    """Claim.insurance.preAuthRef of the focal insurance, else of the first that has one."""
    entries = sorted(_insurance(claim), key=lambda e: (not e.flag("focal"), _or_last(e.integer("sequence"))))
    return next((number for entry in entries for number in entry.texts("preAuthRef")), None)


def referral_number(source: Source, claim: Known | None) -> str | None:
    """The number of the referral: of Claim.referral, else of the ServiceRequest that the encounter is based on."""
    owners = [(claim, claim.element.child("referral"))] if claim else []
    owners += [(source.encounter, reference) for reference in source.encounter.element.children("basedOn")]
    for owner, reference in owners:
        identifier = reference.child("identifier") if reference else None
        request = source.resolve(reference, owner)
        known = request.element.children("identifier") if request and request.resource_type == "ServiceRequest" else []
        for held in [*([identifier] if identifier else []), *known]:
            if value := held.text("value"):
                return value
    return None


def _care_team(source: Source, claim: Known | None) -> list[tuple[str, Known]]:
    """By the member's role, in sequence; a lone member without a role rendered the service."""
    members = claim.element.children("careTeam") if claim else []
    found = []
    for member in sorted(members, key=lambda m: _or_last(m.integer("sequence"))):
        role = _role(member) or ("rendering_provider" if len(members) == 1 else None)
        provider = source.provider(member.child("provider"), claim) if role and claim else None
        if role and provider:
            found.append((role, provider))
    return found


def _role(member: Element) -> str | None:
    role = member.child("role")
    return next((CARE_TEAM_ROLES[c] for c in sorted(code_values(role)) if c in CARE_TEAM_ROLES), None) if role else None


def _participants(source: Source, _: Known | None) -> list[tuple[str, Known]]:
    """Rendering (PPRF, else ATND, else SPRF) and referring (REF) ones by type; a lone one without a type rendered."""
    typed: list[tuple[set[str], Known]] = []
    for participant in source.encounter.element.children("participant"):
        provider = source.provider(participant.child("individual"), source.encounter)
        if provider is not None:
            kinds = [code_values(concept) for concept in participant.children("type")]
            typed.append((set().union(*kinds), provider))
    rendering = [p for code in RENDERING_TYPES for kinds, p in typed if code in kinds]
    if not rendering and len(typed) == 1 and not typed[0][0]:
        rendering = [typed[0][1]]
    referring = [p for kinds, p in typed if "ref" in kinds]
    return [
        *(("rendering_provider", provider) for provider in rendering[:1]),
        *(("referring_provider", provider) for provider in referring[:1]),
    ]


def _referral_requester(source: Source, _: Known | None) -> list[tuple[str, Known]]:
    """Who asked for the encounter, when it is based on a ServiceRequest."""
    for reference in source.encounter.element.children("basedOn"):
        request = source.resolve(reference, source.encounter)
        if request is not None and request.resource_type == "ServiceRequest":
            provider = source.provider(request.element.child("requester"), request)
            if provider is not None:
                return [("referring_provider", provider)]
    return []


def _facility(source: Source, claim: Known | None) -> Known | None:
    """The first of them that is a Location; one that has only a name counts when gateway.yaml knows it."""
    encounter = source.encounter
    named = [(encounter, entry.child("location")) for entry in encounter.element.children("location")]
    named += [(claim, claim.element.child("facility"))] if claim else []
    found = (source.resolve(reference, owner, mint=_minted(reference, source)) for owner, reference in named)
    return next((k for k in found if k is not None and k.resource_type == "Location"), None)


def _minted(location: Element | None, source: Source) -> str:
    return "Location" if location and location.text("display") in source.clinic.locations else ""


def _insurance(claim: Known | None) -> list[Element]:
    return claim.element.children("insurance") if claim else []


def _or_last(number: int | None) -> int:
    return LAST if number is None else number


_NOBODY = "the encounter names no provider who saw the patient"
_ENTER_PROVIDER = "Enter the attending or performing provider of this encounter in the EHR."
_CODES = ", ".join(f"{code} is the {role.replace('_', ' ')}" for code, role in CARE_TEAM_ROLES.items())

PROVIDER_RULES = (
    Rule(
        "rendering_provider, referring_provider, supervising_provider, ordering_provider",
        "Claim.careTeam.provider",
        _care_team,
        note=f"Claim.careTeam.role: {_CODES}",
    ),
    Rule("rendering_provider, referring_provider", "Encounter.participant.individual", _participants),
    Rule("referring_provider", "ServiceRequest.requester", _referral_requester),
)
"""Who did what; the first rule that names somebody for a role decides."""

FACILITY_RULE = Rule("service_facility", "Encounter.location.location | Claim.facility", _facility)
ROLE_RULES = (*PROVIDER_RULES, FACILITY_RULE)
"""All rules of the roles, in the order in which they count."""
