"""The Elation adapter keeps the contract of every EHR adapter."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from adapters.ehr.elation import ADAPTER
from gateway.canonical.models import NotificationRequest
from gateway.kit.contract_ehr import EhrContract
from gateway.kit.contract_encounter import ExpectedEncounter, ExpectedLine, RequiredElement


class TestContract(EhrContract):
    info = ADAPTER
    signs_bodies = True
    max_warm_calls = 2
    required = (
        RequiredElement("Bill", "patient", "Bill.patient"),
        RequiredElement("Bill", "service_date", "Bill.service_date"),
        RequiredElement("Bill", "cpts", "Bill.cpts"),
        RequiredElement("Patient", "dob", "Patient.dob"),
        RequiredElement("Patient", "last_name", "Patient.last_name"),
    )
    expected = ExpectedEncounter(
        encounter_id="65098",
        diagnosis_codes=("I10", "E11.9"),
        lines=(
            ExpectedLine("99214", ("25",), Decimal(1), Decimal("185.00"), ("I10", "E11.9")),
            ExpectedLine("83036", ("QW",), Decimal(2), Decimal("28.00"), ("E11.9",)),
        ),
        member_ids=("000123456", "77001"),
        referring_npi="1234567893",
        location_code="11",
        prior_authorization="PA-556677",
    )

    def unknown_event(self, event: NotificationRequest) -> NotificationRequest:
        return replace(event, body=event.body.replace(b'"bills"', b'"patients"'))
