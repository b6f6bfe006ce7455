"""The sandbox's clinic itself: its practitioners, places and payers, as FHIR and as the billing system knows them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from gateway.canonical import codes
from gateway.canonical.models import Resource
from gateway.sandbox.catalogue import load
from gateway.sandbox.day_plan import Address, Payer, Provider

EHR_IDENTIFIERS = "https://ehr.lakeview.example/identifiers"
SOPT = "https://nahdo.org/sopt"
_ORGANIZATION_TYPE = f"{codes.THO}/organization-type"
_LOCATION_PHYSICAL_TYPE = f"{codes.THO}/location-physical-type"


@dataclass(frozen=True, slots=True)
class Place:
    """A location of the clinic, or the clinic itself; `place_of_service` is the CMS code."""

    id: str
    name: str
    npi: str
    phone: str
    address: Address
    place_of_service: str = ""
    tax_id: str = ""
    taxonomy: str = ""


@dataclass(frozen=True, slots=True)
class Practice:
    """Everything about the clinic that does not change from day to day. `fees` are USD per unit."""

    timezone: ZoneInfo
    organization: Place
    places: tuple[Place, ...]
    providers: tuple[Provider, ...]
    referrers: tuple[Provider, ...]
    payers: tuple[Payer, ...]
    fees: dict[str, Decimal]

    def payer(self, kind: str) -> Payer:
        """The payer of a kind."""
        return next(payer for payer in self.payers if payer.kind == kind)


@cache
def practice() -> Practice:
    """The practice of the catalogue."""
    data = load("practice")
    return Practice(
        timezone=ZoneInfo(data["timezone"]),
        organization=_place(data["organization"]),
        places=tuple(_place(row) for row in data["locations"]),
        providers=tuple(Provider(**row) for row in data["providers"]),
        referrers=tuple(Provider(**row) for row in data["referrers"]),
        payers=tuple(Payer(**row) for row in data["payers"]),
        fees={code: Decimal(fee) for code, fee in load("fees").items()},
    )


def _place(row: dict[str, Any]) -> Place:
    return Place(**{**row, "address": Address(**row["address"])})


def resources(of: Practice) -> list[Resource]:
    """The Organizations, Locations, Practitioners and PractitionerRoles that all visits share."""
    people = [*of.providers, *of.referrers]
    return [
        _clinic_organization(of.organization),
        *(_location(place, of) for place in of.places),
        *(payer_organization(payer) for payer in of.payers),
        *(practitioner(provider) for provider in people),
        *(_practitioner_role(provider, of) for provider in of.providers),
    ]


def directory(of: Practice) -> dict[str, Any]:
    """What the billing system has on file, in no vendor's words; fees are text in USD."""
    place = of.organization
    return {
        "practice": {
            "name": place.name,
            "npi": place.npi,
            "tax_id": place.tax_id,
            "address": address(place.address),
            "phone": place.phone,
        },
        "providers": [
            {"npi": p.npi, "family": p.family, "given": p.given, "taxonomy": p.taxonomy}
            for p in (*of.providers, *of.referrers)
        ],
        "locations": [
            {
                "name": p.name,
                "npi": p.npi,
                "place_of_service": p.place_of_service,
                "address": address(p.address),
            }
            for p in of.places
        ],
        "payers": [{"payer_id": p.payer_id, "name": p.name, "plan": p.plan} for p in of.payers],
        "procedures": list(of.fees),
        "fees": _fees(of),
    }


def clinic(of: Practice) -> dict[str, Any]:
    """The `clinic` part of gateway.yaml."""
    place = of.organization
    return {
        "name": place.name,
        "timezone": of.timezone.key,
        "billing_provider": {
            "name": place.name,
            "npi": place.npi,
            "tax_id": place.tax_id,
            "taxonomy": place.taxonomy,
            "phone": place.phone,
            "address": address(place.address),
        },
        "place_of_service": "11",
        "fee_schedule": _fees(of),
        "payer_ids": {payer.name: payer.payer_id for payer in of.payers},
        "locations": {place.name: _known_place(place) for place in of.places},
        "providers": {provider.npi: {"taxonomy": provider.taxonomy} for provider in of.providers},
    }


def _known_place(place: Place) -> dict[str, Any]:
    """What an EHR may not tell of a location; the place of service differs by visit, where there is more than one."""
    return {"npi": place.npi, "name": place.name, "address": address(place.address)}


def _fees(of: Practice) -> dict[str, str]:
    return {code: str(fee) for code, fee in of.fees.items()}


def address(of: Address) -> dict[str, Any]:
    """A FHIR Address, new on each call."""
    street, _, unit = of.line.partition(", ")
    return {
        "line": [street, unit] if unit else [street],
        "city": of.city,
        "state": of.state,
        "postalCode": of.postal_code,
        "country": "US",
    }


def practitioner(of: Provider, *, resource_id: str = "", npi: str = "") -> Resource:
    """A US Core Practitioner; `resource_id` and `npi` make a second, mistyped record of the same person."""
    return {
        "resourceType": "Practitioner",
        "id": resource_id or of.id,
        "identifier": [{"system": codes.NPI, "value": npi or of.npi}],
        "active": True,
        "name": [{"use": "official", "family": of.family, "given": [of.given], "suffix": [of.credential]}],
        "gender": of.gender,
        "qualification": [{"code": codes.concept(codes.TAXONOMY, of.taxonomy)}],
    }


def payer_organization(of: Payer) -> Resource:
    """The payer as an Organization; the identifier is the EHR's own copy of the billing payer id, when it has one."""
    resource: Resource = {
        "resourceType": "Organization",
        "id": of.id,
        "active": True,
        "type": [codes.concept(_ORGANIZATION_TYPE, "pay")],
        "name": of.name,
        "telecom": [{"system": "phone", "value": "800-555-0199"}],
        "address": [address(Address(f"PO Box {5000 + len(of.name)}", "Peoria", "61601"))],
    }
    if of.payer_id:
        resource["identifier"] = [{"system": f"{EHR_IDENTIFIERS}/payer", "value": of.payer_id}]
    return resource


def _clinic_organization(of: Place) -> Resource:
    return {
        "resourceType": "Organization",
        "id": of.id,
        "identifier": [{"system": codes.NPI, "value": of.npi}, {"system": codes.EIN, "value": of.tax_id}],
        "active": True,
        "type": [codes.concept(_ORGANIZATION_TYPE, "prov")],
        "name": of.name,
        "telecom": [{"system": "phone", "value": of.phone}],
        "address": [address(of.address)],
    }


def _location(of: Place, practice_: Practice) -> Resource:
    virtual = of.place_of_service == "10"
    return {
        "resourceType": "Location",
        "id": of.id,
        "identifier": [{"system": codes.NPI, "value": of.npi}],
        "status": "active",
        "name": of.name,
        "mode": "instance",
        "type": [codes.concept(codes.POS, of.place_of_service)],
        "telecom": [{"system": "phone", "value": of.phone}],
        "address": address(of.address),
        "physicalType": codes.concept(_LOCATION_PHYSICAL_TYPE, "vi" if virtual else "bu"),
        "managingOrganization": {"reference": f"Organization/{practice_.organization.id}"},
    }


def _practitioner_role(of: Provider, practice_: Practice) -> Resource:
    return {
        "resourceType": "PractitionerRole",
        "id": of.id.replace("pr-", "prr-", 1),
        "active": True,
        "practitioner": {"reference": f"Practitioner/{of.id}"},
        "organization": {"reference": f"Organization/{practice_.organization.id}"},
        "specialty": [codes.concept(codes.TAXONOMY, of.taxonomy)],
        "location": [{"reference": f"Location/{of.location}"}],
    }
