"""AuditEvents: valid FHIR R4 for every step, by reference only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.canonical.audit_event import AuditEvent, Outcome, Step
from gateway.canonical.validation import check_resource

WHEN = datetime(2026, 3, 4, 12, 0, 0, 250_000, tzinfo=UTC)


def event(step: Step, **more: object) -> AuditEvent:
    values = {"encounter_id": "ehr.e1", "patient": "Patient/ehr.p1", "entities": ("Encounter/ehr.e1",), **more}
    return AuditEvent(step, WHEN, "clinic-a", "ab" * 16, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_event_is_valid_r4(step: Step, outcome: Outcome) -> None:
    made = event(step, outcome=outcome, error_code="timeout" if outcome is not Outcome.SUCCESS else "")
    assert check_resource(made.resource()) == ()


def test_an_event_says_who_what_when_and_in_which_transaction() -> None:
    resource = event(Step.DISCLOSURE_INTENDED, target="tebra").resource()
    assert resource["recorded"] == "2026-03-04T12:00:00.250Z"
    assert [agent["who"]["display"] for agent in resource["agent"]] == ["gateway", "tebra"]
    assert [agent["requestor"] for agent in resource["agent"]] == [True, False]
    references = [entity["what"].get("reference") for entity in resource["entity"]]
    assert references == ["Encounter/ehr.e1", "Patient/ehr.p1", None]
    assert resource["entity"][-1]["what"]["identifier"]["value"] == "ab" * 16


def test_reading_from_the_ehr_has_the_source_and_destination_codes_the_right_way_round() -> None:
    """BALP Read: the server that gives is the source (110153), the client that takes is the destination (110152)."""
    resource = event(Step.ENCOUNTER_FETCHED, source="ehr", target="gateway").resource()
    codes = {agent["who"]["display"]: agent["type"]["coding"][0]["code"] for agent in resource["agent"]}
    assert codes == {"ehr": "110153", "gateway": "110152"}
    requestors = {agent["who"]["display"]: agent["requestor"] for agent in resource["agent"]}
    assert requestors == {"ehr": False, "gateway": True}


def test_a_caller_from_outside_is_named_by_its_address() -> None:
    resource = event(Step.NOTIFICATION_RECEIVED, source="ehr", network_address="192.0.2.7").resource()
    assert resource["agent"][0]["network"] == {"address": "192.0.2.7", "type": "2"}
    assert [agent["requestor"] for agent in resource["agent"]] == [True, False]
