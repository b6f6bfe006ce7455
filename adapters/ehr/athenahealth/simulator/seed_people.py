"""Patients, insurances, providers and departments of the clinic day as rows of the v1 API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from adapters.ehr.athenahealth.simulator.words import Row, mdy, read_mdy
from gateway.canonical import codes
from gateway.canonical.codes import codings
from gateway.canonical.models import Resource
from gateway.kit.simulator_seed import SeedCoverage

_RELATIONSHIPS = {"self": (1, "Self"), "spouse": (2, "Spouse"), "child": (3, "Child")}
_OTHER = (4, "Other")


def patient(resource: Resource, patient_id: str) -> Row:
    """The front desk's record of a person."""
    return {
        "patientid": patient_id,
        **_name(resource),
        "dob": _day(resource.get("birthDate")),
        "sex": _sex(resource),
        **_address(resource),
        "homephone": _phone(resource),
        "status": "active",
        "language6392code": "eng",
    }


def insurance(coverage: SeedCoverage, insurance_id: str, package_id: str) -> Row:
    """One insurance of a patient, with its policy holder."""
    held, payer = coverage.coverage, coverage.payer or {}
    number, word = _RELATIONSHIPS.get(coverage.relationship, _OTHER)
    period = held.get("period", {})
    cancelled = held.get("status") == "cancelled"
    return {
        "insuranceid": insurance_id,
        "insurancepackageid": package_id,
        "insuranceidnumber": coverage.member_id,
        "policynumber": coverage.plan("group").get("value"),
        "sequencenumber": str(held.get("order", 1)),
        "insurancetype": "Commercial",
        "insuranceplanname": coverage.plan("plan").get("name"),
        "ircid": package_id[::-1],
        "ircname": payer.get("name"),
        **_address(payer, "insurancepackage"),
        "insurancephone": _phone(payer),
        "relationshiptoinsuredid": str(number),
        "relationshiptoinsured": word,
        **_holder(coverage.subscriber or {}),
        "eligibilitystatus": "Eligible",
        "issuedate": _day(period.get("start")),
        "expirationdate": _day(period.get("end")),
        "cancelled": _day(period.get("start")) if cancelled else None,
    }


def ends(row: Mapping[str, Any]) -> date | None:
    """The last day of an insurance."""
    return read_mdy(row["expirationdate"]) if row.get("expirationdate") else None


def provider(resource: Resource, provider_id: int) -> Row:
    """One of the practice's own providers; the NPI is a number here."""
    npi = codes.identifier(resource, codes.NPI)
    taxonomy = next((c["code"] for q in resource.get("qualification", ()) for c in codings(q["code"])), None)
    return {
        "providerid": provider_id,
        "npi": int(npi) if npi else None,
        **_name(resource),
        "ansispecialtycode": taxonomy,
        "providertype": "MD",
        "entitytype": "Person",
        "billable": "true",
        "sex": _sex(resource),
    }


def referrer(resource: Resource, referrer_id: str) -> Row:
    """A referring provider, with its own id space and its own name for the NPI."""
    return {
        "referringproviderid": referrer_id,
        "npinumber": codes.identifier(resource, codes.NPI),
        **_name(resource),
    }


def department(location: Resource, department_id: str, place_of_service: str) -> Row:
    """A department: a place with its CMS place of service code."""
    return {
        "departmentid": department_id,
        "name": location.get("name", "MAIN OFFICE"),
        **_address({"address": [location["address"]] if "address" in location else []}, first="address"),
        "phone": _phone(location),
        "placeofservicetypeid": place_of_service,
        "placeofservicetypename": "OFFICE",
        "placeofservicefacility": "false",
        "timezone": -6,
        "clinicals": "ON",
    }


def _holder(person: Resource) -> Row:
    at = "insurancepolicyholder"
    return {
        **_name(person, at),
        f"{at}dob": _day(person.get("birthDate")),
        f"{at}sex": _sex(person),
        **_address(person, at),
    }


def _name(person: Resource, prefix: str = "") -> Row:
    name: dict[str, Any] = next(iter(person.get("name", ())), {})
    given = [*name.get("given", ()), None, None]
    return {
        f"{prefix}firstname": given[0],
        f"{prefix}middlename": given[1],
        f"{prefix}lastname": name.get("family"),
        f"{prefix}suffix": next(iter(name.get("suffix", ())), None),
    }


def _address(owner: Mapping[str, Any], prefix: str = "", *, first: str = "address1") -> Row:
    address: dict[str, Any] = next(iter(owner.get("address", ())), {})
    line = [*address.get("line", ()), None, None]
    return {
        f"{prefix}{first}": line[0],
        f"{prefix}address2": line[1],
        f"{prefix}city": address.get("city"),
        f"{prefix}state": address.get("state"),
        f"{prefix}zip": address.get("postalCode"),
    }


def _sex(person: Resource) -> str | None:
    return {"male": "M", "female": "F"}.get(person.get("gender", ""))


def _phone(owner: Mapping[str, Any]) -> str | None:
    return next((t.get("value") for t in owner.get("telecom", ())), None)


def _day(text: str | None) -> str | None:
    return mdy(date.fromisoformat(text)) if text else None
