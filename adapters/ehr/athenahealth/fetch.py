"""Reading all of one encounter: three waves of concurrent reads (vendor document section 4).

The encounter's id finds the chart, the chart names the appointment, the appointment names the patient. Every object is
kept as it came, tagged with the name of the read that gave it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from adapters.ehr.athenahealth.api import AthenaApi, Row
from adapters.ehr.athenahealth.diagnoses import lacks_icd10
from adapters.ehr.athenahealth.mapping import is_insurance
from adapters.ehr.athenahealth.rows import DELETED, SIGNED
from adapters.ehr.athenahealth.values import day, mdy, text
from gateway.canonical.errors import ErrorCode, UnexpectedResponse
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_references import is_vendor_id

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
    """Reads encounters of one practice."""

    def __init__(
        self,
        api: AthenaApi,
        fhir: FhirClient,
        practice_id: str,
        *,
        own_claims: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._fhir, self._practice_id, self._own_claims = api, fhir, practice_id, own_claims
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Resource]] = OrderedDict()

    async def fetch(self, ref: EncounterRef) -> EncounterRecord:
        """Everything for a claim, as athenahealth gave it; of an encounter that is not closed only the chart."""
        reading = _Reading(self, self._api.counting(), self._fhir.counting())
        chart = await reading.chart(ref.encounter_id)
        encounter = chart[0]
        status = text(encounter.get("status"))
        if status == SIGNED:
            visit = await reading.visit(encounter, chart)
            chart += [*visit, *await reading.patient(encounter, visit)]
        encounter = {**encounter, "id": ref.encounter_id}
        return EncounterRecord(
            ref, self._api.base_url, encounter, tuple(chart[1:]), reading.calls, deleted=status == DELETED
        )

    def kept(self, key: str) -> Resource | None:
        """An object of the directory, while it is fresh."""
        held = self._kept.get(key)
        if held is None or held[0] < self._clock():
            return None
        self._kept.move_to_end(key)
        return held[1]

    def keep(self, key: str, found: Resource) -> None:
        """Keep an object of the directory."""
        self._kept[key] = (self._clock() + CACHE_SECONDS, found)
        self._kept.move_to_end(key)
        if len(self._kept) > CACHE_ENTRIES:
            self._kept.popitem(last=False)

    def fhir_query(self, encounter_id: str) -> dict[str, str]:
        """A FHIR search must name the practice, or it answers nothing with HTTP 200."""
        return {
            "encounter": f"Encounter/a-{self._practice_id}.encounter-{encounter_id}",
            "ah-practice": f"Organization/a-1.Practice-{self._practice_id}",
        }

    @property
    def reads_claims(self) -> bool:
        """Whether athenahealth's own claims are looked at."""
        return self._own_claims


class _Reading:
    """The reads of one encounter, counted."""

    def __init__(self, fetcher: EncounterFetcher, api: AthenaApi, fhir: FhirClient) -> None:
        self._fetcher, self._api, self._fhir = fetcher, api, fhir

    @property
    def calls(self) -> int:
        return self._api.requests + self._fhir.requests

    async def chart(self, encounter_id: str) -> list[Resource]:
        """The encounter first, then its diagnoses and the services of its slip."""
        if not is_vendor_id(encounter_id):
            text_ = "the encounter's id is not one of athenahealth's"
            raise UnexpectedResponse(self._api.vendor, "encounter", text_, code=ErrorCode.NOT_FOUND)
        path = f"chart/encounter/{encounter_id}"
        return await together(
            self._one("encounter", path),
            self._rows("diagnosis", f"{path}/diagnoses", "diagnoses"),
            self._rows("service", f"encounter/{encounter_id}/services", "services"),
        )

    async def visit(self, encounter: Row, chart: Iterable[Resource]) -> list[Resource]:
        """The appointment with its insurances and accident data, who and where, and ICD-10 codes of FHIR if need be."""
        reads = [*self._directory("provider", [encounter]), *self._directory("department", [encounter])]
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
        return await together(*reads)

    async def patient(self, encounter: Row, visit: Iterable[Resource]) -> list[Resource]:
        """The patient, authorizations, athenahealth's own claims, and the visit's other providers."""
        visit = list(visit)
        appointment: Row = next((row for row in visit if row["resourceType"] == "appointment"), {})
        known = {text(encounter.get("providerid"))}
        reads = [
            *self._directory("provider", [appointment], ("renderingproviderid", "supervisingproviderid"), known),
            *self._directory("referringprovider", [appointment]),
        ]
        patient_id = text(appointment.get("patientid") or encounter.get("patientid"))
        if is_vendor_id(patient_id):
            path = f"patients/{patient_id}"
            reads += [self._one("patient", path), self._rows("referralauth", f"{path}/referralauths", "referralauths")]
            if not any(row["resourceType"] == "insurance" and is_insurance(row) for row in visit):
                reads.append(self._rows("insurance", f"{path}/insurances", "insurances"))
            if self._fetcher.reads_claims:
                reads.append(self._claims(patient_id, encounter))
        return await together(*reads)

    def _directory(
        self, kind: str, owners: Iterable[Row], members: tuple[str, ...] = (), known: Iterable[str] = ()
    ) -> list[Read]:
        """Reads of the objects that `owners` name by `members` (by default the kind's own id), each once."""
        names = members or (f"{kind}id",)
        named = (text(owner.get(name)) for owner in owners for name in names)
        wanted = dict.fromkeys(vendor_id for vendor_id in named if is_vendor_id(vendor_id))
        return [self._listed(kind, vendor_id) for vendor_id in wanted if vendor_id not in set(known)]

    async def _listed(self, kind: str, vendor_id: str) -> list[Resource]:
        """One object of the directory; none when it is gone."""
        path = f"{DIRECTORY[kind]}/{vendor_id}"
        held = self._fetcher.kept(path)
        if held is not None:
            return [held]
        found = await self._at_most_one(kind, path)
        if found:
            self._fetcher.keep(path, found[0])
        return found

    async def _claims(self, patient_id: str, encounter: Row) -> list[Resource]:
        serviced = day(encounter.get("encounterdate"))
        dates = {"servicestartdate": mdy(serviced), "serviceenddate": mdy(serviced)} if serviced else {}
        return await self._rows("claim", "claims", "claims", {"patientid": patient_id, **dates})

    async def _conditions(self, encounter_id: str) -> list[Resource]:
        return await self._fhir.search("Condition", self._fetcher.fhir_query(encounter_id))

    async def _one(self, kind: str, path: str) -> list[Resource]:
        return [{**await self._api.one(kind, path), "resourceType": kind}]

    async def _at_most_one(self, kind: str, path: str) -> list[Resource]:
        return [{**row, "resourceType": kind} for row in await self._api.at_most_one(kind, path)]

    async def _rows(self, kind: str, path: str, name: str, params: Mapping[str, Any] | None = None) -> list[Resource]:
        rows = await self._api.optional(kind, path, name, params)
        return [{**row, "resourceType": kind} for row in rows]


async def together(*reads: Read) -> list[Resource]:
    """What reads find, in their order; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.create_task(read) for read in reads]
    try:
        return [found for result in await asyncio.gather(*tasks) for found in result]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
