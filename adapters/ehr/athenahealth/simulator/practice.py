"""What one practice has on file, and what clinicians do to its encounters.

Rows are held in the words of the v1 API. An encounter goes OPEN, then REVIEW where a supervisor must see it, then
CLOSED; it can be reopened, and DELETED. Source: vendor document sections 5-10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adapters.ehr.athenahealth.simulator.words import Clock, Row, eastern, mdy
from gateway.kit.simulator_app import ControlRefused

Told = Callable[[str, str], None]
"""Called with an appointment or encounter event and the encounter's id."""


@dataclass
class Practice:
    """The rows by id; those that belong to a patient, appointment or encounter by its id."""

    id: str
    clock: Clock
    departments: dict[str, Row] = field(default_factory=dict)
    providers: dict[str, Row] = field(default_factory=dict)
    referring: dict[str, Row] = field(default_factory=dict)
    patients: dict[str, Row] = field(default_factory=dict)
    insurances: dict[str, list[Row]] = field(default_factory=dict)
    authorizations: dict[str, list[Row]] = field(default_factory=dict)
    appointments: dict[str, Row] = field(default_factory=dict)
    visit_insurances: dict[str, list[Row]] = field(default_factory=dict)
    accidents: dict[str, Row] = field(default_factory=dict)
    encounters: dict[str, Row] = field(default_factory=dict)
    diagnoses: dict[str, list[Row]] = field(default_factory=dict)
    conditions: dict[str, list[Row]] = field(default_factory=dict)  # FHIR, by encounter
    services: dict[str, list[Row]] = field(default_factory=dict)
    claims: dict[str, Row] = field(default_factory=dict)

    def appointment_of(self, encounter_id: str) -> Row:
        """The appointment of an encounter."""
        return self.appointments[str(self.encounters[encounter_id]["appointmentid"])]

    def listed_appointment(self, appointment_id: str) -> Row | None:
        """An appointment as the feed shows it, or None when it is gone."""
        return self.shown_appointment(appointment_id) if appointment_id in self.appointments else None

    def shown_appointment(self, appointment_id: str) -> Row:
        """An appointment as it is read: with the encounter's state."""
        row = self.appointments[appointment_id]
        encounter = self.encounters[str(row["encounterid"])]
        return {**row, "encounterstate": encounter["status"]}


class Clinicians:
    """Those who check patients out and close their encounters; `told` hears of each event."""

    def __init__(self, practice: Practice, told: Told) -> None:
        self._practice, self._told = practice, told
        self.unsigned: dict[str, bool] = {}

    def check_out(self, encounter_id: str) -> None:
        """The patient leaves: the last that the appointments feed will hear of this visit."""
        appointment = self._practice.appointment_of(encounter_id)
        if appointment["appointmentstatus"] == "2":
            appointment.update(
                appointmentstatus="3",
                encounterstatus="CHECKEDOUT",
                checkoutdatetime=eastern(self._practice.clock.now()),
            )
            self._touch(encounter_id, "CheckOut")

    def close(self, encounter_id: str) -> None:
        """The provider, or the supervisor of one in review, signs."""
        self.check_out(encounter_id)
        self.unsigned.pop(encounter_id, None)
        encounter = self._known(encounter_id)
        today = mdy(self._practice.clock.now().date())
        encounter.update(status="CLOSED", stage="SIGNOFF", closeddate=today, closeduser="astone", lastupdated=today)
        self._told("Encounter.signoff", encounter_id)

    def review(self, encounter_id: str) -> None:
        """The provider signs, and a supervisor must still review."""
        self.check_out(encounter_id)
        self._known(encounter_id)["status"] = "REVIEW"

    def reopen(self, encounter_id: str) -> None:
        """A closed encounter is opened again."""
        encounter = self._known(encounter_id)
        today = mdy(self._practice.clock.now().date())
        encounter.update(status="OPEN", lastreopened=today, lastupdated=today)
        encounter.pop("closeddate", None)
        self._told("Encounter.reopen", encounter_id)

    def amend(self, encounter_id: str) -> str:
        """Reopen, double the first service's units, close again; the id of the service, or an empty text."""
        self.reopen(encounter_id)
        services = self._practice.services.get(encounter_id, [])
        for service in services[:1]:
            service["units"] = int(service["units"]) * 2
        self.close(encounter_id)
        self._touch(encounter_id, "UpdateAppointment")
        return str(services[0]["serviceid"]) if services else ""

    def delete(self, encounter_id: str) -> None:
        """The visit should never have been there; the front desk cancels the appointment."""
        self._known(encounter_id)["status"] = "DELETED"
        self.unsigned.pop(encounter_id, None)
        self._practice.appointment_of(encounter_id)["appointmentstatus"] = "x"
        self._touch(encounter_id, "CancelAppointment")

    def _touch(self, encounter_id: str, event: str) -> None:
        appointment = self._practice.appointment_of(encounter_id)
        appointment["lastmodified"] = eastern(self._practice.clock.now())
        appointment["lastmodifiedby"] = "astone"
        self._told(event, encounter_id)

    def _known(self, encounter_id: Any) -> Row:
        encounter = self._practice.encounters.get(str(encounter_id))
        if encounter is None:
            raise ControlRefused("there is no such encounter")
        return encounter
