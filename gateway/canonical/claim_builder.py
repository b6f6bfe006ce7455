"""From a canonical encounter to its canonical professional Claim (claim_profile section 5, rules C1-C13).

Pure and deterministic: the same encounter and clinic facts give the same claim. Nothing is guessed: what a claim needs
and the encounter lacks is left out, and the profile check names it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.codes import concept
from gateway.canonical.errors import MappingError
from gateway.canonical.identifiers import account_number, claim_id
from gateway.canonical.models import ChargeLine, ClaimBundle, EncounterBundle, Resource, reference_of

CENT = Decimal("0.01")
BILLING_PROVIDER_ID = "billing-provider"
_CARE_TEAM_ROLES = (
    ("rendering_provider", "rendering"),
    ("referring_provider", "referring"),
    ("supervising_provider", "supervisor"),
    ("ordering_provider", "ordering"),
)


def build_claim(bundle: EncounterBundle, clinic: ClinicFacts, *, created: str, generation: int = 1) -> ClaimBundle:
    """The claim of one encounter; `created` is an instant with zone, `generation` counts claims already sent before.

    Raises `MappingError` when a charge has no price anywhere.
    """
    encounter_id = bundle.encounter["id"]
    diagnoses = _diagnosis_codes(bundle)
    care_team = _care_team(bundle)
    coverages = sorted(bundle.of_type("Coverage"), key=lambda coverage: coverage.get("order") or 99)
    items = [_item(i, line, bundle, clinic, diagnoses) for i, line in enumerate(bundle.charges)]
    serviced = [item["servicedDate"] for item in items]
    claim: Resource = {
        "resourceType": "Claim",
        "id": claim_id(clinic.clinic_id, encounter_id, generation),
        "meta": {"source": bundle.source, "profile": [f"{codes.PROFILE_BASE}/gateway-claim"]},
        "identifier": _identifiers(clinic.clinic_id, encounter_id, generation),
        "status": "active",
        "type": concept(codes.CLAIM_TYPE, "professional"),
        "use": "claim",
        "patient": bundle.encounter["subject"],
        "billablePeriod": {"start": min(serviced), "end": max(serviced)},
        "created": created,
        "provider": {"reference": f"Organization/{BILLING_PROVIDER_ID}"},
        "priority": concept(codes.PROCESS_PRIORITY, "normal"),
        "careTeam": _with_line_performers(care_team, bundle, items),
        "diagnosis": [_diagnosis(i, code) for i, code in enumerate(diagnoses)],
        "insurance": _insurance(coverages, bundle.prior_authorization),
        "item": items,
        "total": _money(sum((item["net"]["value"] for item in items), Decimal(0))),
    }
    _add_optional(claim, bundle, coverages)
    resources = (
        bundle.encounter,
        *bundle.resources,
        *_payers(bundle, clinic),
        billing_provider(clinic.billing_provider),
    )
    return ClaimBundle.of({k: v for k, v in claim.items() if v != []}, resources)


def billing_provider(provider: BillingProvider) -> Resource:
    """The billing provider as a canonical Organization, from the clinic's configuration."""
    identifiers = [(codes.NPI, provider.npi), (codes.EIN, provider.tax_id)]
    resource: Resource = {
        "resourceType": "Organization",
        "id": BILLING_PROVIDER_ID,
        "meta": {
            "source": "urn:fhir-billing-gateway:configuration",
            "profile": [f"{codes.PROFILE_BASE}/gateway-organization"],
        },
        "identifier": [{"system": system, "value": value} for system, value in identifiers if value],
        "active": True,
        "name": provider.name,
    }
    if provider.taxonomy:
        resource["type"] = [concept(codes.TAXONOMY, provider.taxonomy)]
    if provider.phone:
        resource["telecom"] = [{"system": "phone", "value": provider.phone}]
    if provider.address:
        resource["address"] = [provider.address]
    return resource


def _identifiers(clinic_id: str, encounter_id: str, generation: int) -> list[dict[str, Any]]:
    return [
        {"system": codes.CLAIM_IDENTIFIER, "value": claim_id(clinic_id, encounter_id, generation)},
        {
            "type": concept(codes.IDENTIFIER_TYPE, "PLAC"),
            "system": codes.ACCOUNT_IDENTIFIER,
            "value": account_number(clinic_id, encounter_id, generation),
        },
    ]


def _diagnosis_codes(bundle: EncounterBundle) -> list[str]:
    """The encounter's diagnoses in order, then those that only a charge names."""
    return list(dict.fromkeys([*bundle.diagnosis_codes, *(d for line in bundle.charges for d in line.diagnosis_codes)]))


def _diagnosis(index: int, code: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"sequence": index + 1, "diagnosisCodeableConcept": concept(codes.ICD10CM, code)}
    return {**entry, "type": [concept(codes.DIAGNOSIS_TYPE, "principal")]} if index == 0 else entry


def _care_team(bundle: EncounterBundle) -> list[dict[str, Any]]:
    members = [(role, bundle.roles[name]) for name, role in _CARE_TEAM_ROLES if bundle.roles.get(name)]
    return [_member(i, role, provider) for i, (role, provider) in enumerate(members)]


def _member(index: int, role: str, provider: str) -> dict[str, Any]:
    return {
        "sequence": index + 1,
        "provider": {"reference": provider},
        "role": concept(codes.CARE_TEAM_ROLE, role),
    }


def _with_line_performers(
    care_team: list[dict[str, Any]], bundle: EncounterBundle, items: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Point each line at its provider; a line's own performer joins the care team as a further rendering provider."""
    team = list(care_team)
    for item, line in zip(items, bundle.charges, strict=True):
        provider = line.performer or bundle.roles.get("rendering_provider")
        if provider is None:
            continue
        known = next((m for m in team if m["provider"]["reference"] == provider and _role(m) == "rendering"), None)
        if known is None:
            known = _member(len(team), "rendering", provider)
            team.append(known)
        item["careTeamSequence"] = [known["sequence"]]
    return team


def _role(member: dict[str, Any]) -> str:
    return str(member["role"]["coding"][0]["code"])


def _insurance(coverages: list[Resource], prior_authorization: str | None) -> list[dict[str, Any]]:
    insurance: list[dict[str, Any]] = [
        {"sequence": i + 1, "focal": i == 0, "coverage": {"reference": reference_of(coverage)}}
        for i, coverage in enumerate(coverages)
    ]
    if insurance and prior_authorization:
        insurance[0]["preAuthRef"] = [prior_authorization]
    return insurance


def _payers(bundle: EncounterBundle, clinic: ClinicFacts) -> list[Resource]:
    """The payer Organizations with the clinic's billing payer id added where the configuration knows it."""
    payers = {
        p["reference"]
        for coverage in bundle.of_type("Coverage")
        for p in coverage.get("payor") or []
        if "reference" in p
    }
    return [_with_payer_id(o, clinic) for o in bundle.of_type("Organization") if reference_of(o) in payers]


def _with_payer_id(organization: Resource, clinic: ClinicFacts) -> Resource:
    known = [organization.get("name", ""), *(i.get("value", "") for i in organization.get("identifier") or [])]
    payer_id = next((clinic.payer_ids[key] for key in known if key in clinic.payer_ids), None)
    if payer_id is None or codes.identifier(organization, codes.PAYER_IDENTIFIER):
        return organization
    identifiers = [{"system": codes.PAYER_IDENTIFIER, "value": payer_id}, *(organization.get("identifier") or [])]
    return {**organization, "identifier": identifiers}


def _item(
    index: int, line: ChargeLine, bundle: EncounterBundle, clinic: ClinicFacts, diagnoses: list[str]
) -> dict[str, Any]:
    price = _unit_price(line, clinic)
    net = (price * line.quantity).quantize(CENT, ROUND_HALF_UP)
    pointers = [diagnoses.index(code) + 1 for code in dict.fromkeys(line.diagnosis_codes)]
    item: dict[str, Any] = {
        "sequence": index + 1,
        "diagnosisSequence": pointers,
        "productOrService": concept(line.system, line.code),
        "modifier": [concept(codes.procedure_modifier_system(m), m) for m in line.modifiers],
        "servicedDate": (line.serviced or bundle.serviced).isoformat(),
        "locationCodeableConcept": concept(codes.POS, line.location_code or bundle.location_code),
        "quantity": {"value": line.quantity} if line.unit == "UN" else {"value": line.quantity, "unit": line.unit},
        "unitPrice": {"value": price, "currency": "USD"},
        "net": _money(net),
        "encounter": [{"reference": reference_of(bundle.encounter)}],
    }
    return {name: value for name, value in item.items() if value != []}


def _unit_price(line: ChargeLine, clinic: ClinicFacts) -> Decimal:
    price = line.unit_price if line.unit_price is not None else clinic.fee_schedule.get(line.code)
    if price is None:
        raise MappingError(
            f"{line.expression}.unitPrice",
            "the EHR gives no price for this service and the clinic's fee schedule has none either",
            "Add the procedure code to fee_schedule in gateway.yaml, or enter the charge in the EHR.",
        )
    return _cents(price)


def _cents(amount: Decimal) -> Decimal:
    """At least two decimals, more where the price itself has more (drug units priced in tenths of a cent)."""
    exponent = amount.as_tuple().exponent
    return amount.quantize(CENT) if isinstance(exponent, int) and exponent > -2 else amount


def _money(amount: Decimal) -> dict[str, Any]:
    return {"value": amount.quantize(CENT, ROUND_HALF_UP), "currency": "USD"}


def _add_optional(claim: Resource, bundle: EncounterBundle, coverages: list[Resource]) -> None:
    facility = bundle.roles.get("service_facility")
    if facility:
        claim["facility"] = {"reference": facility}
    if coverages and coverages[0].get("payor"):
        claim["insurer"] = coverages[0]["payor"][0]
    if bundle.accident:
        claim["accident"] = bundle.accident
    if bundle.referral_number:
        claim["referral"] = {"identifier": {"value": bundle.referral_number}}
