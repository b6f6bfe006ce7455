"""Who and what a claim refers to, in the site's codes: providers, place, coverages, guarantor. Pure.

Each function gives roots for the rows of `rows`; see there for their members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.billing.medics_premier.limits import first_code
from adapters.billing.medics_premier.settings import MedicsPremierSettings, PayerCode
from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource

Roots = dict[str, Any]
_OTHER = "OTH"


def resolve(bundle: ClaimBundle, reference: Mapping[str, Any] | None, where: str) -> Resource:
    """The resource that a reference names; raises `MappingError` at `where`."""
    found = bundle.find((reference or {}).get("reference"))
    if found is None:
        raise MappingError(where, "this does not resolve to a resource that came with the claim")
    return found


def official_name(person: Resource) -> dict[str, Any]:
    """The official name of a person, else the first, else none."""
    names: list[dict[str, Any]] = person.get("name") or [{}]
    return next((name for name in names if name.get("use") == "official"), names[0])


class CareTeam:
    """The providers of a claim by role, and of each line."""

    def __init__(self, bundle: ClaimBundle, settings: MedicsPremierSettings) -> None:
        self._roles: dict[str, list[tuple[int, Roots]]] = {}
        for i, member in enumerate(bundle.claim.get("careTeam", ())):
            where = f"Claim.careTeam[{i}].provider"
            found = _provider(resolve(bundle, member.get("provider"), where), where, settings)
            self._roles.setdefault(first_code(member.get("role")), []).append((member.get("sequence", i + 1), found))

    def of_claim(self, role: str) -> Roots | None:
        """The claim's first provider of a role."""
        return next((provider for _, provider in self._roles.get(role, ())), None)

    def of_line(self, role: str, item: Resource) -> Roots | None:
        """The provider of a role whom the line points to, else the claim's first."""
        pointed = item.get("careTeamSequence", ())
        chosen = (provider for sequence, provider in self._roles.get(role, ()) if sequence in pointed)
        return next(chosen, self.of_claim(role))


def _provider(practitioner: Resource, where: str, settings: MedicsPremierSettings) -> Roots:
    npi = codes.identifier(practitioner, codes.NPI)
    if npi is None:
        raise MappingError(where, "the provider has no NPI", "Complete the provider's NPI in the EHR.")
    key = npi
    if settings.provider_key == "table":
        if npi not in settings.providers:
            fix = "Add the NPI and MedicsPremier's code to providers in the connection's settings."
            raise MappingError(where, "MedicsPremier's code of this provider is not in the table of providers", fix)
        key = settings.providers[npi]
    name = official_name(practitioner)
    given, suffix = name.get("given", ()), name.get("suffix", ())
    return {
        "key": key,
        "family": name.get("family"),
        "given": given[0] if given else None,
        "middle": given[1] if len(given) > 1 else None,
        "degree": suffix[0] if suffix else None,
        "authority": "NPI" if settings.provider_key == "npi" else None,
    }


def place(bundle: ClaimBundle, settings: MedicsPremierSettings) -> Roots:
    """The facility as MedicsPremier's location; empty without one."""
    if "facility" not in bundle.claim:
        return {}
    facility = resolve(bundle, bundle.claim["facility"], "Claim.facility")
    names = (codes.identifier(facility, codes.NPI), facility.get("name"))
    code = next((settings.locations[name] for name in names if name in settings.locations), None)
    if code is None and settings.locations:
        fix = "Add the facility's NPI and MedicsPremier's code to locations in the connection's settings."
        raise MappingError("Claim.facility", "MedicsPremier's code of this place is not in the table of locations", fix)
    return {"code": code or facility.get("name"), "authority": settings.sending_facility}


def coverages(bundle: ClaimBundle, patient: Resource, settings: MedicsPremierSettings) -> Iterator[Roots]:
    """The roots of each IN1, in the claim's order."""
    insurance = bundle.claim.get("insurance", ())
    if not insurance:
        raise MappingError("Claim.insurance", "a claim needs a coverage", "Self-pay is not sent to a payer.")
    for i, entry in enumerate(insurance):
        where = f"Claim.insurance[{i}].coverage"
        coverage = resolve(bundle, entry.get("coverage"), where)
        payer = bundle.find((coverage.get("payor") or [{}])[0].get("reference")) or {}
        subscriber = _subscriber(bundle, coverage, patient, where)
        company = _payer_code(payer, where, settings)
        cover = {
            "number": str(i + 1),
            "company": company.company if company else None,
            "plan": (company.plan or company.company) if company else None,
            "authorization": next(iter(entry.get("preAuthRef", ())), None),
            "relationship": _relationship(coverage, settings),
        }
        yield {
            "Coverage": coverage,
            "Payer": payer,
            "Subscriber": subscriber,
            "subscriber_name": official_name(subscriber),
            "cover": cover,
        }


def _subscriber(bundle: ClaimBundle, coverage: Resource, patient: Resource, where: str) -> Resource:
    found = bundle.find(coverage.get("subscriber", {}).get("reference"))
    if found is not None:
        return found
    if first_code(coverage.get("relationship")) in ("self", ""):
        return patient
    fix = "Complete the insured person of this coverage in the EHR."
    raise MappingError(f"{where}.subscriber", "the patient is not the subscriber, and nobody says who is", fix)


def _payer_code(payer: Resource, where: str, settings: MedicsPremierSettings) -> PayerCode | None:
    payer_id = codes.identifier(payer, codes.PAYER_IDENTIFIER)
    if payer_id is None:
        return None  # its row, which is required, says so
    if not settings.payers:
        return PayerCode(company=payer_id)
    if payer_id not in settings.payers:
        fix = "Add the payer id and MedicsPremier's company to payers in the connection's settings."
        raise MappingError(where, "MedicsPremier's code of this payer is not in the table of payers", fix)
    return settings.payers[payer_id]


def _relationship(coverage: Resource, settings: MedicsPremierSettings) -> str:
    code = first_code(coverage.get("relationship")) or "self"
    return settings.relationships.get(code, _OTHER)


def guarantor(patient: Resource, first: Roots, settings: MedicsPremierSettings) -> Roots | None:
    """The roots of GT1: the subscriber of the first coverage or the patient; None where the site wants no GT1."""
    if settings.guarantor == "none":
        return None
    is_patient = settings.guarantor == "patient"
    person = patient if is_patient else first["Subscriber"]
    relationship = settings.relationships.get("self", _OTHER) if is_patient else first["cover"]["relationship"]
    return {
        "Guarantor": person,
        "guarantor_name": official_name(person),
        "guarantor": {"relationship": relationship},
    }
