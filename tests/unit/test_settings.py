"""gateway.yaml: every mistake names the file, the line, the key and the remedy, and never a secret."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.canonical import codes
from gateway.canonical.charge_map import Kind
from gateway.canonical.errors import ConfigurationError
from gateway.settings import load_settings

GOOD = """\
clinics:
  lakeside:
    name: Lakeside Dermatology
    timezone: America/New_York
    billing_provider:
      name: Lakeside Dermatology
      npi: "1234567893"
      tax_id: "12-3456789"
    fee_schedule:
      G2211: "16.05"
    ehr:
      main:
        adapter: smart_fhir
        settings: {secret: "env:EHR_SECRET"}
    billing:
      tebra:
        adapter: kareo_tebra
"""


def load(tmp_path: Path, text: str, **environment: str):  # type: ignore[no-untyped-def]
    file = tmp_path / "gateway.yaml"
    file.write_text(text)
    return load_settings(file, {"EHR_SECRET": "s3cr3t", **environment})


def problem(tmp_path: Path, text: str, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, **environment)
    return str(caught.value).removeprefix(str(tmp_path) + "/")


def test_a_good_file_loads_with_exact_money_and_resolved_secrets(tmp_path: Path) -> None:
    clinic = load(tmp_path, GOOD).gateway.clinics["lakeside"]
    assert str(clinic.facts("lakeside").fee("G2211", (), date(2026, 3, 3))) == "16.05"
    assert clinic.ehr["main"].settings == {"secret": "s3cr3t"}
    assert clinic.facts("lakeside").timezone.key == "America/New_York"


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("from file\n")
    loaded = load(tmp_path, GOOD.replace("env:EHR_SECRET", "file:secret.txt"))
    assert loaded.gateway.clinics["lakeside"].ehr["main"].settings == {"secret": "from file"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("timezone:", "timezon:"), "gateway.yaml:2 clinics.lakeside.timezone: is missing."),
        (
            ("    fee_schedule:", "    fees: 1\n    fee_schedule:"),
            "gateway.yaml:9 clinics.lakeside.fees: is not a known key.",
        ),
        (("America/New_York", "Eastern"), "gateway.yaml:4 clinics.lakeside.timezone: is not an IANA time zone"),
        (("1234567893", "1234567890"), "gateway.yaml:7 clinics.lakeside.billing_provider.npi: the check digit"),
        (('"16.05"', "cheap"), "gateway.yaml:10 clinics.lakeside.fee_schedule.G2211: "),
        (("env:EHR_SECRET", "env:NOT_SET"), "settings.secret: environment variable NOT_SET is not set."),
        (("env:EHR_SECRET", "file:none.txt"), "settings.secret: the file cannot be read"),
        (("    ehr:", "   ehr:"), "is not YAML here."),
        (
            ("clinics:", "server: {public_url: 'http://gw.example.test'}\nclinics:"),
            "gateway.yaml:1 server.public_url: must be an https URL",
        ),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    text = problem(tmp_path, GOOD.replace(*change))
    assert expected in text
    assert "Remedy:" in text or "Correct" in text
    assert "s3cr3t" not in text


MAPPED = GOOD.replace(
    "    ehr:\n",
    """\
    charge_map:
      rules:
        - when: {procedure: ["snomed|86273004"]}
          lines:
            - code: "11102"
              units: 2
              diagnoses: all
      ignore: ["36415"]
    locations:
      Main Office: {place_of_service: "22", npi: "1234567893"}
    providers:
      "1679576722": {taxonomy: 207N00000X}
    ehr:
""",
)


def test_the_charge_map_locations_and_providers_reach_the_mappers(tmp_path: Path) -> None:
    facts = load(tmp_path, MAPPED).gateway.clinics["lakeside"].facts("lakeside")
    (rule,) = facts.charge_map.rules
    assert rule.codes == {Kind.PROCEDURE: frozenset({(codes.SNOMED, "86273004")})}
    assert [(line.code, line.units) for line in rule.lines] == [("11102", 2)]
    assert facts.locations["Main Office"].npi == "1234567893"
    assert facts.providers["1679576722"].taxonomy == "207N00000X"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (('"11102"', '"1110"'), "gateway.yaml:15 clinics.lakeside.charge_map.rules.0.lines.0.code: is not a CPT"),
        (('"11102"', "11102"), "Put it between quotation marks."),
        (
            ("units: 2", "units: {per: 20, rule: eight_minute}"),
            "lines.0.units: the eight-minute rule is for units of 15",
        ),
        (("units: 2", "units: {per: 20}"), "lines.0.units.rule: is missing."),
        (("units: 2", "units: 0"), "lines.0.units: Input should be greater than 0"),
        (("all", "some"), "lines.0.diagnoses: Input should be 'all' or 'first'"),
        (("all", "[some]"), "lines.0.diagnoses.0: is not in the form of an ICD-10-CM code"),
        (('{procedure: ["snomed|86273004"]}', "{}"), "rules.0.when: a rule needs a condition"),
        (("snomed|", "snowmed|"), "rules.0.when.procedure.0: begins with an unknown system"),
        (("snomed|86273004", "*"), "rules.0.when.procedure.0: needs a system before the asterisk"),
        (("procedure:", "procedures:"), "rules.0.when.procedures: is not a known key."),
        (('procedure: ["snomed|86273004"]', "minutes: 30-20"), "rules.0.when.minutes: ends before it begins"),
        (
            ('procedure: ["snomed|86273004"]', "minutes: long"),
            'when.minutes: is not a range of minutes such as "20-29"',
        ),
        (("      ignore", "      on_unmapped: bill\n      ignore"), "charge_map.on_unmapped: Input should be 'hold'"),
        (('"22"', '"office"'), "locations.Main Office.place_of_service: "),
        (("207N00000X", "dermatology"), "providers.1679576722.taxonomy: "),
    ],
)
def test_each_mistake_of_charge_capture_is_named(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    assert expected in problem(tmp_path, MAPPED.replace(*change))


def test_a_rule_of_own_codes_needs_a_condition_by_code(tmp_path: Path) -> None:
    text = MAPPED.replace('procedure: ["snomed|86273004"]', "encounter_class: [AMB]").replace('"11102"', "own")
    assert "a line with the code own needs a condition by code" in problem(tmp_path, text)


def test_the_fee_schedule_may_be_a_file_beside_gateway_yaml(tmp_path: Path) -> None:
    (tmp_path / "fees.csv").write_text("code,fee,effective_from\nG2211,16.05,2026-01-01\n")
    text = GOOD.replace('fee_schedule:\n      G2211: "16.05"', "fee_schedule: fees.csv")
    facts = load(tmp_path, text).gateway.clinics["lakeside"].facts("lakeside")
    assert (facts.fee("G2211", (), date(2026, 1, 1)), facts.fee("G2211", (), date(2025, 1, 1))) == (
        Decimal("16.05"),
        None,
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"code,fee,effective_from\nG2211,cheap,2026-01-01\n", "fees.csv:2 fee: is not an amount in dollars."),
        (b"\xff\xfe", "fees.csv: is not text in UTF-8."),
        (None, "gateway.yaml:9 clinics.lakeside.fee_schedule: the file cannot be read"),
    ],
)
def test_a_file_of_fees_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        (tmp_path / "fees.csv").write_bytes(content)
    assert problem(tmp_path, GOOD.replace('fee_schedule:\n      G2211: "16.05"', "fee_schedule: fees.csv")).startswith(
        expected
    )


def test_a_missing_file_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read .* Remedy"):
        load_settings(tmp_path / "none.yaml", {})
    assert "is empty" in problem(tmp_path, "")


def test_the_environment_names_another_postgres(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, GATEWAY_DATABASE_URL="postgresql://db/x").database_url == "postgresql://db/x"
    assert load(tmp_path, GOOD).database_url == ""


@pytest.mark.parametrize("command", ["run", "serve", "work", "check", "status", "holds", "migrate"])
def test_the_command_ends_with_status_2_and_no_traceback(tmp_path: Path, command: str) -> None:
    (tmp_path / "gateway.yaml").write_text(GOOD.replace("timezone:", "timezon:"))
    ended = subprocess.run(
        [sys.executable, "-m", "gateway", command],
        cwd=tmp_path,
        env={"PATH": "", "EHR_SECRET": "s3cr3t"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert "clinics.lakeside.timezone" in ended.stderr
    assert "Remedy" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert not (tmp_path / ".gateway").exists()
