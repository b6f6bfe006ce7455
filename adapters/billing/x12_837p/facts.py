"""A canonical claim with its references followed: what both writers (X12 and JSON) read. Pure.

`facts` refuses what an 837P cannot carry, so that a writer only maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.billing.x12_837p import codes
from adapters.billing.x12_837p.limits import first_code, refuse_unsupported
from adapters.billing.x12_837p.segments import Scope
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical.codes import ACCOUNT_IDENTIFIER, PAYER_IDENTIFIER, identifier
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import (
    PAYER_CLAIM_CONTROL_NUMBER,
    ClaimBundle,
    ClaimFrequency,
    Resource,
    SubmissionReceipt,
)

_RANKS = "PSTABCDEFGH"
_FULL_DATE = len("2026-03-04")
_ORIGINAL_MEDICARE = frozenset({"MA", "MB"})


@dataclass(frozen=True, slots=True)
class Insured:
    """One coverage of the claim. `rank` is SBR01; `where` its FHIRPath."""

    where: str
    rank: str
    coverage: Resource
    subscriber: Resource
    payer: Resource
    relationship: str
    filing: str
    insurance_type: str | None

    @property
    def is_self(self) -> bool:
        """Whether the patient is the insured person: then there is no patient loop."""
        return self.relationship == "18"

    def roots(self) -> dict[str, Any]:
        """What the rows of the coverage's loops read."""
        classes = self.coverage.get("class", ())
        kinds = {first_code(c.get("type")): c for c in classes}
        insured = person("subscriber", self.subscriber)
        if not (self.is_self and self.rank == _RANKS[0]):  # only the patient's own address and birth date are needed
            insured["subscriber_address"] = _whole(insured["subscriber_address"])
            insured["born"] = self.subscriber if len(self.subscriber.get("birthDate") or "") == _FULL_DATE else None
        return {
            "responsibility": self.rank,
            "relationship": self.relationship or None,
            "self_code": "18" if self.is_self else None,
            "coverage": self.coverage,
            "plan_name": None if "group" in kinds else kinds.get("plan", {}).get("name"),
            "insurance_type": self.insurance_type,
            "filing": self.filing,
            "payer": self.payer,
            "payer_id": identifier(self.payer, PAYER_IDENTIFIER),
            "payer_address": _whole(_address(self.payer)),
            "born": self.subscriber,
            **insured,
        }


@dataclass(frozen=True, slots=True)
class Facts:
    """A claim's facts. `team` gives the providers by role as (FHIRPath, sequence, Practitioner)."""

    claim: Resource
    submission_id: str
    patient: Resource
    billing: Resource
    facility: Resource | None
    coverages: tuple[Insured, ...]  # the one that is billed comes first
    team: Mapping[str, tuple[tuple[str, int, Resource], ...]]
    control_number: str | None

    @property
    def focal(self) -> Insured:
        """The coverage that is billed."""
        return self.coverages[0]

    @property
    def frequency(self) -> str:
        """CLM05-3."""
        return ClaimBundle(self.claim, {}).frequency.value

    def scope(self, roots: Mapping[str, Any], general: str = "", own: str = "") -> Scope:
        """A scope of some roots beside the claim itself; see `Scope` for the paths."""
        return Scope({"Claim": self.claim, **roots}, general, own)

    def covered(self, insured: Insured) -> Scope:
        """The scope of a coverage's loops."""
        return self.scope(insured.roots(), "Claim.insurance.coverage", insured.where)


def facts(bundle: ClaimBundle, submission_id: str, settings: X12Settings, prior: SubmissionReceipt | None) -> Facts:
    """Follow the claim's references; raises `UnsupportedElement` and `MappingError` as `build` does."""
    refuse_unsupported(bundle)
    claim = bundle.claim
    coverages = _coverages(bundle, settings)
    return Facts(
        claim,
        submission_id,
        _resolved(bundle, claim.get("patient"), "Claim.patient"),
        _resolved(bundle, claim.get("provider"), "Claim.provider"),
        bundle.find(claim["facility"].get("reference")) if "facility" in claim else None,
        coverages,
        _team(bundle),
        _control_number(bundle, coverages[0], prior),
    )


def person(root: str, resource: Resource) -> dict[str, Any]:
    """The roots of a person (or organization): the resource, its official name and its first address."""
    names = resource.get("name")
    name = None
    if isinstance(names, list) and names:
        name = next((n for n in names if n.get("use") == "official"), names[0])
    return {root: resource, f"{root}_name": name, f"{root}_address": _address(resource)}


def account_number(claim: Resource) -> str:
    """CLM01, or empty."""
    return identifier(claim, ACCOUNT_IDENTIFIER) or ""


def _address(resource: Resource) -> dict[str, Any] | None:
    found = resource.get("address")
    if isinstance(found, list):
        return next(iter(found), None)
    return found


def _whole(address: dict[str, Any] | None) -> dict[str, Any] | None:
    """An address that nobody needs, if it is complete: X12 has no place for a part of one."""
    parts = ("line", "city", "state", "postalCode")
    return address if address and all(address.get(part) for part in parts) else None


def _resolved(bundle: ClaimBundle, reference: dict[str, Any] | None, where: str) -> Resource:
    resource = bundle.find((reference or {}).get("reference"))
    if resource is None:
        raise MappingError(where, "the reference does not resolve", "Complete it in the EHR.")
    return resource


def _coverages(bundle: ClaimBundle, settings: X12Settings) -> tuple[Insured, ...]:
    found = [_insured(bundle, i, settings) for i in range(len(bundle.claim["insurance"]))]
    if len(found) > len(_RANKS):
        raise UnsupportedElement("Claim.insurance", "an 837P names at most eleven coverages", "Remove those in excess.")
    return tuple(found)


def _insured(bundle: ClaimBundle, index: int, settings: X12Settings) -> Insured:
    where = f"Claim.insurance[{index}].coverage"
    coverage = _resolved(bundle, bundle.claim["insurance"][index].get("coverage"), where)
    payer = _resolved(bundle, next(iter(coverage.get("payor") or ()), None), f"{where}.payor")
    payer_id = identifier(payer, PAYER_IDENTIFIER) or ""
    filing = settings.claim_filing_codes.get(payer_id) or codes.filing_code(coverage, settings.default_filing_code)
    related = codes.relationship(coverage)
    insured = bundle.claim["patient"] if related == "18" else coverage.get("subscriber")
    insurance_type = None
    if index and filing in _ORIGINAL_MEDICARE:
        insurance_type = settings.medicare_secondary_type
        if not insurance_type:
            fix = "Set medicare_secondary_type, or send the claim without this coverage."
            raise MappingError(f"{where}.type", "Medicare that does not pay first needs the reason (SBR05)", fix)
    subscriber = _resolved(bundle, insured, f"{where}.subscriber")
    return Insured(where, _RANKS[index], coverage, subscriber, payer, related, filing, insurance_type)


def _team(bundle: ClaimBundle) -> dict[str, tuple[tuple[str, int, Resource], ...]]:
    found: dict[str, tuple[tuple[str, int, Resource], ...]] = {}
    for i, member in enumerate(bundle.claim.get("careTeam", ())):
        where = f"Claim.careTeam[{i}].provider"
        entry = (where, member["sequence"], _resolved(bundle, member.get("provider"), where))
        role = first_code(member.get("role"))
        found[role] = (*found.get(role, ()), entry)
    return found


def _control_number(bundle: ClaimBundle, focal: Insured, prior: SubmissionReceipt | None) -> str | None:
    """REF*F8: the payer's number of the claim on file, from the claim itself or from what the payer told since."""
    if bundle.frequency is ClaimFrequency.ORIGINAL:
        return None
    if focal.filing in _ORIGINAL_MEDICARE:
        fix = "Ask Medicare for a reopening, or send a new claim when the first was rejected."
        raise UnsupportedElement("Claim.related", "Original Medicare takes no replacement and no void claim", fix)
    number: str | None = (bundle.claim["related"][0].get("reference") or {}).get("value")
    number = number or (prior.vendor_ids.get(PAYER_CLAIM_CONTROL_NUMBER) if prior else None)
    if not number:
        fix = "Wait for the payer's answer to the first claim, or enter its number by hand."
        text = "the payer's number of the claim on file (277CA or 835) is needed to replace or void it"
        raise MappingError("Claim.related.reference.value", text, fix)
    return number
