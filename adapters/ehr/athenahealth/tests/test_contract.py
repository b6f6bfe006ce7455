"""The athenahealth adapter keeps the contract of every EHR adapter."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from adapters.ehr.athenahealth import ADAPTER
from adapters.ehr.athenahealth.simulator.notification import Event, bundle
from gateway.canonical import jsonio
from gateway.canonical.models import NotificationRequest
from gateway.kit.contract_ehr import EhrContract
from gateway.kit.contract_encounter import ExpectedEncounter, ExpectedLine, RequiredElement

NOW = datetime(2026, 3, 3, 15, 12, tzinfo=UTC)


def signed(body: bytes, secret: str) -> NotificationRequest:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature": f"sha256={digest}", "content-type": "application/fhir+json"}
    return NotificationRequest("POST", "", headers, {}, body, "192.0.2.7")


class TestContract(EhrContract):
    info = ADAPTER
    signs_bodies = True
    max_warm_calls = 9  # encounter, diagnoses, slip; appointment, insurances, accident; patient, authorizations, claims
    expected = ExpectedEncounter(
        encounter_id="62014",
        diagnosis_codes=("I10", "E11.9"),
        lines=(
            ExpectedLine("99214", ("25", "GT"), Decimal(1), None, ("E11.9", "I10")),
            ExpectedLine("83036", ("QW",), Decimal(3), None, ("E11.9",)),
        ),
        member_ids=("000123456", "77001"),
        referring_npi="1679576722",
        location_code="22",
        prior_authorization="PA-0042",
    )
    required = (
        RequiredElement("encounter", "encounterdate", "Encounter.period"),
        RequiredElement("appointment", "patientid", "Encounter.subject"),
        RequiredElement("patient", "dob", "Patient.birthDate"),
        RequiredElement("insurance", "insurancepackageid", "Coverage[1].payor"),
        RequiredElement("diagnosis", "icdcodes", "diagnosis.icdcodes"),
        RequiredElement("service", "procedurecode", "Claim[0].item[0].productOrService"),
        RequiredElement("service", "billforservice", "services[0].billforservice"),
    )

    @pytest.fixture
    def event(self, settings: dict[str, Any]) -> NotificationRequest:
        """The sign-off event of the visit."""
        told = Event("Encounter.signoff", "195900", "62014", "7965", "162")
        body = jsonio.dumps(bundle(told, "a9c3784c", "https://x.test/fhir/r4/SubscriptionTopic/Encounter.signoff", NOW))
        return signed(body, settings["webhook_secret"])

    def unknown_event(self, event: NotificationRequest) -> NotificationRequest:
        return replace(event, body=event.body.replace(b"Encounter.signoff", b"Order.create"))
