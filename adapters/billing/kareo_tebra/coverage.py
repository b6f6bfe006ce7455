"""The claim's coverages, accident and onset as the members of a Tebra case (section 8). Pure."""

from __future__ import annotations

from typing import Any

from adapters.billing.kareo_tebra.case_names import accident_kinds
from adapters.billing.kareo_tebra.limits import first_code
from adapters.billing.kareo_tebra.parts import apply_at, nested, official_name, resolve
from adapters.billing.kareo_tebra.rows import (
    AUTO_ACCIDENT_ROWS,
    CASE_ROWS,
    NAME_ROWS,
    PLAN_ROWS,
    POLICY_ROWS,
    SCENARIO_ROWS,
    SUBSCRIBER_ROWS,
)
from adapters.billing.kareo_tebra.settings import KareoTebraSettings
from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource
from gateway.kit.mapping import apply


def case_of(bundle: ClaimBundle, settings: KareoTebraSettings) -> dict[str, Any]:
    """The case that the claim is billed on: compared with the patient's cases, and created when absent."""
    insurance = bundle.claim.get("insurance", ())
    if not insurance:
        raise MappingError("Claim.insurance", "a claim needs a coverage", "Self-pay is not sent to a payer.")
    policies, payers = [], []
    for i, entry in enumerate(insurance):
        where = f"Claim.insurance[{i}].coverage"
        coverage = resolve(bundle, entry.get("coverage"), where)
        payer = bundle.find(coverage.get("payor", [{}])[0].get("reference")) or {}
        payers.append(payer.get("name", ""))
        own = apply(PLAN_ROWS, {"plan": _plan(payer, settings), "policy": {"precedence": i + 1}})
        policies.append({**_policy(bundle, coverage, where), **own})
    told = _circumstances(bundle.claim)
    roots = {"case": {"name": {"payer": payers[0], **told}, "scenario": _scenario(told, settings)}}
    return {**apply(NAME_ROWS, roots), **told, **apply(SCENARIO_ROWS, roots), "Policies": policies}


def _scenario(told: dict[str, Any], settings: KareoTebraSettings) -> str:
    scenarios = (settings.accident_scenarios.get(kind) for kind in accident_kinds(told.get("Condition", {})))
    return next(filter(None, scenarios), settings.payer_scenario)


def _circumstances(claim: Resource) -> dict[str, Any]:
    """`Condition` and `Dates`, where the claim has an accident or an onset."""
    onset = [i for i in claim.get("supportingInfo", ()) if first_code(i.get("category")) == "onset"]
    told = nested(apply(CASE_ROWS, {"Claim": claim, "onset": onset}))
    if "accident" in claim and "Condition" not in told:
        message = "Tebra has to know whether it was an auto, a work or another accident"
        raise MappingError("Claim.accident.type", message, "Complete the kind of accident in the EHR.")
    if told.get("Condition", {}).get("RelatedToAutoAccident"):
        told["Condition"] |= nested(apply(AUTO_ACCIDENT_ROWS, {"Claim": claim}))["Condition"]
    return told


def _policy(bundle: ClaimBundle, coverage: Resource, where: str) -> dict[str, Any]:
    roots: dict[str, Any] = {"Coverage": coverage}
    policy = apply_at(POLICY_ROWS, roots, where, ("Coverage",))
    subscriber = bundle.find(coverage.get("subscriber", {}).get("reference"))
    if subscriber is not None and policy.get("Insured.PatientRelationshipToInsured") != "Self":
        policy |= apply(SUBSCRIBER_ROWS, {"Subscriber": subscriber, "name": official_name(subscriber)})
    return nested(policy)


def _plan(payer: Resource, settings: KareoTebraSettings) -> dict[str, int]:
    plan = settings.insurance_plans.get(codes.identifier(payer, codes.PAYER_IDENTIFIER) or "")
    return {"company_id": plan.company_id, "plan_id": plan.plan_id} if plan else {}
