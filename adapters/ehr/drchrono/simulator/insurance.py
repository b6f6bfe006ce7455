"""A visit's coverages as the blocks inside a DrChrono patient. Source: vendor document section 8."""

from __future__ import annotations

from typing import Any

from adapters.ehr.drchrono.simulator.store import Object
from gateway.kit.simulator_seed import SeedCoverage, SeedVisit

_PLACES = ("primary_insurance", "secondary_insurance", "tertiary_insurance")
_RELATIONSHIPS = {"spouse": "01", "child": "19", "common": "53", "other": "G8", "parent": "G8"}
_FILING = {"1": "MB", "2": "MC", "3": "CH", "511": "HM", "5": "CI", "6": "BL", "95": "WC"}
_GENDERS = {"male": "Male", "female": "Female"}


def insurance_of(visit: SeedVisit) -> Object:
    """The insurance members of the visit's patient and the profile by which the visit is paid."""
    current = _current(visit)
    blocks: Object = {**dict.fromkeys(_PLACES), "auto_accident_insurance": None, "workers_comp_insurance": None}
    if visit.accident and current:
        blocks["workers_comp_insurance"] = _workers_comp(current[0], visit)
        return {**blocks, "patient_payment_profile": "Worker's Comp"}
    for place, coverage in zip(_PLACES, current, strict=False):
        blocks[place] = _block(coverage)
    return {**blocks, "patient_payment_profile": "Insurance" if current else "Cash"}


def _current(visit: SeedVisit) -> list[SeedCoverage]:
    """Plans in force; DrChrono keeps no former ones. One that has ended but is the only one stays."""
    day = visit.start.date().isoformat() if visit.start else ""
    active = [c for c in visit.coverages if c.coverage.get("status") == "active"]
    in_force = [c for c in active if c.coverage.get("period", {}).get("end", "9999") >= day]
    return in_force or [*visit.coverages][:1]


def _block(held: SeedCoverage) -> Object:
    payer = held.payer or {}
    group, plan = held.plan("group"), held.plan("plan")
    own_plan = held.relationship == "self"
    return {
        "insurance_company": payer.get("name", ""),
        "insurance_payer_id": next((i.get("value", "") for i in payer.get("identifier", ())), ""),
        "insurance_id_number": held.member_id,
        "insurance_group_number": group.get("value", ""),
        "insurance_group_name": group.get("name", ""),
        "insurance_plan_name": plan.get("name", ""),
        "insurance_plan_type": _filing(held),
        "insurance_claim_office_number": "",
        "is_subscriber_the_patient": own_plan,
        "patient_relationship_to_subscriber": "" if own_plan else _RELATIONSHIPS.get(held.relationship, "G8"),
        **_subscriber({} if own_plan else held.subscriber or {}),
    }


def _filing(held: SeedCoverage) -> str:
    kinds = [str(c.get("code", "")) for c in (held.coverage.get("type") or {}).get("coding", ())]
    return next((_FILING[k[:n]] for k in kinds for n in range(len(k), 0, -1) if k[:n] in _FILING), "")


def _subscriber(person: dict[str, Any]) -> Object:
    name = (person.get("name") or [{}])[0]
    first, *others = name.get("given") or [""]
    address = (person.get("address") or [{}])[0]
    return {
        "subscriber_first_name": first,
        "subscriber_middle_name": " ".join(others),
        "subscriber_last_name": name.get("family", ""),
        "subscriber_suffix": " ".join(name.get("suffix", ())),
        "subscriber_date_of_birth": person.get("birthDate"),
        "subscriber_gender": _GENDERS.get(person.get("gender", ""), ""),
        "subscriber_address": ", ".join(address.get("line", ())),
        "subscriber_city": address.get("city", ""),
        "subscriber_state": address.get("state", ""),
        "subscriber_zip_code": address.get("postalCode", ""),
        "subscriber_country": "US" if address else "",
        "subscriber_social_security": "",
    }


def _workers_comp(held: SeedCoverage, visit: SeedVisit) -> Object:
    payer = held.payer or {}
    prefix = "workers_comp_"
    return {
        f"{prefix}company": payer.get("name", ""),
        f"{prefix}payer_id": next((i.get("value", "") for i in payer.get("identifier", ())), ""),
        f"{prefix}group_name": "",
        f"{prefix}group_number": held.plan("group").get("value", ""),
        f"{prefix}case_number": held.member_id,
        f"{prefix}carrier_code": "",
        f"{prefix}wcb": "",
        f"{prefix}date_of_accident": visit.accident.get("date"),
        f"{prefix}state_of_occurrence": (visit.accident.get("locationAddress") or {}).get("state", ""),
        f"{prefix}notes": "",
        "property_and_casualty_agency_claim_number": "",
    }
