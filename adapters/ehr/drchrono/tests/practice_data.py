"""The practice of the tests: one synthetic visit as DrChrono holds it, and the little that several tests need."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from gateway.canonical import jsonio
from gateway.canonical.clinic import KnownLocation, KnownProvider
from gateway.canonical.models import EncounterRecord, EncounterRef, NotificationRequest
from gateway.kit.contract_support import LocalLock, LocalValues, Simulator, contract_context
from gateway.ports.context import AdapterContext

KEY = "301245678"
ZONE = "America/New_York"
REF = EncounterRef(KEY, "")


def objects() -> dict[str, list[dict[str, Any]]]:
    """An office visit late in the evening (the next day in UTC) with two charges and two plans."""
    return copy.deepcopy(_OBJECTS)


_OBJECTS: dict[str, list[dict[str, Any]]] = {
    "appointments": [
        {
            "id": KEY,
            "patient": 71234567,
            "doctor": 123456,
            "office": 145678,
            "exam_room": 1,
            "scheduled_time": "2026-03-03T21:30:00",
            "duration": 20,
            "status": "In Session",
            "reason": "BP follow up",
            "icd10_codes": ["E11.9", "I10"],
            "icd9_codes": [],
            "billing_status": "",
            "billing_provider": "123456",
            "supervising_provider": None,
            "payment_profile": "Insurance",
            "primary_insurer_name": "Evergreen Health Plan",
            "first_billed_date": None,
            "last_billed_date": None,
            "first_edi_date": None,
            "last_edi_date": None,
            "resubmit_claim_original_id": None,
            "clinical_note": {"locked": False, "pdf": None, "updated_at": "2026-03-03T21:30:00"},
            "status_transitions": [],
            "billing_notes": [],
            "deleted_flag": False,
            "appt_is_break": False,
            "is_virtual_base": False,
            "created_at": "2026-02-20T14:00:00",
            "updated_at": "2026-03-03T21:30:00",
            "extended_updated_at": "2026-03-03T21:30:00",
        }
    ],
    "clinical_notes": [
        {
            "id": KEY,
            "appointment": KEY,
            "patient": "71234567",
            "archived": False,
            "clinical_note_sections": [],
            "signee": {"locked_by": None, "supervisor_locked_by": None},
            "updated_at": "2026-03-03T21:30:00",
        }
    ],
    "line_items": [
        {
            "id": 88102233,
            "appointment": int(KEY),
            "patient": "71234567",
            "doctor": "123456",
            "code": "G0463",
            "procedure_type": "H",
            "description": "AS ON THE FEE SCHEDULE",
            "quantity": "1.00",
            "units": "UN",
            "price": "185.00",
            "billed": "185.00",
            "modifiers": ["25", "GT", "", ""],
            "diagnosis_pointers": ["2", "E11.9", "", ""],
            "service_date": "2026-03-03",
            "updated_at": "2026-03-03T21:40:00",
        },
        {
            "id": 88102234,
            "appointment": int(KEY),
            "patient": "71234567",
            "doctor": "123456",
            "code": "J1885",
            "procedure_type": "H",
            "quantity": "3.00",
            "units": "UN",
            "price": "33.33",
            "billed": "100.00",
            "modifiers": ["", "", "", ""],
            "diagnosis_pointers": ["1", "0", "", ""],
            "service_date": "2026-03-03",
            "updated_at": "2026-03-03T21:41:00",
        },
    ],
    "patients": [
        {
            "id": 71234567,
            "chart_id": "TEJO000001",
            "first_name": "Jordan",
            "middle_name": "Q",
            "last_name": "Testerly",
            "date_of_birth": "1971-05-14",
            "gender": "Female",
            "address": "12 Sample Way",
            "city": "Springfield",
            "state": "IL",
            "zip_code": "62701-1234",
            "home_phone": "",
            "cell_phone": "(555) 010-0199",
            "social_security_number": "999-99-9999",
            "doctor": 123456,
            "patient_payment_profile": "Insurance",
            "referring_doctor": {
                "first_name": "Robin",
                "last_name": "Refer",
                "suffix": "MD",
                "npi": "1679576722",
                "provider_qualifier": "",
                "provider_number": "",
                "phone": "",
            },
            "primary_insurance": {
                "insurance_company": "Evergreen Health Plan",
                "insurance_payer_id": "EVG01",
                "insurance_id_number": "000123456",
                "insurance_group_number": "GRP-77",
                "insurance_group_name": "Acme Test Co",
                "insurance_plan_name": "Evergreen PPO",
                "insurance_plan_type": "CI",
                "insurance_claim_office_number": "",
                "is_subscriber_the_patient": False,
                "patient_relationship_to_subscriber": "01",
                "subscriber_first_name": "Casey",
                "subscriber_middle_name": "",
                "subscriber_last_name": "Testerly",
                "subscriber_suffix": "",
                "subscriber_date_of_birth": "1970-01-09",
                "subscriber_gender": "Male",
                "subscriber_address": "12 Sample Way",
                "subscriber_city": "Springfield",
                "subscriber_state": "IL",
                "subscriber_zip_code": "62701",
                "subscriber_country": "US",
                "subscriber_social_security": "",
            },
            "secondary_insurance": {
                "insurance_company": "Second Health Plan",
                "insurance_payer_id": "SHP02",
                "insurance_id_number": "77001",
                "insurance_group_number": "",
                "insurance_plan_name": "",
                "insurance_plan_type": "MB",
                "is_subscriber_the_patient": True,
                "patient_relationship_to_subscriber": "",
            },
            "tertiary_insurance": {"insurance_company": "", "insurance_payer_id": "", "insurance_id_number": ""},
            "auto_accident_insurance": None,
            "workers_comp_insurance": None,
            "updated_at": "2026-03-01T08:00:00",
        }
    ],
    "doctors": [
        {
            "id": 123456,
            "first_name": "Avery",
            "last_name": "Stone",
            "suffix": "MD",
            "npi_number": "1234567893",
            "specialty": "Internal Medicine",
            "practice_group": "4455",
            "timezone": "US/Eastern",
            "is_account_suspended": False,
        },
        {
            "id": 123457,
            "first_name": "Morgan",
            "last_name": "Chief",
            "suffix": "MD",
            "npi_number": "1245319599",
            "specialty": "Internal Medicine",
            "practice_group": "4455",
            "timezone": "US/Eastern",
            "is_account_suspended": False,
        },
    ],
    "doctor_options": [
        {
            "id": 123456,
            "doctor": 123456,
            "default_billing_provider": None,
            "default_supervising_provider": None,
        }
    ],
    "offices": [
        {
            "id": 145678,
            "doctor": "123456",
            "name": "Main Office",
            "address": "100 Clinic Rd",
            "city": "Springfield",
            "state": "IL",
            "zip_code": "62701",
            "phone_number": "555-010-0100",
            "archived": False,
            "online_timeslots": [],
        }
    ],
    "patient_authorizations": [
        {
            "id": 9001,
            "patient": "71234567",
            "patient_id": 71234567,
            "doctor": "123456",
            "auth_number": "PA-0042",
            "status": "Approved",
            "start_date": "2026-01-01",
            "end_date": "2026-06-30",
            "procedure_codes": [{"code": "G0463", "price": "0.00", "quantity": "1"}],
            "expired": False,
        }
    ],
}
_TYPES = {
    "line_items": "LineItem",
    "patients": "Patient",
    "doctors": "Doctor",
    "offices": "Office",
    "patient_authorizations": "PatientAuthorization",
}


def record_of(held: dict[str, list[dict[str, Any]]]) -> EncounterRecord:
    """The record that a fetch of the one appointment gives, its note locked."""
    note = {"locked": True, "pdf": None, "updated_at": "2026-03-03T22:10:00"}
    appointment = {**held["appointments"][0], "clinical_note": note, "resourceType": "Appointment"}
    resources = [{**obj, "resourceType": type_} for kind, type_ in _TYPES.items() for obj in held[kind]]
    return EncounterRecord(REF, "https://app.drchrono.com/api", appointment, tuple(resources))


def command(simulator: Simulator, name: str, /, **body: Any) -> dict[str, Any]:
    """A control route."""
    answer = simulator.client.post(f"/_sim/{name}", json=body)
    answer.raise_for_status()
    return dict(answer.json())


def clinic_context() -> AdapterContext:
    """A clinic that knows of its office and doctor what DrChrono does not tell."""
    context = contract_context("ehr1")
    locations = {"145678": KnownLocation("22", "1999900404")}
    providers = {"123456": KnownProvider("", "207Q00000X")}
    return replace(context, clinic=replace(context.clinic, locations=locations, providers=providers))


def webhook(event: str, obj: Any, secret: str = "hook-secret-of-tests", **more: Any) -> NotificationRequest:
    """One delivery as DrChrono sends it."""
    body = jsonio.dumps({"practice_group_id": 4455, "receiver": {"id": 321}, "object": obj, **more})
    headers = {
        "x-drchrono-event": event,
        "x-drchrono-delivery": "5b1e2f0a-0000-4000-8000-000000000001",
        "x-drchrono-signature": secret,
        "content-type": "application/json",
    }
    return NotificationRequest("POST", "", headers, {}, body, "192.0.2.7")


def shared_by(contexts: int) -> list[AdapterContext]:
    """Contexts of several workers of one connection."""
    lock, values = LocalLock(), LocalValues()
    return [replace(clinic_context(), lock=lock, shared=values) for _ in range(contexts)]
