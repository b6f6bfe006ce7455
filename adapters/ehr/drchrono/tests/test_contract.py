"""The DrChrono adapter keeps the contract of every EHR adapter."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.drchrono import ADAPTER
from gateway.canonical.models import NotificationRequest
from gateway.kit.contract_ehr import EhrContract
from gateway.kit.contract_encounter import ExpectedEncounter, ExpectedLine, RequiredElement
from gateway.kit.contract_support import Simulator


class TestContract(EhrContract):
    info = ADAPTER
    expected = ExpectedEncounter(
        encounter_id="301245678",
        diagnosis_codes=("E11.9", "I10"),
        lines=(
            ExpectedLine("G0463", ("25", "GT"), Decimal("1.00"), Decimal("185.00"), ("I10", "E11.9")),
            ExpectedLine("J1885", (), Decimal("3.00"), Decimal("33.3333"), ("E11.9",)),
        ),
        member_ids=("000123456", "77001"),
        referring_npi="1679576722",
        location_code="22",
        prior_authorization="PA-0042",
    )
    required = (
        RequiredElement("Appointment", "patient", "Appointment.patient"),
        RequiredElement("Appointment", "doctor", "Appointment.doctor"),
        RequiredElement("Appointment", "scheduled_time", "Appointment.scheduled_time"),
        RequiredElement("Appointment", "icd10_codes", "LineItem.diagnosis_pointers"),
        RequiredElement("Patient", "last_name", "Patient.last_name"),
        RequiredElement("Patient", "date_of_birth", "Patient.date_of_birth"),
        RequiredElement("LineItem", "code", "LineItem.code"),
        RequiredElement("LineItem", "quantity", "LineItem.quantity"),
    )
    max_warm_calls = 4

    @pytest.fixture
    def simulator(self, signed: Simulator) -> Simulator:
        return signed

    def unknown_event(self, event: NotificationRequest) -> NotificationRequest:
        """A patient was changed."""
        return replace(event, headers={**event.headers, "x-drchrono-event": "PATIENT_MODIFY"})

    def forged(self, event: NotificationRequest) -> list[Any]:
        """Also the HMAC that other vendors would send."""
        return [*super().forged(event), replace(event, headers={**event.headers, "x-drchrono-signature": "0" * 64})]
