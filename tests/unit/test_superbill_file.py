"""Superbill files: what is good is taken, every mistake is told by line and column, and no value is ever repeated."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import codes
from gateway.canonical.superbill import Keys, Layout, SuperbillFile, Visit, is_superbill
from gateway.canonical.superbill_columns import COLUMNS
from gateway.canonical.superbill_file import read_superbills, report_lines

NPI = "1234567893"
ROW: dict[str, str] = {
    "superbill_id": "SB-778",
    "mrn": "AB123456",
    "serviced_date": "2026-03-03",
    "rendering_npi": NPI,
    "facility": "Main Office",
    "diagnosis_1": "I10",
    "diagnosis_2": "e119",
    "product_or_service": "99214",
    "modifier_1": "25",
    "modifier_2": "",
    "quantity": "1",
    "charge": "0.00",
    "diagnosis_pointers": "AB",
    "status": "Ready for biller",
    "location_code": "11",
    "prior_authorization": "PA-9",
}
SECOND = {**ROW, "product_or_service": "83036", "modifier_1": "qw", "charge": "$1,028.00", "diagnosis_pointers": "2"}
LAYOUT = Layout()


def written(*rows: dict[str, str], **options: Any) -> bytes:
    """A CSV file of rows, with the columns of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def read(*rows: dict[str, str], layout: Layout = LAYOUT) -> SuperbillFile:
    return read_superbills(written(*rows), layout)


def told(file: SuperbillFile) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.column, problem.message) for problem in file.problems]


def test_a_superbill_becomes_a_claim_with_its_lines_in_order() -> None:
    file = read(ROW, SECOND)
    assert (file.rows, file.problems, file.refused) == (2, (), ())
    [superbill] = file.superbills
    assert superbill.visit == Visit("AB123456", date(2026, 3, 3), NPI)
    assert superbill.ready
    claim = superbill.claim
    assert is_superbill(claim)
    assert [c["diagnosisCodeableConcept"]["coding"][0]["code"] for c in claim["diagnosis"]] == ["I10", "E11.9"]
    first, second = claim["item"]
    assert first["productOrService"] == codes.concept(codes.CPT, "99214")
    assert first["modifier"] == [codes.concept(codes.CPT, "25")]
    assert first["diagnosisSequence"] == [1, 2]
    assert first["locationCodeableConcept"] == codes.concept(codes.POS, "11")
    assert "net" not in first, "0.00 says nothing about the price"
    assert second["net"] == {"value": Decimal("1028.00"), "currency": "USD"}
    assert second["modifier"] == [codes.concept(codes.HCPCS, "QW")]
    assert second["diagnosisSequence"] == [2]
    assert claim["insurance"][0]["preAuthRef"] == ["PA-9"]
    assert claim["facility"] == {"display": "Main Office"}


def test_the_claim_holds_neither_the_record_number_nor_the_provider() -> None:
    text = repr(read(ROW).superbills[0].claim)
    assert "AB123456" not in text
    assert NPI not in text


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + written(ROW, SECOND),
        written(ROW, SECOND, quoting=csv.QUOTE_ALL),
        written(ROW, SECOND, lineterminator="\n"),
        written(ROW, SECOND) + b"\r\n\r\n",
        written(dict(reversed(ROW.items())), SECOND),
    ],
    ids=["BOM", "quotes", "LF", "blank lines", "another order of columns"],
)
def test_csv_as_programs_write_it(content: bytes) -> None:
    file = read_superbills(content, LAYOUT)
    assert (told(file), len(file.superbills), file.rows) == ([], 1, 2)


def test_windows_encoding_and_another_delimiter() -> None:
    content = written({**ROW, "facility": "Büro"}, delimiter=";").decode().encode("cp1252")
    file = read_superbills(content, replace(LAYOUT, encoding="cp1252", delimiter=";"))
    assert file.superbills[0].claim["facility"] == {"display": "Büro"}
    wrong = read_superbills(content, replace(LAYOUT, delimiter=";"))
    assert told(wrong) == [(2, "", "the file is not written in utf-8")]


def test_the_column_map_names_the_headers_of_the_export() -> None:
    renamed = {{"mrn": "Chart No", "serviced_date": "DOS"}.get(name, name): value for name, value in ROW.items()}
    renamed |= {"DOS": "3/3/2026", "Balance": "7"}
    layout = Layout(
        columns={"mrn": "chart no", "serviced_date": "DOS"}, ignored=frozenset({"balance"}), date_format="%m/%d/%Y"
    )
    assert read(renamed, layout=layout).superbills[0].visit == Visit("AB123456", date(2026, 3, 3), NPI)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("rendering_npi", "1234567890", "this is not an NPI: ten digits, the last of which is a check digit"),
        ("serviced_date", "03/03/2026", "this is not a date in the configured form (date_format)"),
        ("serviced_date", "2026-02-30", "this is not a date in the configured form (date_format)"),
        ("serviced_date", "", "the date of service is missing: the encounter is found by it"),
        ("mrn", " ", "the patient's record number is missing: the encounter is found by it"),
        ("quantity", "0", "the units must be above zero and below 100000"),
        ("quantity", "NaN", "the units must be above zero and below 100000"),
        ("quantity", "two", "this is not a number"),
        ("charge", "-1.00", "this is not an amount in dollars and cents"),
        ("charge", "12,34", "this is not an amount in dollars and cents"),
        ("charge", "1.005", "this is not an amount in dollars and cents"),
        ("charge", "999999999", "this amount is larger than a claim can hold"),
        ("product_or_service", "", "the line has no procedure"),
        ("product_or_service", "9921", "this is not in the form of a CPT or HCPCS code"),
        ("modifier_1", "25X", "this is not a procedure modifier (two letters or digits)"),
        ("diagnosis_1", "10I", "this is not in the form of an ICD-10-CM code"),
        ("diagnosis_pointers", "ABCDE", "this is not one to four diagnosis pointers such as AB or 1,2"),
        ("diagnosis_pointers", "A-B", "this is not one to four diagnosis pointers such as AB or 1,2"),
        ("diagnosis_pointers", "0", "diagnosis pointers begin with A or 1"),
        ("diagnosis_pointers", "AC", "points at a diagnosis that the row does not have"),
        ("location_code", "office", "this is not a place of service code (two digits)"),
    ],
)
def test_a_bad_cell_is_told_by_line_and_column(column: str, value: str, message: str) -> None:
    other = {**ROW, "superbill_id": "SB-1"}
    file = read(other, ROW, {**ROW, column: value})
    assert (4, column, message) in told(file)
    assert [s.number for s in file.superbills] == ["SB-1"], "the good one goes in, the other not even in part"
    assert [r.number for r in file.refused] == ["SB-778"]
    assert all(problem.fix for problem in file.problems)


@pytest.mark.parametrize("column", ["mrn", "serviced_date", "rendering_npi", "facility", "status"])
def test_rows_of_one_superbill_must_agree(column: str) -> None:
    others = {"mrn": "ZZ999999", "serviced_date": "2026-03-04", "rendering_npi": "1679576722"}
    file = read(ROW, {**SECOND, column: others.get(column, "Other")})
    assert told(file) == [(3, column, "differs from the superbill's first row (line 2)")]
    assert file.superbills == ()


def test_a_refused_superbill_tells_whose_it_is_only_when_its_rows_do() -> None:
    assert read({**ROW, "quantity": "0"}).refused[0].visit == Visit("AB123456", date(2026, 3, 3), NPI)
    assert read({**ROW, "rendering_npi": "1"}).refused[0].visit is None
    assert read(ROW, {**ROW, "mrn": "ZZ999999"}).refused[0].visit is None


def test_the_line_is_the_one_on_which_the_row_begins() -> None:
    file = read({**ROW, "facility": "Main\nOffice"}, {**ROW, "superbill_id": "SB-2", "quantity": "0"})
    assert [problem.line for problem in file.problems] == [4]


@pytest.mark.parametrize(
    ("header", "message", "column"),
    [
        ({"Remarks": "x"}, "the column is not known", "Remarks"),
        ({"AB123456": "x"}, "the column is not known", ""),
    ],
)
def test_an_unknown_column_is_told_and_a_value_in_its_place_is_not(
    header: dict[str, str], message: str, column: str
) -> None:
    assert told(read({**ROW, **header})) == [(1, column, message)]


def test_the_first_row_of_a_file_without_a_header_is_not_told_as_one() -> None:
    assert told(read_superbills(b"Canary,Jane,1985-06-15,99213\r\n", Layout())) == [(1, "", "the column is not known")]


def test_a_required_column_must_be_there_and_so_must_a_mapped_one() -> None:
    without = {name: value for name, value in ROW.items() if name != "product_or_service"}
    assert told(read(without)) == [(1, "product_or_service", "the column is not in the file")]
    assert told(read(ROW, layout=Layout(columns={"modifier_3": "M3"}))) == [(1, "M3", "the column is not in the file")]
    assert read({name: ROW[name] for name in ROW if name != "facility"}).problems == ()


def test_a_header_that_is_given_to_another_column_is_no_longer_its_own() -> None:
    file = read(ROW, SECOND, layout=Layout(columns={"unit_price": "charge"}))
    item = file.superbills[0].claim["item"][1]
    assert item["unitPrice"] == {"value": Decimal("1028.00"), "currency": "USD"}
    assert "net" not in item
    without = {name: value for name, value in ROW.items() if name != "facility"}
    taken = Layout(columns={"facility": "mrn"})
    assert told(read(without, layout=taken)) == [(1, "mrn", "the column is not in the file")]


def test_a_column_that_is_there_twice_is_refused() -> None:
    content = written(ROW).replace(b"facility", b"mrn", 1)
    assert told(read_superbills(content, LAYOUT)) == [(1, "mrn", "the column is there twice")]


def test_a_row_with_too_few_cells_is_told() -> None:
    content = written(ROW) + b"SB-2,AB1\r\n"
    file = read_superbills(content, LAYOUT)
    assert (3, "", f"the row has 2 cells and the header has {len(ROW)}") in told(file)
    assert [s.number for s in file.superbills] == ["SB-778"]


@pytest.mark.parametrize("content", [b"", b"\r\n\r\n"])
def test_an_empty_file_is_told(content: bytes) -> None:
    assert told(read_superbills(content, LAYOUT)) == [(1, "", "the file is empty")]


def test_what_is_not_csv_is_told_with_the_line() -> None:
    content = written(ROW) + b'SB-2,"AB1'
    assert told(read_superbills(content, LAYOUT)) == [(3, "", "the file is not CSV from here on")]


def test_too_many_rows_are_refused_as_a_whole() -> None:
    file = read(ROW, SECOND, layout=replace(LAYOUT, max_rows=1))
    assert (told(file), file.superbills) == ([(3, "", "the file has more than 1 rows")], ())


def test_more_than_a_claim_can_hold_is_refused() -> None:
    diagnoses = [
        {**ROW, "diagnosis_1": f"I{n}", "diagnosis_2": f"J{n}", "diagnosis_pointers": ""} for n in range(10, 17)
    ]
    assert told(read(*diagnoses)) == [(8, "", "the superbill has more than 12 diagnoses, and a claim cannot")]
    assert told(read(*[ROW] * 51)) == [(52, "", "the superbill has more than 50 lines, and a claim cannot")]


def test_a_draft_is_read_and_not_ready() -> None:
    assert not read({**ROW, "status": "Draft"}).superbills[0].ready
    assert read({**ROW, "status": "READY FOR BILLER"}).superbills[0].ready
    assert read({name: ROW[name] for name in ROW if name != "status"}).superbills[0].ready


def test_a_line_without_pointers_points_at_the_first_four_diagnoses_of_its_row() -> None:
    wide = ROW | {f"diagnosis_{n}": f"I{n}0" for n in range(1, 7)} | {"diagnosis_pointers": ""}
    assert read(wide).superbills[0].claim["item"][0]["diagnosisSequence"] == [1, 2, 3, 4]


def test_pointers_name_columns_so_an_empty_diagnosis_between_two_keeps_its_letter() -> None:
    gap = {**ROW, "diagnosis_2": "", "diagnosis_3": "E11.9", "diagnosis_pointers": "C"}
    claim = read(gap, layout=LAYOUT).superbills[0].claim
    assert claim["item"][0]["diagnosisSequence"] == [2]


def test_a_price_of_one_unit_instead_of_the_total() -> None:
    priced = {{"charge": "unit_price"}.get(name, name): value for name, value in ROW.items()} | {"unit_price": "2.10"}
    item = read(priced).superbills[0].claim["item"][0]
    assert item["unitPrice"] == {"value": Decimal("2.10"), "currency": "USD"}
    assert "net" not in item


def test_a_report_has_lines_and_columns_and_no_values() -> None:
    secret = {**ROW, "mrn": "QQ777777", "quantity": "SECRET", "rendering_npi": "SECRET", "facility": "SECRET"}
    lines = report_lines(read(secret).problems)
    assert len(lines) == 2
    assert all(line.startswith("line 2, column ") for line in lines)
    assert not any("SECRET" in line or "QQ777777" in line for line in lines)


CELLS = st.text(max_size=12) | st.sampled_from(["", "0", "A", "25", "I10", NPI, "2026-03-03", "\x00", '"', "٣", "1e9"])


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS), min_size=1, max_size=4))
def test_no_cell_breaks_the_reader(changes: list[dict[str, str]]) -> None:
    file = read(*({**dict.fromkeys(COLUMNS, ""), **ROW, **change} for change in changes))
    assert file.superbills or file.problems
    whole = [p for p in file.problems if p.line == 1 or not p.column]
    assert whole or {s.number for s in file.superbills}.isdisjoint(r.number for r in file.refused)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    assert read_superbills(content, LAYOUT).superbills == ()


@given(
    st.lists(st.sampled_from(["I10", "E11.9", "L57.0", "J45.909"]), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_pointers_always_lead_to_the_diagnosis_that_the_row_meant(held: list[str], data: st.DataObject) -> None:
    pointed = data.draw(st.lists(st.integers(1, len(held)), min_size=1, max_size=4, unique=True))
    cells = {f"diagnosis_{i}": code for i, code in enumerate(held, start=1)} | {
        "diagnosis_pointers": "".join("ABCD"[n - 1] for n in pointed)
    }
    blank = {"diagnosis_2": "", "diagnosis_3": "", "diagnosis_4": ""}
    first = {**ROW, **blank, "diagnosis_1": "Z00.00", "diagnosis_pointers": "A"}
    claim = read({**first, **dict.fromkeys(cells, "")} | first, {**ROW, **blank, **cells}).superbills[0].claim
    by_number = {d["sequence"]: d["diagnosisCodeableConcept"]["coding"][0]["code"] for d in claim["diagnosis"]}
    assert [by_number[n] for n in claim["item"][1]["diagnosisSequence"]] == [held[n - 1] for n in pointed]


def test_keys_say_nothing_and_do_not_depend_on_how_the_number_is_written() -> None:
    keys = Keys(b"0123456789abcdef", "lakeside", "main")
    visit = Visit("AB123456", date(2026, 3, 3), NPI)
    assert keys.of_visit(visit) == keys.of_visit(replace(visit, record_number=" ab 123456"))
    others = [
        replace(visit, record_number="AB123457"),
        replace(visit, serviced=date(2026, 3, 4)),
        replace(visit, rendering_npi="1679576722"),
    ]
    assert keys.of_visit(visit) not in {keys.of_visit(other) for other in others}
    for other in (replace(keys, secret=b"x" * 16), replace(keys, clinic_id="b"), replace(keys, connection="b")):
        assert other.of_visit(visit) != keys.of_visit(visit)
    assert "AB123456" not in keys.of_visit(visit)
    assert "0123" not in repr(keys)
