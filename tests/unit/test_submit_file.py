"""`gateway submit --dry-run`: the exact payload, nothing sent, and every mistake told without a patient's value."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import dry_connection as dry
from gateway.canonical import jsonio
from gateway.canonical.claim_file import write_claim
from gateway.canonical.errors import ConfigurationError, UnsupportedElement
from gateway.canonical.identifiers import submission_id
from gateway.canonical.models import ClaimBundle, SubmissionReceipt, VendorPayload
from gateway.cli import main
from gateway.dry_connection import DryConnection, dry_connection
from gateway.kit.billing_base import BillingBase
from gateway.kit.contract_support import patient_values
from gateway.kit.samples import sample
from gateway.ports.billing import BatchRule, BillingAdapterInfo, BillingCapability
from gateway.registry import BILLING_GROUP, load_adapter

Printed = tuple[int, bytes, str]
Run = Callable[..., Printed]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a dry run opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Run:
    """The command in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)

    def command(*arguments: object) -> Printed:
        monkeypatch.setattr("sys.argv", ["gateway", "submit", *(str(a) for a in arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capfdbinary.readouterr()
        return code, printed.out, printed.err.decode()

    return command


def file_of(folder: Path, claim: ClaimBundle, name: str = "claim.json") -> Path:
    path = folder / name
    path.write_bytes(write_claim(claim))
    return path


@contextmanager
def opened(adapter: str = "kareo_tebra", connection: str = "") -> Iterator[DryConnection]:
    with dry_connection(adapter, None, connection, sample("office_visit")) as link:
        yield link


# --- the payload -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["office_visit", "two_payers", "child_of_subscriber", "period_with_line_note"])
def test_exactly_what_the_adapter_builds_is_printed(run: Run, tmp_path: Path, name: str) -> None:
    claim = sample(name)
    code, out, err = run(file_of(tmp_path, claim), "--billing", "kareo_tebra", "--dry-run")
    with opened() as link:
        expected = link.open().build(claim, submission_id("sample", "sample", claim.claim["id"]))
    assert (code, out) == (0, expected.body)
    assert expected.content_type in err
    assert "nothing is sent" in err
    assert "sample settings" in err


def test_several_claims_stand_one_after_the_other(run: Run, tmp_path: Path) -> None:
    files = [file_of(tmp_path, sample(name), f"{name}.json") for name in ("office_visit", "two_payers")]
    code, out, _ = run(*files, "--billing", "kareo_tebra", "--dry-run")
    assert code == 0
    assert len(out.split(b"\n")) == 2
    assert all(jsonio.loads(line)["lines"] for line in out.split(b"\n"))


def test_no_patient_value_is_told_beside_the_payload(run: Run, tmp_path: Path) -> None:
    claim = sample("child_of_subscriber")
    *_, err = run(file_of(tmp_path, claim), "--billing", "kareo_tebra", "--dry-run")
    assert [value for value in patient_values(claim) if value in err] == []


# --- held ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "element"),
    [
        ({"diagnosis": []}, "Claim.diagnosis"),
        ({"billablePeriod": 5}, "Claim.billablePeriod"),
        ({"patient": {"reference": "Patient/nobody"}}, "Claim.patient"),
        ({"related": 7}, "Claim.related"),
        ({"prescription": {"identifier": {"value": "1"}}}, "Claim.prescription"),
    ],
)
def test_a_claim_that_would_be_held_is_not_printed(
    run: Run, tmp_path: Path, change: dict[str, Any], element: str
) -> None:
    claim = sample("office_visit")
    broken = ClaimBundle({**claim.claim, **change}, claim.resources)
    code, out, err = run(file_of(tmp_path, broken), "--billing", "kareo_tebra", "--dry-run")
    assert (code, out) == (1, b"")
    assert f"error: {element}" in err
    assert "held" in err
    assert "Traceback" not in err
    assert [value for value in patient_values(claim) if value in err] == []


def test_an_edit_holds_too_and_one_held_claim_keeps_the_others_back(run: Run, tmp_path: Path) -> None:
    claim = sample("office_visit")
    future = jsonio.loads(jsonio.dumps(claim.claim).replace(b"2026-03", b"2926-03"))
    files = (file_of(tmp_path, claim), file_of(tmp_path, ClaimBundle(future, claim.resources), "future.json"))
    code, out, err = run(*files, "--billing", "kareo_tebra", "--dry-run")
    assert (code, out) == (1, b"")
    assert "future.json: error: Claim.item[0].serviced: The date of service is in the future." in err


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "claim.json: is not JSON"),
        ('{"resourceType": "Claim"}', "claim.json Bundle: This is no FHIR Bundle."),
        ('["Doe"]', "claim.json Bundle: This is no FHIR Bundle."),
        ('{"resourceType": "Bundle"}', "claim.json Bundle.entry: The Bundle holds 0 Claims instead of one."),
        ('{"resourceType": "Bundle", "entry": 5}', "claim.json Bundle.entry: This is no list of entries."),
        ('{"resourceType": "Bundle", "entry": {"Doe": 1}}', "claim.json Bundle.entry: This is no list of entries."),
        ('{"resourceType": "Bundle", "entry": ["Doe"]}', "claim.json Bundle.entry[0].resource: "),
        ('{"resourceType": "Bundle", "entry": [{"resource": {"id": "1"}}]}', "claim.json Bundle.entry[0].resource: "),
    ],
)
def test_a_file_without_a_claim_is_refused_with_the_element(run: Run, tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "claim.json").write_text(content)
    code, out, err = run("claim.json", "--billing", "kareo_tebra", "--dry-run")
    assert (code, out) == (2, b"")
    assert told in err
    assert "Remedy: " in err
    assert "Doe" not in err


def test_what_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    code, _, err = run("nothing.json", "--billing", "kareo_tebra", "--dry-run")
    assert (code, "nothing.json: cannot be read" in err) == (2, True)
    file = file_of(tmp_path, sample("office_visit"))
    code, _, err = run(file, "--billing", "nobody", "--dry-run")
    assert (code, "--billing: there is no adapter named nobody" in err) == (2, True)


def test_nothing_is_ever_sent(run: Run, tmp_path: Path) -> None:
    code, out, err = run(file_of(tmp_path, sample("office_visit")), "--billing", "kareo_tebra")
    assert (code, out) == (2, b"")
    assert "Sign the encounter in the EHR" in err


async def test_a_dry_connection_can_do_nothing_but_build() -> None:
    nowhere = dry._Nowhere()
    uses = (nowhere.get("a"), nowhere.put("a", b""), nowhere.drop("a"), nowhere.wait("a", 1), nowhere.spend("a", 1, 1))
    for use in uses:
        with pytest.raises(RuntimeError, match="dry run"):
            await use
    with pytest.raises(RuntimeError, match="dry run"):
        nowhere("a")


# --- settings of gateway.yaml ----------------------------------------------------------------------------------------


def configuration(*clinics: str, connections: Sequence[str] = ("tebra",)) -> dict[str, Any]:
    settings = {"customer_key": "k", "user": "u", "password": "p", "encounter_status": "Draft"}
    billing = {
        name: {"adapter": "kareo_tebra", "settings": {**settings, "practice_name": f"Practice {name}"}}
        for name in connections
    }
    clinic = {
        "name": "Lakeside",
        "timezone": "America/Chicago",
        "billing_provider": {"name": "Lakeside", "npi": "1234567893", "tax_id": "123456789"},
        "ehr": {"ehr": {"adapter": "smart_fhir"}},
        "billing": billing,
        "default_billing": connections[0],
    }
    return {"clinics": dict.fromkeys(clinics, clinic)}


def write(folder: Path, content: dict[str, Any], name: str = "gateway.yaml") -> Path:
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


def test_the_connection_of_gateway_yaml_is_used(run: Run, tmp_path: Path) -> None:
    claim = sample("office_visit")
    config = write(tmp_path, configuration("lakeside"), "other.yaml")
    command = (file_of(tmp_path, claim), "--billing", "kareo_tebra", "--dry-run", "--config", config)
    code, out, err = run(*command)
    assert code == 0
    document = jsonio.loads(out)["encounter"]
    assert document["EncounterStatus"] == "Draft"
    assert document["BatchNumber"] == submission_id("lakeside", "tebra", claim.claim["id"])
    assert "connection tebra of clinic lakeside" in err
    assert run(*command, "--connection", "lakeside/tebra")[:2] == (code, out)


def test_one_of_several_connections_must_be_named(run: Run, tmp_path: Path) -> None:
    write(tmp_path, configuration("east", "west"))
    command = (file_of(tmp_path, sample("office_visit")), "--billing", "kareo_tebra", "--dry-run")
    code, _, err = run(*command)
    assert code == 2
    assert "east/tebra, west/tebra" in err
    assert run(*command, "--connection", "west/tebra")[0] == 0
    code, _, err = run(*command, "--connection", "north/tebra")
    assert (code, "has no billing connection north/tebra" in err) == (2, True)


def test_a_configuration_without_the_adapter_gives_sample_settings(run: Run, tmp_path: Path) -> None:
    content = configuration("lakeside")
    content["clinics"]["lakeside"]["billing"]["tebra"]["adapter"] = "something_else"
    write(tmp_path, content)
    code, _, err = run(file_of(tmp_path, sample("office_visit")), "--billing", "kareo_tebra", "--dry-run")
    assert code == 0
    assert "sample settings" in err


def test_a_named_configuration_must_be_there(run: Run, tmp_path: Path) -> None:
    file = file_of(tmp_path, sample("office_visit"))
    code, _, err = run(file, "--billing", "kareo_tebra", "--dry-run", "--config", "absent.yaml")
    assert (code, "absent.yaml: cannot be read" in err) == (2, True)


def test_the_sample_clinic_is_the_claims_own_biller() -> None:
    with opened() as link:
        biller = next(r for r in sample("office_visit").resources.values() if r["id"] == "billing-provider")
        assert link.clinic.billing_provider.name == biller["name"]
        assert link.clinic.billing_provider.npi in json.dumps(biller["identifier"])


# --- batches and corrections -----------------------------------------------------------------------------------------


@dataclass
class Batching(BillingBase):
    """An adapter that sends two claims together, and can replace a claim."""

    batch = BatchRule(most=2)
    closed: int = 0
    priors: list[SubmissionReceipt | None] = field(default_factory=list)

    def build(self, claim: ClaimBundle, own_id: str, prior: SubmissionReceipt | None = None) -> VendorPayload:
        self.priors.append(prior)
        if claim.claim["id"] == "refused":
            raise UnsupportedElement("Claim.item", "cannot be carried", "Split it.")
        return VendorPayload(own_id, "text/plain", claim.claim["id"].encode())

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        body = b"<%d:%s>" % (control_number, b"+".join(payload.body for payload in payloads))
        return VendorPayload(f"{control_number:09d}", "text/batch", body)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def batching(monkeypatch: pytest.MonkeyPatch) -> Batching:
    adapter = Batching()
    real: BillingAdapterInfo = load_adapter(BILLING_GROUP, "kareo_tebra", "test")
    info = replace(real, open=lambda *_: adapter, capabilities=frozenset({BillingCapability.CORRECT}))
    monkeypatch.setattr(dry, "load_adapter", lambda *_: info)
    return adapter


def test_a_batch_is_enclosed_under_control_numbers_from_one(run: Run, tmp_path: Path, batching: Batching) -> None:
    claim = sample("office_visit")
    files = [
        file_of(tmp_path, ClaimBundle({**claim.claim, "id": f"c{n}"}, claim.resources), f"{n}.json") for n in range(3)
    ]
    code, out, err = run(*files, "--billing", "any", "--dry-run")
    assert (code, out) == (0, b"<1:c0+c1>\n<2:c2>")
    assert "000000001: text/batch" in err
    assert batching.closed == 1


def test_a_refusal_of_the_adapter_holds(run: Run, tmp_path: Path, batching: Batching) -> None:
    claim = sample("office_visit")
    file = file_of(tmp_path, ClaimBundle({**claim.claim, "id": "refused"}, claim.resources))
    code, out, err = run(file, "--billing", "any", "--dry-run")
    assert (code, out) == (1, b"")
    assert "Claim.item: Cannot be carried." in err
    assert "Split it." in err
    assert batching.closed == 1


def test_a_replacement_needs_the_ids_of_the_claim_on_file(run: Run, tmp_path: Path, batching: Batching) -> None:
    file = file_of(tmp_path, sample("replacement"))
    code, out, err = run(file, "--billing", "any", "--dry-run")
    assert (code, out) == (2, b"")
    assert "--prior NAME=VALUE" in err
    code, _, err = run(file, "--billing", "any", "--dry-run", "--prior", "number")
    assert (code, "--prior: is not NAME=VALUE" in err) == (2, True)
    code, _, _ = run(file, "--billing", "any", "--dry-run", "--prior", "PayerClaimControlNumber=X=1")
    assert code == 0
    (prior,) = batching.priors
    assert prior is not None
    assert prior.vendor_ids == {"PayerClaimControlNumber": "X=1"}


def test_an_adapter_without_a_simulator_needs_a_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    real: BillingAdapterInfo = load_adapter(BILLING_GROUP, "kareo_tebra", "test")
    monkeypatch.setattr(dry, "load_adapter", lambda *_: replace(real, simulator=""))
    with pytest.raises(ConfigurationError, match="no sample settings"), opened():
        pass
