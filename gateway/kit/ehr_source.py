"""An encounter record made ready for mapping: pruned, indexed, its references resolved and its ids made canonical."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.canonical import codes
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.identifiers import canonical_id
from gateway.canonical.jsonio import canonical_bytes
from gateway.canonical.models import EncounterRecord
from gateway.kit.ehr_element import Element
from gateway.kit.ehr_pruning import pruned
from gateway.kit.ehr_references import local_reference
from gateway.kit.ehr_signoff import BY_STATUS, SignOffRule

STANDARD_ALIASES: Mapping[str, str] = {
    **dict.fromkeys(codes.HCPCS_ALIASES, codes.HCPCS),
    **dict.fromkeys(codes.ICD10CM_ALIASES, codes.ICD10CM),
    "urn:oid:2.16.840.1.113883.6.12": codes.CPT,
    "urn:oid:2.16.840.1.113883.6.96": codes.SNOMED,
    "urn:oid:2.16.840.1.113883.4.6": codes.NPI,
    "urn:oid:2.16.840.1.113883.6.101": codes.TAXONOMY,
    codes.POS.replace("https:", "http:"): codes.POS,
    "urn:oid:2.16.840.1.113883.6.50": codes.POS,
}
"""Other spellings of the code systems that claims need (claim_profile section 8)."""


PEOPLE = frozenset({"Patient", "Practitioner", "RelatedPerson"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one vendor's FHIR differs; every difference is a value here."""

    code_system_aliases: Mapping[str, str] = field(default_factory=dict)
    charge_sources: tuple[str, ...] = ("claim", "charge_item", "charge_map", "procedure")
    modifier_extensions: frozenset[str] = frozenset()  # URLs of extensions that carry a charge's modifiers
    signed_statuses: frozenset[str] = frozenset({"finished"})
    record_number_system: str = ""  # of the medical record number by which superbills name a patient; "": type MR
    signoff: SignOffRule = BY_STATUS  # what must prove the signature beside the status
    watch_unsigned: bool = False  # look again by itself: no notice may come when the encounter is signed

    def canonical_system(self, system: str) -> str:
        """The canonical URI of a code or identifier system."""
        own = self.code_system_aliases.get(system, system)
        return STANDARD_ALIASES.get(own, own)


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One resource of the record, with its canonical reference."""

    element: Element
    reference: str  # canonical `Type/id`
    vendor_reference: str  # `Type/id` at the EHR; for a contained one `Type/id#local`

    @property
    def resource_type(self) -> str:
        """The FHIR type."""
        return self.reference.partition("/")[0]


class Source:
    """The record's resources by reference. `use` marks what the canonical bundle must hold."""

    def __init__(self, record: EncounterRecord, connection: str, clinic: ClinicFacts, dialect: Dialect) -> None:
        self.connection, self.clinic, self.dialect = connection, clinic, dialect
        self.base_url = record.base_url
        self.used: dict[str, Known] = {}
        self._known: dict[str, Known] = {}
        encounter = pruned(record.encounter, dialect.canonical_system)
        self.encounter = self._index({**encounter, "id": record.ref.encounter_id}, "Encounter", "Encounter")
        numbers: dict[str, int] = {}
        for raw in record.resources:
            resource = pruned(raw, dialect.canonical_system)
            name = resource.get("resourceType")
            if isinstance(name, str) and isinstance(resource.get("id"), str):
                self._index(resource, name, f"{name}[{numbers.get(name, 0)}]")
                numbers[name] = numbers.get(name, 0) + 1

    def of_type(self, resource_type: str) -> list[Known]:
        """All resources of a type that were read, in order; contained ones are not among them."""
        return [k for k in self._known.values() if k.resource_type == resource_type and "#" not in k.vendor_reference]

    def resolve(self, reference: Element | None, owner: Known, *, mint: str = "") -> Known | None:
        """What a Reference names. With `mint`, a reference by identifier or name alone makes a resource of that type.

        Contained resources are found through their owner. None when nothing is known of it.
        """
        if reference is None:
            return None
        text = reference.text("reference")
        key = self._key(text, owner) if text else None
        found = self._known.get(key) if key else None
        return found or (self._minted(reference, mint, owner) if mint else None)

    def provider(self, reference: Element | None, owner: Known) -> Known | None:
        """The Practitioner that a Reference names, through a PractitionerRole where there is one."""
        found = self.resolve(reference, owner, mint="Practitioner")
        if found is not None and found.resource_type == "PractitionerRole":
            found = self.resolve(found.element.child("practitioner"), found, mint="Practitioner")
        return found if found is not None and found.resource_type == "Practitioner" else None

    def roles_of(self, practitioner: Known) -> Iterator[Element]:
        """The PractitionerRoles of a practitioner."""
        for role in self.of_type("PractitionerRole"):
            if self.resolve(role.element.child("practitioner"), role) is practitioner:
                yield role.element

    def role_of(self, practitioner: Known) -> Mapping[str, Any]:
        """The first PractitionerRole of a practitioner, or nothing."""
        role = next(self.roles_of(practitioner), None)
        return role.value if role else {}

    def use(self, known: Known) -> str:
        """The canonical reference of a resource that the bundle will then hold."""
        self.used.setdefault(known.reference, known)
        return known.reference

    def same_patient(self, known: Known, name: str, patient: Known) -> None:
        """Raise `MappingError` when a resource belongs to somebody else than the encounter's patient."""
        named = self.resolve(known.element.child(name), known)
        if named is not None and named is not patient:
            raise MappingError(
                known.element.at(name),
                "this record belongs to another patient than the encounter",
                "Correct the patient of this record in the EHR; nothing is billed until then.",
            )

    def _key(self, text: str, owner: Known) -> str | None:
        if text.startswith("#"):
            container = owner.vendor_reference.partition("#")[0]
            return container if text == "#" else f"{container}{text}"
        return local_reference(text, self.base_url)

    def _index(self, resource: Mapping[str, Any], name: str, path: str) -> Known:
        vendor_reference = f"{name}/{resource['id']}"
        known = self._add(Element(resource, path), name, str(resource["id"]), vendor_reference)
        for contained in known.element.children("contained"):
            local, kind = contained.text("id"), contained.text("resourceType")
            if local and kind:
                self._add(contained, kind, f"{name}-{resource['id']}-{local}", f"{vendor_reference}#{local}")
        return known

    def _add(self, element: Element, name: str, vendor_id: str, vendor_reference: str) -> Known:
        known = Known(element, f"{name}/{canonical_id(self.connection, vendor_id)}", vendor_reference)
        return self._known.setdefault(vendor_reference, known)

    def _minted(self, reference: Element, resource_type: str, owner: Known) -> Known | None:
        """A resource for a reference that carries only an identifier or a name: common for payers and referrers."""
        named_type = reference.text("type") or resource_type
        identifier, display = reference.child("identifier"), reference.text("display")
        if named_type != resource_type or (identifier is None and display is None):
            return None
        name: Any = [{"text": display}] if resource_type in PEOPLE else display
        resource: dict[str, Any] = {"resourceType": resource_type}
        if identifier is not None:
            resource["identifier"] = [identifier.value]
        if display is not None:
            resource["name"] = name
        vendor_id = hashlib.sha256(canonical_bytes(resource)).hexdigest()[:32]
        container = owner.vendor_reference.partition("#")[0]
        return self._add(Element(resource, reference.path), resource_type, vendor_id, f"{container}#{vendor_id}")
