"""athenahealth's own claims: append-only, without an idempotency key (vendor document section 10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from adapters.ehr.athenahealth.simulator.practice import Practice
from adapters.ehr.athenahealth.simulator.words import Row, mdy, missing, refuse, v1
from gateway.canonical import jsonio
from gateway.kit.simulator_http import Response

FIRST_CLAIM = 5569


class Writes:
    """Charge entry inside athenahealth; `told` hears of each claim."""

    def __init__(self, practice: Practice, told: Callable[[str], None]) -> None:
        self._practice, self._told = practice, told

    def create_claim(self, form: Mapping[str, str]) -> Response:
        """`POST /claims`: a repeated call makes a second claim; a business failure is a 200 with `success` false."""
        absent = [n for n in ("patientid", "departmentid", "supervisingproviderid") if n not in form]
        if absent:
            raise missing(*absent)
        if form["patientid"] not in self._practice.patients:
            return v1({"success": False, "errormessage": "The patient does not exist.", "claimids": []})
        try:
            charges = jsonio.loads(form.get("claimcharges", ""))
        except jsonio.NotJson:
            raise refuse(400, "The data provided is invalid.", detailedmessage="claimcharges is not JSON.") from None
        if not charges or any("procedurecode" not in charge for charge in charges):
            return v1({"success": "false", "errormessage": "A charge has no procedure code.", "claimids": []})
        return self._created(form, charges, None)

    def enter_charges(self, appointment_id: str) -> Response:
        """`POST /appointments/{id}/claims`: the claim of a visit, from its slip; the appointment is then status 4."""
        appointment = self._practice.appointments.get(appointment_id)
        if appointment is None:
            raise refuse(404, "The appointment was not found.")
        slip = self._practice.services.get(str(appointment["encounterid"]), [])
        appointment["appointmentstatus"] = "4"
        form = {"servicedate": appointment["date"], **{n: str(appointment[n]) for n in ("patientid", "departmentid")}}
        return self._created(form, [row for row in slip if row["billforservice"] is True], int(appointment_id))

    def _created(self, form: Mapping[str, str], charges: list[Row], appointment_id: int | None) -> Response:
        claim_id = str(FIRST_CLAIM + len(self._practice.claims))
        today = mdy(self._practice.clock.now().date())
        self._practice.claims[claim_id] = {
            "claimid": claim_id,
            "patientid": int(form["patientid"]),
            "departmentid": int(form["departmentid"]),
            "appointmentid": appointment_id,
            "billedservicedate": form.get("servicedate", today),
            "claimcreateddate": today,
            "chargeamount": "0",
            "procedures": [{"procedurecode": charge["procedurecode"]} for charge in charges],
            "primaryinsurancepayer": {"status": "HOLD"},
            "patientpayer": {"status": "CLOSED"},
        }
        self._told(claim_id)
        return v1({"claimids": [claim_id], "success": True, "errormessage": ""})
