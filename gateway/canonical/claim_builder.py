"""From a canonical encounter to its canonical professional Claim (claim_profile section 5, rules C1-C13).

Pure and deterministic: the same encounter and clinic facts give the same claim. Nothing is guessed: what a claim needs
and the encounter lacks is left out, and the profile check names it. The elements are made by the rows of `claim_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.canonical.claim_rows import (
    BILLING_PROVIDER_ID,
    BILLING_PROVIDER_ROWS,
    CLAIM_ROWS,
    DIAGNOSIS_ROWS,
    INSURANCE_ROWS,
    ITEM_ROWS,
    MEMBER_ROWS,
    PAYER_ROWS,
    ROLE_ROWS,
)
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.models import ClaimBundle, EncounterBundle, Resource, reference_of

__all__ = ["BILLING_PROVIDER_ID", "billing_provider", "build_claim"]


@dataclass(frozen=True, slots=True)
class _Making:
    """What the gateway knows of a claim that it makes: root `gateway` of the rows."""

    created: str
    generation: int


def build_claim(bundle: EncounterBundle, clinic: ClinicFacts, *, created: str, generation: int = 1) -> ClaimBundle:
    """The claim of one encounter; `created` is an instant with zone, `generation` counts claims already sent before.

    Raises `MappingError` when a charge has no price anywhere.
    """
    coverages = sorted(bundle.of_type("Coverage"), key=lambda coverage: coverage.get("order") or 99)
    diagnoses = _diagnosis_codes(bundle)
    parts: dict[str, list[Resource]] = {
        "careTeam": _care_team(bundle),
        "diagnosis": [DIAGNOSIS_ROWS.fill({"index": i, "diagnosis": code}) for i, code in enumerate(diagnoses)],
        "insurance": [
            INSURANCE_ROWS.fill({"index": i, "Coverage": coverage, "bundle": bundle})
            for i, coverage in enumerate(coverages)
        ],
    }
    claim: Resource = {}
    roots = {
        "claim": claim,
        "bundle": bundle,
        "clinic": clinic,
        "gateway": _Making(created, generation),
        "roles": bundle.roles,
        "Encounter": bundle.encounter,
        "Coverage": coverages[0] if coverages else {},
        "Claim": parts,
        "diagnoses": diagnoses,
    }
    parts["item"] = [_item(i, roots) for i in range(len(bundle.charges))]
    resources = (
        bundle.encounter,
        *bundle.resources,
        *_payers(bundle, clinic),
        billing_provider(clinic.billing_provider),
    )
    return ClaimBundle.of(CLAIM_ROWS.fill(roots, claim), resources)


def billing_provider(provider: BillingProvider) -> Resource:
    """The billing provider as a canonical Organization, from the clinic's configuration."""
    return BILLING_PROVIDER_ROWS.fill({"billing_provider": provider})


def _diagnosis_codes(bundle: EncounterBundle) -> list[str]:
    """The encounter's diagnoses in order, then those that only a charge names."""
    return list(dict.fromkeys([*bundle.diagnosis_codes, *(d for line in bundle.charges for d in line.diagnosis_codes)]))


def _care_team(bundle: EncounterBundle) -> list[Resource]:
    """The encounter's providers by role; then a line's own performer, who is a further rendering provider."""
    by_role = ROLE_ROWS.fill({"roles": bundle.roles})
    performers = dict.fromkeys(line.performer for line in bundle.charges if line.performer)
    further = (performer for performer in performers if performer != by_role.get("rendering"))
    members = [*by_role.items(), *(("rendering", performer) for performer in further)]
    return [
        MEMBER_ROWS.fill({"index": i, "role": role, "provider": provider}) for i, (role, provider) in enumerate(members)
    ]


def _item(index: int, roots: dict[str, Any]) -> Resource:
    item: Resource = {}
    return ITEM_ROWS.fill({**roots, "index": index, "charge": roots["bundle"].charges[index], "item": item}, item)


def _payers(bundle: EncounterBundle, clinic: ClinicFacts) -> list[Resource]:
    """The payer Organizations with the clinic's billing payer id added where the configuration knows it."""
    payers = {
        p["reference"]
        for coverage in bundle.of_type("Coverage")
        for p in coverage.get("payor") or []
        if "reference" in p
    }
    return [
        {**o, **PAYER_ROWS.fill({"Organization": o, "clinic": clinic})}
        for o in bundle.of_type("Organization")
        if reference_of(o) in payers
    ]
