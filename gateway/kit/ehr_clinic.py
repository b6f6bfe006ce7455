"""What the clinic's configuration knows of locations and providers, after what the EHR gives itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFacts, KnownLocation, KnownProvider
from gateway.canonical.models import Resource
from gateway.kit.ehr_element import codings
from gateway.kit.ehr_reading import Rule
from gateway.kit.ehr_source import Known, Source

_What = TypeVar("_What")


def known_location(location: Known, clinic: ClinicFacts) -> KnownLocation:
    """What `locations` in gateway.yaml says of it, by its id, NPI or name at the EHR; all empty when nothing."""
    return _known(clinic.locations, location, location.element.text("name")) or KnownLocation()


def known_provider(practitioner: Known, clinic: ClinicFacts) -> KnownProvider:
    """What `providers` in gateway.yaml says of it, by its NPI or its id at the EHR; all empty when nothing."""
    return _known(clinic.providers, practitioner) or KnownProvider()


def npi_of(practitioner: Known, clinic: ClinicFacts) -> str:
    """The NPI of a practitioner, or an empty text."""
    return _npi(practitioner) or known_provider(practitioner, clinic).npi


def taxonomies_of(practitioner: Known, source: Source) -> set[str]:
    """The NUCC taxonomy codes of a practitioner: of its qualifications, its roles, or the clinic's configuration."""
    held = [coding for entry in practitioner.element.children("qualification") for coding in codings(entry, "code")]
    for role in source.roles_of(practitioner):
        held += [coding for concept in role.children("specialty") for coding in concept.children("coding")]
    found = {coding.text("code") for coding in held if coding.text("system") == codes.TAXONOMY}
    return {code for code in (*found, known_provider(practitioner, source.clinic).taxonomy) if code}


def completed(resource: Resource, known: Known, clinic: ClinicFacts) -> Resource:
    """A canonical Location or Practitioner with what the clinic knows and the EHR does not give."""
    rules = CLINIC_RULES.get(known.resource_type, ())
    added = {rule.target: rule.via(resource, known, clinic) for rule in rules}
    return {**resource, **{name: value for name, value in added.items() if value}}


def _known(entries: Mapping[str, _What], known: Known, name: str | None = None) -> _What | None:
    keys = (known.vendor_reference.partition("/")[2], _npi(known), name)
    return next((entries[key] for key in keys if key and key in entries), None)


def _npi(known: Known) -> str:
    held = (entry for entry in known.element.children("identifier") if entry.text("system") == codes.NPI)
    return next((value for entry in held if (value := entry.text("value"))), "")


def _identified(resource: Resource, npi: str) -> list[dict[str, Any]] | None:
    if not npi or codes.identifier(resource, codes.NPI):
        return None
    return [*(resource.get("identifier") or []), {"system": codes.NPI, "value": npi}]


def _location_npi(resource: Resource, known: Known, clinic: ClinicFacts) -> list[dict[str, Any]] | None:
    """The EHR's, else the NPI that gateway.yaml gives."""
    return _identified(resource, known_location(known, clinic).npi)


def _name(resource: Resource, known: Known, clinic: ClinicFacts) -> Any:
    """The EHR's, else the one that gateway.yaml gives."""
    return resource.get("name") or known_location(known, clinic).name


def _address(resource: Resource, known: Known, clinic: ClinicFacts) -> Any:
    """The EHR's, else the one that gateway.yaml gives."""
    return resource.get("address") or dict(known_location(known, clinic).address)


def _provider_npi(resource: Resource, known: Known, clinic: ClinicFacts) -> list[dict[str, Any]] | None:
    """The EHR's, else the NPI that gateway.yaml gives."""
    return _identified(resource, known_provider(known, clinic).npi)


def _taxonomy(resource: Resource, known: Known, clinic: ClinicFacts) -> Any:
    """The EHR's, else the taxonomy code that gateway.yaml gives."""
    code = known_provider(known, clinic).taxonomy
    return resource.get("qualification") or ([{"code": codes.concept(codes.TAXONOMY, code)}] if code else [])


_LOCATIONS, _PROVIDERS = "gateway.yaml: locations", "gateway.yaml: providers"
CLINIC_RULES: Mapping[str, tuple[Rule, ...]] = {
    "Location": (
        Rule("identifier", f"Location.identifier | {_LOCATIONS}.npi", _location_npi),
        Rule("name", f"Location.name | {_LOCATIONS}.name", _name),
        Rule("address", f"Location.address | {_LOCATIONS}.address", _address),
    ),
    "Practitioner": (
        Rule("identifier", f"Practitioner.identifier | {_PROVIDERS}.npi", _provider_npi),
        Rule("qualification", f"Practitioner.qualification | {_PROVIDERS}.taxonomy", _taxonomy),
    ),
}
"""What is added to a canonical resource from gateway.yaml, by its type."""
