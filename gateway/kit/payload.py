"""What a canonical claim can hold, so that an adapter can prove that it drops nothing silently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.canonical.codes import codings
from gateway.canonical.errors import UnsupportedElement
from gateway.canonical.models import ClaimBundle, ClaimFrequency

CLAIM_ELEMENTS: Mapping[str, str] = {
    "Claim.identifier": "patient account number (CLM01, box 26)",
    "Claim.billablePeriod": "first and last date of service",
    "Claim.provider": "billing provider (2010AA, box 33)",
    "Claim.facility": "service facility (2310C, box 32)",
    "Claim.referral": "referral number (REF*9F)",
    "Claim.related": "prior claim version (CLM05-3, REF*F8, box 22)",
    "Claim.accident": "accident (CLM11, box 10)",
    "Claim.careTeam.rendering": "rendering provider (2310B, box 24J)",
    "Claim.careTeam.referring": "referring provider (2310A, box 17)",
    "Claim.careTeam.supervisor": "supervising provider (2310D, box 17)",
    "Claim.careTeam.ordering": "ordering provider (2420E, box 17)",
    "Claim.supportingInfo.hospitalized": "hospitalization dates (DTP*435, DTP*096, box 18)",
    "Claim.supportingInfo.onset": "onset of illness (DTP*431, box 14)",
    "Claim.supportingInfo.info": "additional information (NTE, box 19)",
    "Claim.supportingInfo.patientPaid": "amount paid by the patient (AMT*F5, box 29)",
    "Claim.diagnosis": "diagnoses in order (HI, box 21)",
    "Claim.insurance.focal": "the payer billed (2010BB, 2010BA, boxes 1, 1a, 4, 11)",
    "Claim.insurance.other": "other coverages (2320, box 9)",
    "Claim.insurance.preAuthRef": "prior authorization (REF*G1, box 23)",
    "Claim.item.productOrService": "procedure (SV101-2, box 24D)",
    "Claim.item.modifier": "procedure modifiers (SV101-3..6, box 24D)",
    "Claim.item.serviced": "date of service (DTP*472, box 24A)",
    "Claim.item.location": "place of service (SV105, box 24B)",
    "Claim.item.quantity": "units (SV104, box 24G)",
    "Claim.item.unitPrice": "price of one unit in USD",
    "Claim.item.net": "line charge (SV102, box 24F)",
    "Claim.item.diagnosisSequence": "diagnosis pointers (SV107, box 24E)",
    "Claim.item.careTeamSequence": "the line's own provider (2420A)",
    "Claim.item.detail": "drug (2410 LIN/CTP, NDC)",
    "Claim.item.informationSequence": "line note: the information that the line points to (NTE*ADD)",
    "Claim.total": "total charge (CLM02, box 28)",
}
"""Every element of the canonical claim that a billing vendor may have to carry, with its X12 and CMS-1500 place."""

_FRAME = frozenset(  # the resource's own frame: the same in every canonical claim, nothing to carry
    {
        "resourceType",
        "id",
        "meta",
        "text",
        "status",
        "type",
        "use",
        "patient",
        "created",
        "priority",
        "insurer",
    }
)
_ITEM_NAMES = {
    "servicedDate": "serviced",
    "servicedPeriod": "serviced",
    "locationCodeableConcept": "location",
}
_ITEM_FRAME = frozenset({"id", "sequence", "encounter"})


def elements_of(claim: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(element name of `CLAIM_ELEMENTS`, its FHIRPath in this claim) for each element that the claim holds."""
    for name, value in claim.items():
        if name in _FRAME:
            continue
        if name == "careTeam":
            for i, member in enumerate(value):
                yield f"Claim.careTeam.{_code(member.get('role'))}", f"Claim.careTeam[{i}]"
        elif name == "supportingInfo":
            for i, info in enumerate(value):
                yield f"Claim.supportingInfo.{_code(info.get('category'))}", f"Claim.supportingInfo[{i}]"
        elif name == "insurance":
            yield from _insurance_elements(value)
        elif name == "item":
            yield from _item_elements(value)
        else:
            yield f"Claim.{name}", f"Claim.{name}"


def _insurance_elements(insurances: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for i, insurance in enumerate(insurances):
        yield f"Claim.insurance.{'focal' if insurance.get('focal') else 'other'}", f"Claim.insurance[{i}]"
        if insurance.get("preAuthRef"):
            yield "Claim.insurance.preAuthRef", f"Claim.insurance[{i}].preAuthRef"


def _item_elements(items: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for i, item in enumerate(items):
        for name in item:
            if name not in _ITEM_FRAME:
                yield f"Claim.item.{_ITEM_NAMES.get(name, name)}", f"Claim.item[{i}].{name}"


def _code(concept: dict[str, Any] | None) -> str:
    return next((c.get("code", "") for c in codings(concept)), "")


def refuse_uncarried(bundle: ClaimBundle, carried: Mapping[str, str], vendor: str, *, voids: bool = True) -> None:
    """Raise `UnsupportedElement` for the first element that the vendor's table neither carries nor waives.

    `carried` maps an element name to the vendor's field, or to "- why it need not be carried". `voids` is for a vendor
    that takes a replacement (`Claim.related` is carried): whether it takes a void too.
    """
    if bundle.frequency is ClaimFrequency.VOID and not voids:
        remedy = "Void this claim in the billing system by hand."
        raise UnsupportedElement("Claim.related", f"{vendor} cannot void a claim on file", remedy)
    for element, expression in elements_of(bundle.claim):
        if element not in carried:
            what = CLAIM_ELEMENTS.get(element, "an element that the canonical claim does not define")
            raise UnsupportedElement(
                expression,
                f"{vendor} cannot carry this element: {what}",
                "Remove it from the claim if it is not needed, or enter this claim in the billing system by hand.",
            )
