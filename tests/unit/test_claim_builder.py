"""The claim builder: what the encounter holds arrives in the claim, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from gateway.canonical import codes
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import MappingError
from gateway.canonical.fee_schedule import FeeSchedule
from gateway.canonical.jsonio import dumps
from gateway.canonical.models import EncounterBundle
from gateway.canonical.validation import check_claim
from gateway.pipeline.corrections import changed_elements
from gateway.pipeline.normalize import claim_hash

CREATED = "2026-03-04T12:00:00+00:00"


def test_the_claim_of_a_plain_visit_has_no_findings(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    assert check_claim(build_claim(encounter_bundle, clinic, created=CREATED)) == ()


def test_money_keeps_its_cents(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    claim = build_claim(encounter_bundle, clinic, created=CREATED).claim
    assert [str(item["net"]["value"]) for item in claim["item"]] == ["16.05", "8.40"]
    assert str(claim["total"]["value"]) == "24.45"
    assert b'"value":8.40' in dumps(claim)


def test_pointers_follow_the_claims_diagnoses_in_the_lines_own_order(
    encounter_bundle: EncounterBundle, clinic: ClinicFacts
) -> None:
    claim = build_claim(encounter_bundle, clinic, created=CREATED).claim
    coded = [d["diagnosisCodeableConcept"]["coding"][0]["code"] for d in claim["diagnosis"]]
    assert coded == ["L57.0", "L40.0"]
    assert [item["diagnosisSequence"] for item in claim["item"]] == [[1], [2, 1]]


def test_a_price_comes_from_the_fee_schedule_only_when_the_ehr_has_none(
    encounter_bundle: EncounterBundle, clinic: ClinicFacts
) -> None:
    priced = replace(clinic, fee_schedule=FeeSchedule.flat({"G2211": Decimal("99"), "J3301": Decimal("3")}))
    unpriced = replace(encounter_bundle.charges[1], unit_price=None)
    bundle = replace(encounter_bundle, charges=(encounter_bundle.charges[0], unpriced))
    claim = build_claim(bundle, priced, created=CREATED).claim
    assert [str(item["unitPrice"]["value"]) for item in claim["item"]] == ["16.05", "3.00"]


def test_a_charge_without_any_price_is_named(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    bundle = replace(encounter_bundle, charges=(replace(encounter_bundle.charges[0], unit_price=None),))
    with pytest.raises(MappingError, match=r"Claim\.item\[0\]\.unitPrice"):
        build_claim(bundle, clinic, created=CREATED)


def test_the_payer_id_comes_from_the_configuration(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    bundle = build_claim(encounter_bundle, clinic, created=CREATED)
    payer = bundle.find(bundle.claim["insurer"]["reference"])
    assert payer is not None
    assert codes.identifier(payer, codes.PAYER_IDENTIFIER) == "60054"


def test_a_lines_own_performer_joins_the_care_team(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    other = replace(encounter_bundle.charges[1], performer="Practitioner/ehr.dr2")
    claim = build_claim(
        replace(encounter_bundle, charges=(encounter_bundle.charges[0], other)), clinic, created=CREATED
    )
    assert [m["provider"]["reference"] for m in claim.claim["careTeam"]] == [
        "Practitioner/ehr.dr1",
        "Practitioner/ehr.dr2",
    ]
    assert [item["careTeamSequence"] for item in claim.claim["item"]] == [[1], [2]]


def test_ids_are_stable_and_short(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    first, again = (build_claim(encounter_bundle, clinic, created=CREATED).claim for _ in range(2))
    assert first == again
    replaced = build_claim(encounter_bundle, clinic, created=CREATED, generation=2).claim
    assert replaced["id"] != first["id"]
    assert len(first["identifier"][1]["value"]) <= 20


def test_only_content_changes_the_hash(encounter_bundle: EncounterBundle, clinic: ClinicFacts) -> None:
    claim = build_claim(encounter_bundle, clinic, created=CREATED)
    later = build_claim(replace(encounter_bundle, source="other"), clinic, created="2027-01-01T00:00:00+00:00")
    assert claim_hash(claim) == claim_hash(later)
    more = replace(encounter_bundle.charges[0], quantity=Decimal(2))
    changed = build_claim(
        replace(encounter_bundle, charges=(more, encounter_bundle.charges[1])), clinic, created=CREATED
    )
    assert claim_hash(changed) != claim_hash(claim)
    leaves = ["Claim.item[0].quantity.value", "Claim.item[0].net.value", "Claim.total.value"]
    assert changed_elements(claim, changed) == leaves
