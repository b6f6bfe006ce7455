"""What is read for one visit, the appointment first: an open note costs one call, a visit without charges two.

Source: vendor document section 4 (call plan) and 3 (staleness).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from adapters.ehr.drchrono import references
from adapters.ehr.drchrono.errors import VENDOR
from adapters.ehr.drchrono.insurance import PLACES
from adapters.ehr.drchrono.mapping import Options, billing_content, is_locked
from adapters.ehr.drchrono.practice import VERBOSE, Directory, everything, listed, single
from adapters.ehr.drchrono.settings import DrChronoSettings
from adapters.ehr.drchrono.times import instant, latest_stamp
from adapters.ehr.drchrono.words import text
from gateway.canonical import jsonio
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.kit.ehr_references import is_vendor_id
from gateway.kit.errors import ErrorCode, UnexpectedResponse, VendorUnavailable
from gateway.kit.json_api import JsonApi
from gateway.kit.together import together
from gateway.ports.context import AdapterContext

MARK_LIFE = timedelta(days=14)


class Fetcher:
    """Reads visits of one practice and remembers in what state: the feed then passes over what is known."""

    def __init__(self, api: JsonApi, settings: DrChronoSettings, context: AdapterContext, options: Options) -> None:
        self._api, self._settings, self._context, self._options = api, settings, context, options
        self.directory = Directory(settings.cache_minutes)

    async def fetch(self, ref: EncounterRef) -> EncounterRecord:
        """The visit as it is now; of an open note, or one without charges, no more than shows that."""
        api, key = self._api.counting(), ref.encounter_id
        appointment = await self._appointment(api, key)
        if appointment is None:  # not withdrawn: with the consent of another practice everything would be voided
            text_ = "the practice of this consent does not have the visit; a deleted one would still be shown"
            raise UnexpectedResponse(VENDOR, "read:appointments", text_, code=ErrorCode.NOT_FOUND)
        if is_gone(appointment):
            return EncounterRecord(ref, api.base_url, _tagged("Appointment", {"id": key}), (), api.requests, True)
        found = _tagged("Appointment", {**appointment, "id": key})
        if not is_locked(found):
            return EncounterRecord(ref, api.base_url, found, (), api.requests)
        self._require_fresh(ref, found)
        first = await together([self._lines(api, key), self._note(api, key)])
        resources = [*first[0], *first[1]]
        if first[0] and self._is_supervised(first[1]):
            resources += await self._others(api, found, first[0])
            await self._remember(key, found, first[0])
        return EncounterRecord(ref, api.base_url, found, tuple(resources), api.requests)

    async def known(self, key: str) -> Mapping[str, Any]:
        """The state in which a visit was read last: `seen` is its billing content, `lines` their states."""
        kept = await self._context.shared.get(_mark(key))
        return dict(jsonio.loads(kept)) if kept else {}

    async def _remember(self, key: str, appointment: Resource, lines: list[Resource]) -> None:
        mark = {"seen": billing_content(appointment), "lines": [references.state_of_line(line) for line in lines]}
        await self._context.shared.put(_mark(key), jsonio.dumps(mark), MARK_LIFE)

    async def _appointment(self, api: JsonApi, key: str) -> Resource | None:
        if not is_vendor_id(key):
            text_ = "this is not the id of an appointment"
            raise UnexpectedResponse(VENDOR, "read:appointments", text_, code=ErrorCode.NOT_FOUND)
        found = await single(api, "read:appointments", f"appointments/{key}", VERBOSE)
        if found is None or "clinical_note" in found or is_gone(found):
            return found
        note = await single(api, "read:clinical_notes", f"clinical_notes/{key}") or {}
        return {**found, "clinical_note": {"locked": bool((note.get("signee") or {}).get("locked_by"))}}

    def _require_fresh(self, ref: EncounterRef, appointment: Resource) -> None:
        """Reads come from replicas: what was told of later than what is read is not there yet."""
        read = instant(
            latest_stamp(appointment), self._options.zone, fold=1
        )  # an hour that is written twice is not old
        if ref.last_updated is not None and read is not None and read < ref.last_updated:
            text_ = "the appointment is read in an older state than was told of: its replica lags behind"
            raise VendorUnavailable(VENDOR, "read:appointments", text_)

    def _is_supervised(self, notes: list[Resource]) -> bool:
        signed = any((note.get("signee") or {}).get("supervisor_locked_by") for note in notes)
        return signed or not self._settings.requires_supervisor

    async def _lines(self, api: JsonApi, key: str) -> list[Resource]:
        found = await everything(api, "read:line_items", "line_items", {"appointment": key})
        return [_tagged("LineItem", line) for line in found]

    async def _note(self, api: JsonApi, key: str) -> list[Resource]:
        if not self._settings.requires_supervisor:
            return []
        found = await single(api, "read:clinical_notes", f"clinical_notes/{key}")
        return [_tagged("ClinicalNote", found)] if found else []

    async def _others(self, api: JsonApi, appointment: Resource, lines: list[Resource]) -> list[Resource]:
        doctor, office = text(appointment.get("doctor")), text(appointment.get("office"))
        parts = [
            self._patient(api, text(appointment.get("patient"))),
            self._authorizations(api, text(appointment.get("patient"))),
            self._doctors(api, appointment, doctor, lines),
            self._kept(api, "Office", "offices", office),
        ]
        return [obj for part in await together(parts) for obj in part]

    async def _patient(self, api: JsonApi, key: str | None) -> list[Resource]:
        if key is None or not is_vendor_id(key):
            return []
        found = await single(api, "read:patients", f"patients/{key}", VERBOSE)
        if found and not any(place in found for place in PLACES):
            found = {**found, **await self._insurance(api, key, found)}
        return [_tagged("Patient", found)] if found else []

    async def _insurance(self, api: JsonApi, key: str, patient: Resource) -> Resource:
        """The verbose form out of an asynchronous list, where a single read ignores `verbose`."""
        filters = {
            "verbose": True,
            "chart_id": patient.get("chart_id") or "",
            "last_name": patient.get("last_name") or "",
        }
        given = {name: value for name, value in filters.items() if value}
        found = await listed(api, "read:patients", "patients", given, min(self._settings.list_seconds, 1.0))
        return next((obj for obj in found if str(obj.get("id")) == key), {})

    async def _authorizations(self, api: JsonApi, key: str | None) -> list[Resource]:
        if key is None or not self._settings.read_authorizations:
            return []
        found = await everything(api, "read:patient_authorizations", "patient_authorizations", {"patient": key})
        return [_tagged("PatientAuthorization", obj) for obj in found]

    async def _doctors(
        self, api: JsonApi, appointment: Resource, doctor: str | None, lines: list[Resource]
    ) -> list[Resource]:
        """The doctor, the supervisor (else the doctor's default one), and doctors of single lines."""
        supervisor, options = text(appointment.get("supervising_provider")), None
        if supervisor is None and doctor is not None:
            options = await self.directory.options(api, doctor)
            supervisor = text((options or {}).get("default_supervising_provider"))
        wanted = dict.fromkeys([doctor, supervisor, *(text(line.get("doctor")) for line in lines)])
        found = await together(self._kept(api, "Doctor", "doctors", key) for key in wanted)
        told = [_tagged("DoctorOptions", options)] if options else []
        return [*told, *(obj for part in found for obj in part)]

    async def _kept(self, api: JsonApi, type_: str, kind: str, key: str | None) -> list[Resource]:
        found = await self.directory.find(api, kind, key) if key and is_vendor_id(key) else None
        return [_tagged(type_, found)] if found else []


def is_gone(appointment: Mapping[str, Any]) -> bool:
    """Whether there is no visit: deleted, a break, or the pattern of a recurring appointment."""
    names = ("deleted_flag", "appt_is_break", "is_virtual_base")
    return any(appointment.get(name) is True for name in names)


def _mark(key: str) -> str:
    return f"read/{key}"


def _tagged(type_: str, obj: Mapping[str, Any]) -> Resource:
    return {**obj, "resourceType": type_}


def local_now(context: AdapterContext, options: Options) -> datetime:
    """The practice's present time, without offset."""
    return context.now().astimezone(options.zone).replace(tzinfo=None)
