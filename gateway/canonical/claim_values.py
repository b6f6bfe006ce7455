"""The transforms of the canonical Claim's rows (claim_profile section 5). The first line of each is its line in print.

Money is `Decimal` in USD; codes are texts; a result of None or `[]` leaves the element out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from gateway.canonical import codes
from gateway.canonical.codes import concept
from gateway.canonical.errors import MappingError
from gateway.canonical.identifiers import account_number
from gateway.canonical.models import ChargeLine, Resource, reference_of

Fee = Callable[[str, Sequence[str], date], Decimal | None]
CENT = Decimal("0.01")
NO_PRICE = "the EHR gives no price for this service and the clinic's fee schedule has none on that date either"
ADD_PRICE = "Add the procedure code to the clinic's fee_schedule for that date, or enter the charge in the EHR."


def coded(system: str) -> Callable[[str], dict[str, Any]]:
    """A transform: a code as a concept of one code system."""

    def via(code: str) -> dict[str, Any]:
        return concept(system, code)

    via.__doc__ = f"A concept of {system}."
    return via


def number(index: int) -> int:
    """Numbered from 1 in order."""
    return index + 1


def filled(value: Any) -> Any:
    """Left out when empty."""
    return value or None


def first_one(found: Sequence[Any] | None) -> Any:
    """The first one; left out when there is none."""
    return found[0] if found else None


def reference(target: str | None) -> dict[str, str] | None:
    """A reference to it; left out when there is none."""
    return {"reference": target} if target else None


def reference_to(resource: Resource) -> dict[str, str]:
    """A reference to it."""
    return {"reference": reference_of(resource)}


def provenance(source: str) -> dict[str, Any]:
    """`source`: the EHR's address of the encounter and its version; `profile`: the gateway's claim."""
    return {"source": source, "profile": [f"{codes.PROFILE_BASE}/gateway-claim"]}


def identifiers(own_id: str, clinic_id: str, encounter_id: str, generation: int) -> list[dict[str, Any]]:
    """The claim's id, and the patient account number (CLM01): hashes, the same for the same encounter."""
    return [
        {"system": codes.CLAIM_IDENTIFIER, "value": own_id},
        {
            "type": concept(codes.IDENTIFIER_TYPE, "PLAC"),
            "system": codes.ACCOUNT_IDENTIFIER,
            "value": account_number(clinic_id, encounter_id, generation),
        },
    ]


def service_period(serviced: Sequence[str]) -> dict[str, str]:
    """The first and the last date of service of the lines."""
    return {"start": min(serviced), "end": max(serviced)}


def total(nets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum of the lines' charges in USD."""
    return money(sum((line["value"] for line in nets), Decimal(0)))


def referral(number_: str | None) -> dict[str, Any] | None:
    """A reference by identifier; left out when there is none."""
    return {"identifier": {"value": number_}} if number_ else None


def principal_first(index: int) -> list[dict[str, Any]]:
    """The first one is the principal diagnosis."""
    return [] if index else [concept(codes.DIAGNOSIS_TYPE, "principal")]


def is_first(index: int) -> bool:
    """True for the first one, else false."""
    return index == 0


def on_first(index: int, value: str | None) -> list[str]:
    """On the first coverage; left out when there is none."""
    return [value] if value and index == 0 else []


def pointers(diagnosis_codes: Sequence[str], diagnoses: Sequence[str]) -> list[int]:
    """The places of the line's diagnoses in the claim's list, in the line's order, each once."""
    return [diagnoses.index(code) + 1 for code in dict.fromkeys(diagnosis_codes)]


def modifiers(found: Iterable[str]) -> list[dict[str, Any]]:
    """A concept each, in order: CPT for two digits and P1-P6, else HCPCS."""
    return [concept(codes.procedure_modifier_system(code), code) for code in found]


def service_date(own: date | None, of_encounter: date) -> str:
    """The line's own date, else the encounter's."""
    return (own or of_encounter).isoformat()


def place(own: str | None, of_encounter: str) -> dict[str, Any]:
    """The line's own place of service, else the encounter's, as a concept of the CMS code set."""
    return concept(codes.POS, own or of_encounter)


def quantity(value: Decimal, unit: str) -> dict[str, Any]:
    """The units; `unit` only when they are not plain units (UN)."""
    return {"value": value} if unit == "UN" else {"value": value, "unit": unit}


def numbered(drug: Resource | None) -> list[dict[str, Any]]:
    """The drug as the line's only detail; left out when there is none."""
    return [{"sequence": 1, **drug}] if drug else []


def unit_price(own: Decimal | None, fee: Fee, charge: ChargeLine, of_encounter: date) -> dict[str, Any]:
    """The EHR's price of one unit, else the clinic's fee on the date of service, in USD with at least two decimals."""
    price = own if own is not None else fee(charge.code, charge.modifiers, charge.serviced or of_encounter)
    if price is None:
        raise MappingError(f"{charge.expression}.unitPrice", NO_PRICE, ADD_PRICE)
    exponent = price.as_tuple().exponent
    whole_cents = isinstance(exponent, int) and exponent > -2  # drug units are priced in tenths of a cent
    return {"value": price.quantize(CENT) if whole_cents else price, "currency": "USD"}


def net(price: Mapping[str, Any], units: Decimal) -> dict[str, Any]:
    """The price of one unit times the units, rounded half up to the cent."""
    return money(price["value"] * units)


def money(amount: Decimal) -> dict[str, Any]:
    """An amount in USD, rounded half up to the cent."""
    return {"value": amount.quantize(CENT, ROUND_HALF_UP), "currency": "USD"}


def line_provider(performer: str | None, rendering: str | None, team: Iterable[Resource]) -> list[int]:
    """The place in the care team of the line's own rendering provider, else of the encounter's."""
    provider = performer or rendering
    of_provider = (m for m in team if m["provider"]["reference"] == provider)
    return [next(m["sequence"] for m in of_provider if is_rendering(m))] if provider else []


def is_rendering(member: Resource) -> bool:
    """Whether a member of the care team is a rendering provider."""
    return bool(member["role"]["coding"][0]["code"] == "rendering")


def payer_identifiers(organization: Resource, payer_ids: Mapping[str, str]) -> list[dict[str, Any]]:
    """The billing payer id that gateway.yaml gives for the payer's name or identifier, before the EHR's identifiers."""
    held: list[dict[str, Any]] = organization.get("identifier") or []
    known = [organization.get("name", ""), *(entry.get("value", "") for entry in held)]
    payer_id = next((payer_ids[key] for key in known if key in payer_ids), None)
    if payer_id is None or codes.identifier(organization, codes.PAYER_IDENTIFIER):
        return held
    return [{"system": codes.PAYER_IDENTIFIER, "value": payer_id}, *held]


def encounter(resource: Resource) -> list[dict[str, str]]:
    """A reference to the encounter, on every line (C11)."""
    return [reference_to(resource)]


def configured(source: str) -> dict[str, Any]:
    """`source`: the configuration; `profile`: the gateway's organization."""
    return {"source": source, "profile": [f"{codes.PROFILE_BASE}/gateway-organization"]}


def true(_: str) -> bool:
    """True."""
    return True


def provider_identifiers(npi: str, tax_id: str) -> list[dict[str, str]]:
    """NPI and EIN."""
    return [{"system": s, "value": value} for s, value in ((codes.NPI, npi), (codes.EIN, tax_id)) if value]


def taxonomy(code: str) -> list[dict[str, Any]]:
    """A concept of the NUCC provider taxonomy; left out when there is none."""
    return [concept(codes.TAXONOMY, code)] if code else []


def phone(value: str) -> list[dict[str, str]]:
    """A telephone number; left out when there is none."""
    return [{"system": "phone", "value": value}] if value else []


def address(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A FHIR Address as it is; left out when there is none."""
    return [value] if value else []
