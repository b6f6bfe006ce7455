"""The tables of an EHR with an API of its own name the vendor's fields, not the FHIR in between."""

from __future__ import annotations

from gateway.kit.ehr_rows import US_CORE
from gateway.kit.ehr_tables import encounter_tables, vendor_tables
from gateway.kit.mapping import Row

CHARGE = "charge (first choice: Claim.item)"


def day(value: str) -> str:
    """MM/DD/YYYY as a date."""
    return value


OWN = {
    "Patient": (
        Row("name[0].family", "patient.last_name", required=True),
        Row("name[0].given[]", "patient.first_name"),
        Row("birthDate", "patient.dob", day),
    ),
    "Claim.item (a line)": (
        Row("productOrService.coding[0].code", "line.code"),
        Row("modifier[]", "line.modifiers[0]"),
        Row("quantity.value", "line.quantity | line.units"),
    ),
}


def rows_of(title: str) -> dict[str, Row]:
    return {row.target: row for row in vendor_tables(OWN)[title]}


def test_a_canonical_element_names_every_field_that_it_is_made_of() -> None:
    name = rows_of("Patient")["name[]"]
    assert (name.source, name.required) == ("patient.last_name | patient.first_name", True)
    assert rows_of(CHARGE)["system, code"].source == "line.code"
    assert "line.quantity | line.units" in rows_of(CHARGE)["quantity"].source


def test_what_both_steps_do_is_told_in_order() -> None:
    assert rows_of("Patient")["birthDate"].via.__doc__ == "MM/DD/YYYY as a date"


def test_what_the_vendor_never_fills_is_not_printed() -> None:
    assert "gender" not in rows_of("Patient")
    assert "Coverage" not in vendor_tables(OWN)


def test_what_the_clinic_supplies_is_printed_even_where_the_vendor_has_nothing() -> None:
    (place,) = [row for row in vendor_tables(OWN)["bundle (the encounter as a whole)"] if row.target == "location_code"]
    assert place.source == "gateway.yaml: locations.place_of_service | gateway.yaml: place_of_service"


def test_each_role_names_the_fields_of_its_own_and_no_other() -> None:
    own = {
        "Claim.careTeam (rendering)": (Row("provider.reference", "visit.doctor"),),
        "Claim.careTeam (referring)": (Row("provider.reference", "visit.referrer"),),
        "Practitioner (referring)": (Row("name[0].family", "referrer.name"),),
        "Encounter": (Row("participant[0].individual", "visit.doctor"),),
    }
    roles = [(row.target, row.source) for row in vendor_tables(own)["roles (who, and where)"]]
    assert roles == [("rendering_provider", "visit.doctor"), ("referring_provider", "visit.referrer")]


def test_where_no_claims_are_read_the_superbill_stands_in_their_place() -> None:
    tables = encounter_tables(US_CORE, ("superbill",))
    rows = [row for title, rows in tables.items() if title.startswith(("bundle", "roles", *US_CORE)) for row in rows]
    assert [row.target for row in rows if "Claim." in row.source] == []
    assert {row.target: row.source for row in rows}["prior_authorization"] == "superbill.prior_authorization"
    assert "accident" not in {row.target for row in rows}, "neither the EHR nor the file tells of it"
