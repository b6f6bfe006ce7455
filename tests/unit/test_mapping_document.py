"""The mapping document: every row of every adapter is in it, the three forms say the same, and it says what happens."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.canonical import claim_rows
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import ConfigurationError
from gateway.canonical.mapping import Row, same
from gateway.canonical.models import ChargeLine, EncounterBundle
from gateway.cli import main
from gateway.kit.ehr_charge_rows import CHARGE_TABLES
from gateway.kit.ehr_normalize import FURTHER_RULES
from gateway.kit.payload import CLAIM_ELEMENTS
from gateway.mapping_document import HEADINGS, Line, MappingDocument, mapping_document
from gateway.mapping_join import UNTOLD, in_words, meaning_of, vendor_side
from gateway.mapping_print import FORMATS, as_csv, as_html, as_markdown, used_columns
from gateway.ports.billing import BillingAdapterInfo
from gateway.ports.ehr import EhrAdapterInfo
from gateway.registry import BILLING_GROUP, EHR_GROUP, adapter_names, load_adapter

Tables = Mapping[str, Sequence[Row]]
NOT_FROM_THIS_EHR = {
    "Claim.supportingInfo.hospitalized",
    "Claim.supportingInfo.onset",
    "Claim.supportingInfo.info",
    "Claim.supportingInfo.patientPaid",
    "Claim.item.informationSequence",
}


def ehr_of(name: str) -> EhrAdapterInfo:
    info: EhrAdapterInfo = load_adapter(EHR_GROUP, name, "test")
    return info


def billing_of(name: str) -> BillingAdapterInfo:
    info: BillingAdapterInfo = load_adapter(BILLING_GROUP, name, "test")
    return info


@pytest.fixture(params=adapter_names(BILLING_GROUP))
def document(request: pytest.FixtureRequest) -> MappingDocument:
    return mapping_document(ehr_of("smart_fhir"), billing_of(request.param))


@pytest.fixture
def kareo() -> MappingDocument:
    return mapping_document(ehr_of("smart_fhir"), billing_of("kareo_tebra"))


def lines_of(document: MappingDocument, title: str) -> tuple[Line, ...]:
    return next(section.lines for section in document.sections if section.title == title)


def joined(document: MappingDocument) -> dict[str, Line]:
    return {line.element: line for line in lines_of(document, "Field by field")}


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_every_canonical_element_has_one_line(document: MappingDocument) -> None:
    elements = [line.element for line in lines_of(document, "Field by field")]
    assert len(elements) == len(set(elements))
    assert set(CLAIM_ELEMENTS) <= set(elements)
    assert all(line.place for line in lines_of(document, "Field by field") if line.element in CLAIM_ELEMENTS)


@pytest.mark.parametrize("name", adapter_names(BILLING_GROUP))
def test_every_row_of_both_adapters_and_of_the_claim_builder_is_printed_whole(name: str) -> None:
    ehr, billing = ehr_of("smart_fhir"), billing_of(name)
    document = mapping_document(ehr, billing)
    assert ehr.rows
    assert billing.rows
    tables: list[tuple[str, Tables]] = [("Claim builder", claim_rows.CLAIM_TABLES), ("EHR smart_fhir", ehr.rows)]
    for owner, rows_by_title in (*tables, (name, billing.rows)):
        for title, rows in rows_by_title.items():
            lines = lines_of(document, f"{owner}: {title}")
            assert len(lines) == len(rows)
            for line, row in zip(lines, rows, strict=True):
                ours, theirs, words = (
                    (line.element, line.ehr, line.to_canonical)
                    if owner != name
                    else (line.vendor, line.element, line.to_vendor)
                )
                assert (ours, theirs, words) == (row.target, row.source, in_words(row.via))
                assert (line.note, line.fix) == (row.note, row.fix)
                assert bool(line.ehr_required or line.vendor_required) == row.required


@pytest.mark.parametrize("name", adapter_names(BILLING_GROUP))
def test_what_is_not_carried_is_said_with_the_reason(name: str) -> None:
    billing = billing_of(name)
    missing = {line.element: line for line in lines_of(mapping_document(ehr_of("smart_fhir"), billing), "Not carried")}
    for element in CLAIM_ELEMENTS:
        field = billing.carried.get(element)
        if field is None:
            assert "held for a person" in missing[element].vendor
        elif field.startswith("- "):
            assert missing[element].note == field.removeprefix("- ")
        else:
            assert element not in missing


def test_what_the_claim_builder_fills_has_a_source_and_what_it_does_not_fill_has_none(kareo: MappingDocument) -> None:
    lines = joined(kareo)
    empty = {element for element, line in lines.items() if line.ehr.startswith("- no row")}
    assert empty == NOT_FROM_THIS_EHR
    assert "set when an encounter changes" in lines["Claim.related"].ehr


@pytest.mark.parametrize(
    ("element", "sources", "vendor"),
    [
        ("Claim.item.productOrService", ["Claim.item.productOrService", "ChargeItem.code", "Procedure.code"], "Proc"),
        ("Practitioner.identifier", ["Practitioner.identifier"], "rendering_provider.npi"),
        ("Location.name", ["Location.name"], "location.name"),
        ("Organization.identifier", ["gateway.yaml: payer_ids"], "PlanID"),
        ("Claim.item.unitPrice", ["ChargeItem.priceOverride", "gateway.yaml: fee_schedule"], "UnitCharge"),
        ("Claim.diagnosis", ["Encounter.diagnosis.condition", "Claim.item.diagnosisSequence"], "DiagnosisCode1..4"),
        ("Claim.careTeam.referring", ["ServiceRequest.requester", "Encounter.participant.individual"], "Referring"),
        ("Claim.insurance.preAuthRef", ["Claim.insurance.preAuthRef"], "AuthorizationNumber"),
        ("Claim.provider.resolve().identifier", ["gateway.yaml: billing_provider.npi"], ""),
        ("Claim.total", ["of Claim.item.net, see there"], ""),
        ("Patient.birthDate", ["Patient.birthDate"], "DateofBirth"),
        ("Coverage.class", ["Coverage.class"], "PolicyGroupNumber"),
        ("RelatedPerson.gender", ["RelatedPerson.gender"], "Insured.Gender"),
    ],
)
def test_a_line_leads_from_the_ehr_to_the_vendor(
    kareo: MappingDocument, element: str, sources: list[str], vendor: str
) -> None:
    line = joined(kareo)[element]
    assert [source for source in sources if source not in line.ehr] == []
    assert vendor in line.vendor


def test_required_is_told_for_both_sides(kareo: MappingDocument) -> None:
    line = joined(kareo)["Patient.birthDate"]
    assert (line.ehr_required, line.vendor_required) == ("yes", "yes")
    assert "xs:dateTime" in line.to_vendor
    assert not joined(kareo)["RelatedPerson.birthDate"].ehr_required


def test_every_transform_of_the_canonical_side_is_in_words() -> None:
    tables = {**claim_rows.CLAIM_TABLES, **ehr_of("smart_fhir").rows}
    words = {f"{title}: {row.target}": in_words(row.via) for title, rows in tables.items() for row in rows}
    assert [where for where, text in words.items() if text == UNTOLD or text == "via" or "raises `" in text] == []


def test_every_transform_of_the_billing_adapters_is_in_words() -> None:
    tables = {name: billing_of(name).rows for name in adapter_names(BILLING_GROUP)}
    vias = {f"{n}: {t}: {row.target}": row.via for n, of in tables.items() for t, rows in of.items() for row in rows}
    undescribed = {where for where, via in vias.items() if in_words(via) == UNTOLD}
    nameless = {where for where, via in vias.items() if not getattr(getattr(via, "func", via), "__doc__", None)}
    assert undescribed | nameless == set()


def test_a_resource_that_travels_whole_is_told_for_each_of_its_elements() -> None:
    lines = joined(mapping_document(ehr_of("smart_fhir"), billing_of("fhir_claim")))
    assert lines["Patient.birthDate"].vendor == "Bundle.entry.resource: Patient.birthDate"
    assert "names the entry of the Bundle" in lines["Coverage.payor"].to_vendor
    assert [element for element, line in lines.items() if "no row" in line.vendor] == []


def test_a_reference_is_followed_and_what_nothing_reads_is_said(kareo: MappingDocument) -> None:
    assert joined(kareo)["Coverage.payor"].vendor == "- followed to the Organization that it names"
    assert joined(kareo)["Coverage.beneficiary"].vendor == "- read by no row"


# --- the rows are the mapping ----------------------------------------------------------------------------------------


def test_no_member_of_a_built_claim_comes_from_elsewhere(
    encounter_bundle: EncounterBundle, clinic: ClinicFacts
) -> None:
    line = replace(encounter_bundle.charges[0], performer="Practitioner/other")
    bundle = replace(
        encounter_bundle,
        charges=(line, *encounter_bundle.charges),
        accident={"date": "2026-03-01"},
        referral_number="1",
        prior_authorization="2",
    )
    claim = build_claim(bundle, clinic, created="2026-03-04T12:00:00+00:00").claim
    parts = {
        "careTeam": claim_rows.MEMBER_ROWS,
        "diagnosis": claim_rows.DIAGNOSIS_ROWS,
        "insurance": claim_rows.INSURANCE_ROWS,
        "item": claim_rows.ITEM_ROWS,
    }
    assert set(claim) <= {row.target for row in claim_rows.CLAIM_ROWS}
    for name, rows in parts.items():
        assert {member for element in claim[name] for member in element} <= {row.target for row in rows}


def test_the_rows_of_a_charge_make_its_members_and_no_other() -> None:
    members = {field.name for field in fields(ChargeLine)} - {"expression"}
    for _, rows in CHARGE_TABLES.values():
        assert {target for row in rows for target in row.targets} <= members
    assert {rule.target for rule in FURTHER_RULES} <= {field.name for field in fields(EncounterBundle)}


def test_a_changed_row_changes_the_claim(
    encounter_bundle: EncounterBundle, clinic: ClinicFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The builder has no second opinion: what a row says is what the claim holds."""
    other = claim_rows.Table.of(claim_rows.Part("quantity", "charge.code"))
    monkeypatch.setattr("gateway.canonical.claim_builder.ITEM_ROWS", other)
    short = claim_rows.Table.of(*(row for row in claim_rows.CLAIM_ROWS if row.target in ("id", "item")))
    monkeypatch.setattr("gateway.canonical.claim_builder.CLAIM_ROWS", short)
    claim = build_claim(encounter_bundle, clinic, created="2026-03-04T12:00:00+00:00").claim
    assert claim["item"] == [{"quantity": line.code} for line in encounter_bundle.charges]
    assert list(claim) == ["id", "item"]


# --- the three forms -------------------------------------------------------------------------------------------------


def markdown_facts(text: str) -> dict[str, list[dict[str, str]]]:
    """Section title to its table's rows: heading to cell, empty cells left out."""
    facts: dict[str, list[dict[str, str]]] = {}
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        title, _, rest = part.replace("&lt;", "<").partition("\n")
        table = [row for row in rest.splitlines() if row.startswith("|")]
        cells = [[_plain(cell) for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]
        facts[title] = [{h: c for h, c in zip(cells[0], row, strict=True) if c} for row in cells[2:]]
    return facts


def _plain(cell: str) -> str:
    parts = (part.strip() for part in cell.replace("\\|", "|").split("<br>"))
    return "\n".join(part[1:-1] if re.fullmatch(r"`[^`]*`", part) else part for part in parts)


def csv_facts(text: str) -> dict[str, list[dict[str, str]]]:
    facts: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(io.StringIO(text)):
        facts.setdefault(row.pop("section"), []).append({h: _plain(c.strip()) for h, c in row.items() if c})
    return facts


class _Tables(HTMLParser):
    """The page's tables as texts, and every address that it would load."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.loads: list[str] = []
        self.tags: list[str] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href") and value]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True
        if tag == "br":
            self.rows[-1][-1] += "\n"

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


def test_markdown_and_csv_say_the_same(document: MappingDocument) -> None:
    markdown, table = markdown_facts(as_markdown(document)), csv_facts(as_csv(document))
    assert {title: rows for title, rows in markdown.items() if rows} == table  # a section may have nothing to say
    assert list(table) == [section.title for section in document.sections if section.lines]


def test_the_page_says_the_same_and_loads_nothing(document: MappingDocument) -> None:
    page = _Tables()
    page.feed(as_html(document))
    expected: list[list[str]] = []
    for section in document.sections:
        columns = used_columns(section)
        expected.append([HEADINGS[c] for c in columns])
        cells = ([getattr(line, c).removeprefix("- ").replace("`", "") for c in columns] for line in section.lines)
        expected += cells
    assert page.rows == expected
    assert [address for address in page.loads if not address.startswith("#s")] == []
    assert "@import" not in as_html(document)
    assert "url(" not in as_html(document)


def hostile() -> BillingAdapterInfo:
    rows = (Row("<b>|x", "Claim.total.value", note='<script>alert(1)</script> | & "q"', fix="=cmd()"),)
    return replace(
        billing_of("kareo_tebra"),
        title="<img src=x>",
        rows={"<i>": rows},
        carried={"Claim.total": "=HYPERLINK(1)"},
    )


def test_what_an_adapter_says_is_escaped() -> None:
    document = mapping_document(ehr_of("smart_fhir"), hostile())
    page = _Tables()
    page.feed(as_html(document))
    assert {"b", "i", "img"}.isdisjoint(page.tags)
    assert page.tags.count("script") == 1
    assert "<script>" not in as_markdown(document)
    assert markdown_facts(as_markdown(document)) == csv_facts(as_csv(document))
    cells = [cell for row in csv.reader(io.StringIO(as_csv(document))) for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "@", "-"))] == [], "no spreadsheet runs a cell"


# --- settings, command -----------------------------------------------------------------------------------------------


def test_an_adapter_whose_settings_decide_is_asked() -> None:
    def mapping_of(settings: Any) -> tuple[Mapping[str, str], Tables]:
        return {"Claim.total": settings}, {"Mine": (Row("amount", "Claim.total.value"),)}

    info = replace(billing_of("kareo_tebra"), mapping_of=mapping_of)
    assert joined(mapping_document(ehr_of("smart_fhir"), info))["Claim.total"].vendor != "grand_total"
    asked = mapping_document(ehr_of("smart_fhir"), info, "grand_total")
    assert joined(asked)["Claim.total"].vendor == "grand_total"
    assert [line.vendor for line in lines_of(asked, "kareo_tebra: Mine")] == ["amount"]


def test_a_document_says_whose_settings_it_shows() -> None:
    ehr, info = ehr_of("smart_fhir"), billing_of("kareo_tebra")
    depends = replace(info, mapping_of=lambda _: (info.carried, info.rows))
    assert "adapter's example" in mapping_document(ehr, depends).about[-1]
    shown = mapping_document(ehr, depends, object(), "connection tebra of clinic east in gateway.yaml")
    assert shown.about[-1] == "With the connection tebra of clinic east in gateway.yaml."
    assert "example" not in " ".join(mapping_document(ehr, info).about)


def test_an_ehr_adapter_without_tables_still_has_a_document() -> None:
    lines = joined(mapping_document(replace(ehr_of("smart_fhir"), rows={}), billing_of("kareo_tebra")))
    assert lines["Claim.facility"].ehr.startswith("- no row")
    assert set(CLAIM_ELEMENTS) <= set(lines)


def half(value: float) -> float:
    """Half of it.

    And more that is not printed.
    """
    return value / 2


def undescribed_rule(value: Any) -> Any:
    return value


@pytest.mark.parametrize(
    ("via", "words"),
    [
        (same, ""),
        (half, "Half of it"),
        (partial(half), "Half of it"),
        (undescribed_rule, "undescribed rule"),
        (lambda value: value, UNTOLD),
        (partial(lambda value, by: value, by=2), UNTOLD),
        (str, "as text"),
        (Decimal, "as a decimal number"),
    ],
)
def test_a_transform_in_words(via: Any, words: str) -> None:
    assert in_words(via) == words


@pytest.mark.parametrize(
    ("title", "row", "elements"),
    [
        ("Lines", Row("units", "item.quantity.value"), {"Claim.item.quantity"}),
        ("Lines", Row("day", "item.servicedDate | item.servicedPeriod.start"), {"Claim.item.serviced"}),
        ("Patient", Row("last", "name.family"), {"Patient.name"}),
        ("Anything", Row("last", "patient_name.family"), {"Patient.name"}),
        ("Anything", Row("last", "Subscriber.name.family"), {"Patient.name", "RelatedPerson.name"}),
        ("Anything", Row("last", "Patient.name.where(use='official').given[0]"), {"Patient.name"}),
        ("Lines", Row("DiagnosisCode3", "codes[2]"), {"Claim.diagnosis"}),
        ("Encounter", Row("Hospitalization.StartDate", "stay.start"), {"Claim.supportingInfo.hospitalized"}),
        ("Bundle", Row("identifier", "submission.id"), set()),
        ("Bundle", Row("Hospitalization", "'always'"), set()),
        ("PID patient", Row("PID-5.1", "name.family"), {"Patient.name"}),
        ("PV1 visit", Row("PV1-8.2", "referring.family"), {"Practitioner.name"}),
        ("PV1 visit", Row("PV1-8.9", "referring.authority"), set()),
        ("Note", Row("NPI", "referring"), set()),
        ("Bundle", Row("entry", "resource"), {"Claim.item.quantity", "Claim.item.serviced", "Patient.name"}),
    ],
)
def test_where_a_vendors_row_stands(title: str, row: Row, elements: set[str]) -> None:
    carried = {
        "Claim.diagnosis": "ServiceLine.DiagnosisCode1..4",
        "Claim.supportingInfo.hospitalized": "Hospitalization",
        "Claim.referral": "Claim.referral.identifier",
        "Claim.total": "- codes are added up",
    }
    people = ["Patient.name", "RelatedPerson.name", "Practitioner.name"]
    known = ["Claim.item.quantity", "Claim.item.serviced", *people, *carried]
    found = {element for element, rows in vendor_side({title: (row,)}, carried, known).items() if rows}
    assert found >= elements
    assert found == elements or row.source == "resource"


@pytest.mark.parametrize(
    ("title", "source", "meaning"),
    [
        ("Anything", "Claim.total.value", ""),
        ("Anything", "item.modifier[1].coding.code", "Claim.item.modifier[1].coding.code"),
        ("Anything", "onset.timingDate", "Claim.supportingInfo.onset.timingDate"),
        ("Patient", "name.given[0]", "Patient.name.given[0]"),
        ("Insured (another person)", "name.family", "RelatedPerson.name.family | Patient.name.family"),
        ("Anything", "rendering.key", "Practitioner.identifier of Claim.careTeam.rendering"),
        ("Anything", "cover.relationship", "Coverage.relationship"),
        ("Anything", "site.sending_facility", "gateway.yaml: the connection"),
        ("Anything", "related.reference | prior.Number", "Claim.related.reference | the receipt of the claim on file"),
        ("Anything", "unheard.of", ""),
    ],
)
def test_what_a_vendors_source_is_in_the_claim(title: str, source: str, meaning: str) -> None:
    assert meaning_of(Row("target", source), title) == meaning


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["gateway", *arguments])
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_command_prints_each_form(
    form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("mapping", "--ehr", "smart_fhir", "--billing", "kareo_tebra", "--format", form)
    assert run(monkeypatch, *command) == 0
    printed = capsys.readouterr().out
    assert run(monkeypatch, *command, "--out", "mapping.out") == 0
    assert (tmp_path / "mapping.out").read_text("utf-8") == printed
    assert "PolicyGroupNumber" in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--ehr", "nobody", "--billing", "kareo_tebra"), "--ehr: there is no adapter named nobody"),
        (("--ehr", "smart_fhir", "--billing", "nobody"), "--billing: there is no adapter named nobody"),
        (("--ehr", "smart_fhir", "--billing", "kareo_tebra", "--connection", "x"), "gateway.yaml: cannot be read"),
        (("--ehr", "smart_fhir", "--billing", "kareo_tebra", "--out", "no/such/folder"), "cannot be written"),
    ],
)
def test_a_mistake_ends_with_the_remedy(
    arguments: tuple[str, ...],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "mapping", *arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "Remedy: " in error


def test_names_of_adapters_are_checked_before_anything_is_built() -> None:
    with pytest.raises(ConfigurationError):
        ehr_of("nobody")
