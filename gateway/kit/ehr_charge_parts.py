"""The parts of one charge: procedure code, modifiers, units and price (claim_profile section 6, boxes 24B-24G)."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from gateway.canonical import codes
from gateway.canonical.errors import MappingError
from gateway.canonical.models import Resource
from gateway.kit.ehr_diagnoses import icd10cm
from gateway.kit.ehr_element import Element, codings

MINUTES = frozenset({"min", "minute", "minutes", "mj"})
CENT = Decimal("0.01")
PRICE_DIGITS = (CENT, Decimal("0.0001"), Decimal("0.000001"))
DRUG_UNITS = {code: code for code in ("F2", "GR", "ME", "ML", "UN")} | {"IU": "F2", "[IU]": "F2", "G": "GR", "MG": "ME"}
"""CTP05-1 (international units, grams, milligrams, millilitres, units; claim_profile box 24) by it and by UCUM."""
MODIFIER_SYSTEMS = frozenset({codes.CPT, codes.HCPCS})


def procedure_code(owner: Element, name: str) -> tuple[str, str]:
    """System and code of the first CPT or HCPCS coding; the system follows the code's form, as EHRs mix the two up."""
    for coding in codings(owner, name):
        code = (coding.text("code") or "").upper()
        system = codes.procedure_system(code)
        if system and is_procedure_coding(coding):
            return system, code
    raise MappingError(
        owner.at(name),
        "the charge has no CPT or HCPCS code",
        "Enter a valid CPT or HCPCS code for this charge in the EHR.",
    )


def is_procedure_coding(coding: Element) -> bool:
    """Whether a coding is a CPT or HCPCS code and not a modifier beside one."""
    code = coding.text("code") or ""
    return coding.text("system") in MODIFIER_SYSTEMS and len(code) > 2


def item_modifiers(item: Element, name: str, extension: str, extensions: frozenset[str]) -> tuple[str, ...]:
    """The modifiers of a Claim.item, in order."""
    found = []
    for concept in item.children(name):
        values = [(c.text("code"), c.at("code")) for c in concept.children("coding")]
        found.append(next((_modifier(v, path) for v, path in values if v), None) or _modifier("", concept.path))
    return unique([*found, *_extension_modifiers(item, extension, extensions)])


def concept_modifiers(concept: Element | None, extensions: frozenset[str]) -> tuple[str, ...]:
    """Modifiers beside the procedure code: R4 gives ChargeItem and Procedure no element of their own for them."""
    if concept is None:
        return ()
    beside = [
        _modifier(code, coding.at("code"))
        for coding in concept.children("coding")
        if coding.text("system") in MODIFIER_SYSTEMS and len(code := coding.text("code") or "") == 2
    ]
    return unique([*beside, *_extension_modifiers(concept, "extension", extensions)])


def _extension_modifiers(element: Element, name: str, extensions: frozenset[str]) -> list[str]:
    found = []
    for extension in element.children(name):
        if extension.text("url") not in extensions:
            continue
        concept, coding = extension.child("valueCodeableConcept"), extension.child("valueCoding")
        coded = [c.text("code") for c in (concept.children("coding") if concept else [coding] if coding else [])]
        plain = [extension.text("valueCode"), extension.text("valueString")]
        found.append(_modifier(next((value for value in (*coded, *plain) if value), ""), extension.path))
    return found


def _modifier(value: str, path: str) -> str:
    canonical = codes.modifier(value)
    if canonical is None:
        raise MappingError(path, "this is not a procedure modifier (two letters or digits)", "Correct it in the EHR.")
    return canonical


def quantity_of(owner: Element, name: str) -> Decimal:
    """The units, above zero; 1 when the EHR gives none."""
    held = owner.child(name)
    value = held.number("value", below=10**5) if held else None
    if held is not None and value is not None and value <= 0:
        raise MappingError(held.at("value"), "the number of units is not above zero", "Correct the units in the EHR.")
    return Decimal(1) if value is None else value


def unit_of(owner: Element, name: str) -> str:
    """MJ for minutes of anaesthesia, else UN (claim_profile box 24G)."""
    held = owner.child(name)
    named = {(held.text("code") or "").lower(), (held.text("unit") or "").lower()} if held else set()
    return "MJ" if named & MINUTES else "UN"


def item_price(item: Element, quantity: Decimal, unit_price: str, factor: str, net: str) -> Decimal | None:
    """The unit price with the item's factor in it, from the price or from the net; both must agree."""
    price, charged = _money(item, unit_price), _money(item, net)
    times = item.number(factor, below=10**4)
    if price is not None and times is not None:
        price *= times
    if price is None:
        return None if charged is None else _per_unit(charged, quantity, item.at(net))
    if charged is not None and _cents(price * quantity) != _cents(charged):
        raise MappingError(
            item.at(net), "the charge is not the unit price times the units", "Correct price or units in the EHR."
        )
    return price


def charge_item_price(charge: Element, quantity: Decimal, name: str) -> Decimal | None:
    """ChargeItem.priceOverride is the line's total price (R4), so it is divided by the units."""
    total = _money(charge, name)
    return None if total is None else _per_unit(total, quantity, charge.at(name))


def _per_unit(total: Decimal, quantity: Decimal, path: str) -> Decimal:
    """The shortest unit price that gives back the total to the cent."""
    for digits in PRICE_DIGITS:
        price = (total / quantity).quantize(digits, ROUND_HALF_UP)
        if _cents(price * quantity) == _cents(total):
            return price
    raise MappingError(path, "the charge cannot be divided by the units", "Enter the price of one unit in the EHR.")


def drug_of(item: Element, name: str) -> Resource | None:
    """The first detail of an item that is coded with an NDC, and how much of it was given."""
    for detail in item.children(name):
        for coding in codings(detail, "productOrService"):
            if coding.text("system") == codes.NDC:
                return {"productOrService": codes.concept(codes.NDC, _ndc(coding)), **_given(detail)}
    return None


def _ndc(coding: Element) -> str:
    code = codes.ndc(coding.text("code") or "")
    if code is None:
        message = "this is not a National Drug Code of 11 digits (5-4-2)"
        raise MappingError(coding.at("code"), message, "Enter the NDC in the EHR, each part filled up with zeros.")
    return code


def _given(detail: Element) -> Resource:
    """The quantity with its unit (F2, GR, ME, ML, UN), where the EHR gives one."""
    held = detail.child("quantity")
    if held is None:
        return {}
    value = held.number("value")
    unit = DRUG_UNITS.get((held.text("code") or held.text("unit") or "UN").upper())
    if value is None or value <= 0 or unit is None:
        message = f"the amount of the drug is not a number above zero in one of {', '.join(DRUG_UNITS)}"
        raise MappingError(held.path, message, "Correct the amount of the drug and its unit in the EHR.")
    return {"quantity": {"value": value, "unit": unit}}


def _money(owner: Element, name: str) -> Decimal | None:
    held = owner.child(name)
    if held is None:
        return None
    if (held.text("currency") or "USD") != "USD":
        raise MappingError(held.at("currency"), "the price is not in US dollars", "Enter the price in US dollars.")
    return held.number("value")


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def reason_code(reason: Element) -> str:
    """The ICD-10-CM code of a ChargeItem.reason, which is itself the concept."""
    return icd10cm(Element({"reason": reason.value}, reason.path.rpartition(".")[0]), "reason")


def place_code(owner: Element, name: str) -> str | None:
    """The CMS place of service code of a concept."""
    return next(
        (
            code
            for coding in codings(owner, name)
            if coding.text("system") == codes.POS and (code := coding.text("code"))
        ),
        None,
    )


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """The values in order, each once."""
    return tuple(dict.fromkeys(values))
