"""Reading all of one encounter in two waves: what its id finds, then what those resources name.

Source: shared vendors generic_smart_fhir sections 3 and 9. A third wave happens only where a server follows no
`_include`, or where something names a resource that nothing before it named.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.canonical.errors import AdapterError, ErrorCode, PermissionMissing, UnexpectedResponse
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.kit.ehr_cache import ResourceCache
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_element import parsed_instant
from gateway.kit.ehr_references import is_vendor_id, local_reference, references_at
from gateway.kit.together import together

log = logging.getLogger(__name__)

MAX_WAVES = 4
ABSENT_SECONDS = 3600.0
OPTIONAL_TYPES = frozenset({"ServiceRequest", "RelatedPerson", "PractitionerRole"})
"""Types that a client may lack the scope for without harm to most claims."""


@dataclass(frozen=True, slots=True)
class Search:
    """One search that belongs to every encounter. `by` is the parameter that takes the encounter or the patient.

    `typed` sends `Type/id`, as parameters that may name several types need. `optional` searches may be forbidden; one
    that is `needed` may not even be missing: without it something would go unbilled, or be billed unsigned. The
    elements in `without` are dropped from what is found: they are not needed, and large or clinical. One that finds
    the charges of one `source` is made only where charges are taken from there. `anchored` ones name the patient as
    well at servers that ask for it.
    """

    resource_type: str
    by: str
    includes: tuple[str, ...] = ()
    typed: bool = False
    optional: bool = False
    needed: bool = False
    without: tuple[str, ...] = ()
    source: str = ""
    anchored: bool = True

    def serves(self, charge_sources: Container[str]) -> bool:
        """Whether what it finds is used."""
        return not self.source or self.source in charge_sources

    def pruned(self, found: list[Resource]) -> list[Resource]:
        """The found resources without what is not needed of them."""
        if not self.without:
            return found
        return [{name: value for name, value in r.items() if name not in self.without} for r in found]


ENCOUNTER_INCLUDES = ("Encounter:subject", "Encounter:practitioner", "Encounter:location")
BY_ENCOUNTER = (
    Search("Condition", "encounter"),
    Search("Procedure", "encounter", optional=True),
    Search("Claim", "encounter", ("Claim:care-team", "Claim:facility"), optional=True, source="claim"),
    Search("ChargeItem", "context", typed=True, optional=True, source="charge_item", anchored=False),
)
DOCUMENTS = Search("DocumentReference", "encounter", needed=True, without=("content", "text", "contained"))
"""The notes of the encounter without what is in them: their type, and whether they are signed."""
BY_PATIENT = (Search("Coverage", "patient", ("Coverage:payor", "Coverage:subscriber")),)

FOLLOWED: Mapping[str, tuple[str, ...]] = {
    "Encounter": (
        "subject",
        "participant.individual",
        "location.location",
        "serviceProvider",
        "diagnosis.condition",
        "basedOn",
        "appointment",
    ),
    "Claim": (
        "careTeam.provider",
        "facility",
        "referral",
        "diagnosis.diagnosisReference",
        "insurance.coverage",
    ),
    "ChargeItem": ("performer.actor",),
    "Procedure": ("performer.actor", "reasonReference"),
    "Coverage": ("payor", "subscriber"),
    "PractitionerRole": ("practitioner",),
    "ServiceRequest": ("requester",),
}
"""Which references of which resource are read."""

FOLLOWED_TYPES = frozenset(
    {
        "Patient",
        "Practitioner",
        "PractitionerRole",
        "Organization",
        "Location",
        "Condition",
        "Coverage",
        "RelatedPerson",
        "ServiceRequest",
    }
)


class EncounterFetcher:
    """Reads encounters of one connection; remembers what its server does not offer."""

    def __init__(
        self,
        client: FhirClient,
        *,
        includes: bool = True,
        patient_anchored: bool = False,
        by_encounter: tuple[Search, ...] = BY_ENCOUNTER,
        by_patient: tuple[Search, ...] = BY_PATIENT,
        followed_types: frozenset[str] = FOLLOWED_TYPES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._includes, self._anchored = client, includes, patient_anchored
        self._by_encounter, self._by_patient = by_encounter, by_patient
        self._followed_types = followed_types
        self._clock = clock
        self._cache = ResourceCache(clock)
        self._absent: dict[str, float] = {}

    @property
    def not_offered(self) -> tuple[str, ...]:
        """The searches and includes that the server has refused within the last hour."""
        return tuple(sorted(what for what in self._absent if self._is_absent(what)))

    async def fetch(self, ref: EncounterRef) -> EncounterRecord:
        """The encounter with everything a claim may need, as the EHR gave it; raises only `AdapterError`s."""
        client = self._client.counting()
        found = _Found(client.base_url, self._followed_types)
        first = [self._encounter(client, ref)]
        if not self._anchored:
            first += [self._search(client, search, ref.encounter_id) for search in self._by_encounter]
        found.add(await together(first))
        encounter = found.resources.pop(f"Encounter/{ref.encounter_id}")
        await self._follow(client, found, encounter)
        return EncounterRecord(ref, client.base_url, encounter, tuple(found.resources.values()), client.requests)

    async def _follow(self, client: FhirClient, found: _Found, encounter: Resource) -> None:
        patient = _patient_id(encounter, client.base_url)
        searches = [self._search(client, search, patient) for search in self._by_patient] if patient else []
        coming = {search.resource_type for search in self._by_patient} if patient else set()
        if self._anchored and patient:
            searches += [self._search(client, s, encounter["id"], patient) for s in self._by_encounter]
            coming |= {search.resource_type for search in self._by_encounter}
        for _ in range(MAX_WAVES):
            reads = [self._referenced(client, reference) for reference in found.unread(encounter, coming)]
            if not searches and not reads:
                return
            found.add(await together([*searches, *reads]))
            searches, coming = [], set()

    async def _encounter(self, client: FhirClient, ref: EncounterRef) -> list[Resource]:
        if not is_vendor_id(ref.encounter_id):
            text = "the encounter's id is not a FHIR id"
            raise UnexpectedResponse(client.vendor, "read:Encounter", text, code=ErrorCode.NOT_FOUND)
        what = "Encounter with _include"
        if self._includes and not self._is_absent(what):
            try:
                params = {"_id": ref.encounter_id, "_include": list(ENCOUNTER_INCLUDES)}
                found = await client.search("Encounter", params)
            except UnexpectedResponse as problem:
                self._note_absent(what, problem)
            else:
                if _holds_current(found, ref):
                    return found
        return [await client.read(f"Encounter/{ref.encounter_id}")]

    async def _search(
        self, client: FhirClient, search: Search, owner: str, patient: str | None = None
    ) -> list[Resource]:
        """The results of one search; none when the server does not offer it."""
        if self._is_absent(search.resource_type):
            return []
        owner_type = "Patient" if search in self._by_patient else "Encounter"
        params: dict[str, Any] = {search.by: f"{owner_type}/{owner}" if search.typed else owner}
        if patient is not None and search.anchored:
            params["patient"] = patient
        try:
            return search.pruned(await self._including(client, search, params))
        except PermissionMissing:
            if not search.optional:
                raise
            self._remember_absent(search.resource_type)
        except UnexpectedResponse as problem:
            if search.needed:
                raise
            self._note_absent(search.resource_type, problem)
        return []

    async def _including(self, client: FhirClient, search: Search, params: dict[str, Any]) -> list[Resource]:
        what = f"{search.resource_type} with _include"
        if search.includes and self._includes and not self._is_absent(what):
            try:
                return await client.search(search.resource_type, {**params, "_include": list(search.includes)})
            except UnexpectedResponse as problem:
                self._note_absent(what, problem)
        return await client.search(search.resource_type, params)

    async def _referenced(self, client: FhirClient, reference: str) -> list[Resource]:
        """The resource at `Type/id`, from the cache where it may be; none when the EHR does not have it."""
        held = self._cache.get(reference)
        if held is None:
            try:
                held = await client.read(reference)
            except AdapterError as problem:
                forbidden = problem.code is ErrorCode.PERMISSION and reference.partition("/")[0] in OPTIONAL_TYPES
                if problem.code is not ErrorCode.NOT_FOUND and not forbidden:
                    raise
                return []
            self._cache.put(reference, held)
        return [held]

    def _is_absent(self, what: str) -> bool:
        return self._absent.get(what, 0.0) > self._clock()

    def _note_absent(self, what: str, problem: AdapterError) -> None:
        if problem.code is not ErrorCode.UNSUPPORTED:
            raise problem
        self._remember_absent(what)

    def _remember_absent(self, what: str) -> None:
        log.warning("%s does not offer %s; it is treated as having none for an hour", self._client.vendor, what)
        self._absent[what] = self._clock() + ABSENT_SECONDS


class _Found:
    """What has been read for one encounter, each resource once, in the order of arrival."""

    def __init__(self, base_url: str, followed_types: frozenset[str]) -> None:
        self._base_url, self._followed_types = base_url, followed_types
        self._tried: set[str] = set()
        self.resources: dict[str, Resource] = {}

    def add(self, results: Iterable[list[Resource]]) -> None:
        for resource in (resource for result in results for resource in result):
            if isinstance(resource.get("id"), str):
                self.resources.setdefault(f"{resource['resourceType']}/{resource['id']}", resource)

    def unread(self, encounter: Resource, coming: set[str]) -> list[str]:
        """References not read and not tried before, in the order in which they are named.

        Types in `coming` are just being searched for: what the search does not find is read in the next wave.
        """
        named = (
            local_reference(reference, self._base_url)
            for resource in (encounter, *self.resources.values())
            for path in FOLLOWED.get(resource["resourceType"], ())
            for reference in references_at(resource, path)
        )
        types = self._followed_types - coming
        wanted = [r for r in dict.fromkeys(named) if r is not None and r.partition("/")[0] in types]
        unread = [r for r in wanted if r not in self.resources and r not in self._tried]
        self._tried.update(unread)
        return unread


def _holds_current(found: list[Resource], ref: EncounterRef) -> bool:
    """Whether a search found the encounter, and no older version of it than the notice named (a lagging index)."""
    encounter = next((r for r in found if r["resourceType"] == "Encounter" and r.get("id") == ref.encounter_id), None)
    if encounter is None or ref.last_updated is None:
        return encounter is not None
    meta = encounter.get("meta")
    seen = parsed_instant(meta.get("lastUpdated") if isinstance(meta, dict) else None)
    return seen is not None and seen >= ref.last_updated


def _patient_id(encounter: Resource, base_url: str) -> str | None:
    subject = next(references_at(encounter, "subject"), None)
    reference = local_reference(subject, base_url)
    return reference.removeprefix("Patient/") if reference and reference.startswith("Patient/") else None
