"""Reading all of one encounter: three waves of concurrent reads (vendor document section 4).

The encounter's id finds the chart, the chart names the appointment, the appointment names the patient. Every object is
kept as it came, tagged with the name of the read that gave it.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.ehr.athenahealth.api import AthenaApi, Row
from adapters.ehr.athenahealth.diagnoses import lacks_icd10
from adapters.ehr.athenahealth.mapping import is_insurance
from adapters.ehr.athenahealth.rows import DELETED, SIGNED
from adapters.ehr.athenahealth.values import day, encounter_filter, mdy, text
from gateway.canonical.errors import ErrorCode, UnexpectedResponse
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_references import is_vendor_id
from gateway.kit.together import together

CACHE_ENTRIES = 4096
CACHE_SECONDS = 600.0
DIRECTORY: Mapping[str, str] = {
    "provider": "providers",
    "referringprovider": "referringproviders",
    "department": "departments",
}
"""What changes seldom and is kept for ten minutes, with its path."""
Read = Coroutine[Any, Any, list[Resource]]


class EncounterFetcher:
    """Reads encounters of one practice; `own_claims` are read too, to see what athenahealth has billed itself."""

    def __init__(self, api: AthenaApi, fhir: FhirClient, practice_id: str, *, own_claims: bool) -> None:
        self._api, self._fhir, self._practice_id, self._own_claims = api, fhir, practice_id, own_claims
        self._directory = Directory()

    async def fetch(self, ref: EncounterRef) -> EncounterRecord:
        """Everything for a claim, as athenahealth gave it; of an encounter that is not closed only the chart."""
        api, fhir = self._api.counting(), self._fhir.counting()
        reading = _Reading(api, fhir, self._directory, self._practice_id, self._own_claims)
        chart = await reading.chart(ref.encounter_id)
        encounter = {**chart[0], "id": ref.encounter_id}
        found, status = chart[1:], text(encounter.get("status"))
        if status == SIGNED:
            visit = await reading.visit(encounter, found)
            found += [*visit, *await reading.patient(encounter, visit)]
        calls = api.requests + fhir.requests
        return EncounterRecord(ref, api.base_url, encounter, tuple(found), calls, deleted=status == DELETED)


class Directory:
    """The least recently used providers and departments by path, each for ten minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Resource]] = OrderedDict()

    def get(self, path: str) -> Resource | None:
        """The object at a path, while it is fresh."""
        held = self._kept.get(path)
        if held is None or held[0] < self._clock():
            return None
        self._kept.move_to_end(path)
        return held[1]

    def put(self, path: str, found: Resource) -> None:
        """Keep an object."""
        self._kept[path] = (self._clock() + CACHE_SECONDS, found)
        self._kept.move_to_end(path)
        if len(self._kept) > CACHE_ENTRIES:
            self._kept.popitem(last=False)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The reads of one encounter."""

    api: AthenaApi
    fhir: FhirClient
    directory: Directory
    practice_id: str
    own_claims: bool

    async def chart(self, encounter_id: str) -> list[Resource]:
        """The encounter first, then its diagnoses and the services of its slip."""
        if not is_vendor_id(encounter_id):
            text_ = "the encounter's id is not one of athenahealth's"
            raise UnexpectedResponse(self.api.vendor, "encounter", text_, code=ErrorCode.NOT_FOUND)
        path = f"chart/encounter/{encounter_id}"
        return await all_of(
            self._one("encounter", path),
            self._rows("diagnosis", f"{path}/diagnoses", "diagnoses"),
            self._rows("service", f"encounter/{encounter_id}/services", "services"),
        )

    async def visit(self, encounter: Row, chart: Iterable[Resource]) -> list[Resource]:
        """The appointment with its insurances and accident data, who and where, and ICD-10 codes of FHIR if need be."""
        reads = self._listed("provider", encounter, ("providerid",))
        reads += self._listed("department", encounter, ("departmentid",))
        if any(row["resourceType"] == "diagnosis" and lacks_icd10(row) for row in chart):
            reads.append(self._conditions(text(encounter.get("encounterid"))))
        appointment_id = text(encounter.get("appointmentid"))
        if is_vendor_id(appointment_id):
            path = f"appointments/{appointment_id}"
            reads += [
                self._one("appointment", path),
                self._rows("insurance", f"{path}/insurances", "insurances"),
                self._at_most_one("accidentdata", f"{path}/accidentdata"),
            ]
        return await all_of(*reads)

    async def patient(self, encounter: Row, visit: Iterable[Resource]) -> list[Resource]:
        """The patient, authorizations, athenahealth's own claims, and the visit's other providers."""
        visit = list(visit)
        appointment: Row = next((row for row in visit if row["resourceType"] == "appointment"), {})
        reads = [
            *self._listed(
                "provider", appointment, ("renderingproviderid", "supervisingproviderid", "providerid"), encounter
            ),
            *self._listed("department", appointment, ("departmentid",), encounter),
            *self._listed("referringprovider", appointment, ("referringproviderid",)),
        ]
        patient_id = text(appointment.get("patientid") or encounter.get("patientid"))
        if is_vendor_id(patient_id):
            path = f"patients/{patient_id}"
            reads += [self._one("patient", path), self._rows("referralauth", f"{path}/referralauths", "referralauths")]
            if not any(row["resourceType"] == "insurance" and is_insurance(row) for row in visit):
                reads.append(self._rows("patientinsurance", f"{path}/insurances", "insurances"))
            if self.own_claims:
                reads.append(self._claims(patient_id, encounter))
        return await all_of(*reads)

    def _listed(self, kind: str, owner: Row, members: tuple[str, ...], read: Row | None = None) -> list[Read]:
        """Reads of what `owner` names by `members`, each once, without what the kind's member of `read` has named."""
        wanted = dict.fromkeys(text(owner.get(member)) for member in members)
        known = text((read or {}).get(f"{kind}id"))
        return [self._entry(kind, found) for found in wanted if is_vendor_id(found) and found != known]

    async def _entry(self, kind: str, vendor_id: str) -> list[Resource]:
        """One object of the directory; none when it is gone."""
        path = f"{DIRECTORY[kind]}/{vendor_id}"
        held = self.directory.get(path)
        if held is not None:
            return [held]
        found = await self._at_most_one(kind, path)
        if found:
            self.directory.put(path, found[0])
        return found

    async def _claims(self, patient_id: str, encounter: Row) -> list[Resource]:
        serviced = day(encounter.get("encounterdate"))
        dates = {"servicestartdate": mdy(serviced), "serviceenddate": mdy(serviced)} if serviced else {}
        rows = await self.api.rows("claims", "claims", "claims", {"patientid": patient_id, **dates})
        return [{**row, "resourceType": "claim"} for row in rows]

    async def _conditions(self, encounter_id: str) -> list[Resource]:
        return await self.fhir.search("Condition", encounter_filter(self.practice_id, encounter_id))

    async def _one(self, kind: str, path: str) -> list[Resource]:
        return [{**await self.api.one(kind, path), "resourceType": kind}]

    async def _at_most_one(self, kind: str, path: str) -> list[Resource]:
        return [{**row, "resourceType": kind} for row in await self.api.at_most_one(kind, path)]

    async def _rows(self, kind: str, path: str, name: str) -> list[Resource]:
        rows = await self.api.optional(kind, path, name)
        return [{**row, "resourceType": kind} for row in rows]


async def all_of(*reads: Read) -> list[Resource]:
    """What reads find, in their order."""
    return [found for result in await together(reads) for found in result]
