"""The adapter with a receiver on a port, a watcher of folders, an SFTP server and the ADS API."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from adapters.billing.medics_premier import ADAPTER
from adapters.billing.medics_premier.adapter import MedicsPremier
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from adapters.billing.medics_premier.signing import signed_headers
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    ConfigurationError,
    CredentialsRejected,
    DuplicateClaim,
    ErrorCode,
    OutcomeUnknown,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import ClaimBundle, SubmissionState, VendorPayload
from gateway.kit.contract_support import Simulator, contract_context, patient_values
from gateway.kit.samples import sample
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext

Connect = Callable[..., MedicsPremier]
GATEWAY_KEY, SECRET_KEY = "gk-tests-77120", "sk-tests-<&>-90417"


@pytest.fixture
def context() -> AdapterContext:
    plain = contract_context()
    return AdapterContext(plain.clinic, plain.connection, plain.pacer, plain.lock, plain.shared)  # the real clock


@pytest.fixture
async def connect(
    fresh: Any, plain_settings: Callable[..., dict[str, Any]], context: AdapterContext
) -> AsyncIterator[Connect]:
    """Adapters over MLLP (or another transport), with changed settings."""
    async with AsyncExitStack() as stack:

        def opened(transport: dict[str, Any] | None = None, **changes: Any) -> MedicsPremier:
            settings = plain_settings(transport or fresh.transport, **changes)
            adapter = MedicsPremier(MedicsPremierSettings.model_validate(settings), context)
            stack.push_async_callback(adapter.aclose)
            return adapter

        yield opened


@pytest.fixture
def claim() -> ClaimBundle:
    return sample("office_visit")


@pytest.fixture
def api(fresh: Any) -> dict[str, Any]:
    return {
        "url": f"{fresh.url}/api/v4/edi",
        "gateway_key": GATEWAY_KEY,
        "secret_key": SECRET_KEY,
        "authstring": "UFJFTTpERU1P",
        "endpoint": "https://client.example.test/csp/prem/api.v4.cls",
        "profile": "clinic1",
    }


def control(simulator: Simulator, route: str, **body: Any) -> dict[str, Any]:
    answer = simulator.client.post(f"/_sim/{route}", json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


# --- over MLLP ---------------------------------------------------------------------------------------------------


async def test_the_saved_claim_says_what_the_claim_said(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    receipt = await adapter.submit(adapter.build(sample("twelve_diagnoses"), "GW1"))
    assert receipt.state is SubmissionState.RECEIVED
    assert receipt.evidence.reference == "AA GW1-D"
    assert receipt.vendor_ids == {"ControlID": "GW1-D"}
    assert receipt.calls == 2
    (saved,) = simulator.ledger()["claims"]
    assert (saved["submission_id"], saved["mrn"], saved["state"]) == ("GW1", "MRN1006", "pending")
    assert saved["lines"][3]["diagnoses"] == ["B07.9", "L70.0", "L82.1", "L20.9"]
    assert {line["provider"] for line in saved["lines"]} == {"1679576722"}
    assert control(simulator, "advance")["moved"] == [saved["vendor_id"]]
    assert simulator.ledger()["claims"][0]["state"] == "posted"


@pytest.mark.parametrize(
    "manner",
    [
        {"split_frames": True},
        {"noise": True},
        {"double": True},
        {"delay_seconds": 0.1},
        {"noise": True, "double": True},
    ],
)
async def test_manners_of_receivers(
    manner: dict[str, Any], connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    control(simulator, "faults", manner=manner)
    adapter = connect()
    assert (await adapter.submit(adapter.build(claim, "GW1"))).state is SubmissionState.RECEIVED


async def test_one_connection_for_many_claims(connect: Connect, simulator: Simulator, claim: ClaimBundle) -> None:
    adapter = connect()
    await asyncio.gather(*(adapter.submit(adapter.build(claim, f"GW{n}")) for n in range(10)))
    ledger = simulator.ledger()
    assert ledger["connections"] == 1
    assert {entry["submission_id"] for entry in ledger["claims"]} == {f"GW{n}" for n in range(10)}


@pytest.mark.parametrize("changes", [{"hl7_version": "2.3.1"}, {"acknowledgment": "commit"}, {"trigger_event": "P11"}])
async def test_versions_and_modes(
    changes: dict[str, Any], connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    adapter = connect(**changes)
    receipt = await adapter.submit(adapter.build(claim, "GW1"))
    assert receipt.evidence.reference == ("CA GW1-D" if "acknowledgment" in changes else "AA GW1-D")
    assert len(simulator.ledger()["claims"]) == 1


@pytest.mark.parametrize("version", ["2.3.1", "2.5.1"])
async def test_refusals_name_the_element_and_no_patient(
    version: str, connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    claim.resources["Practitioner/ehr.dr-stone"]["identifier"][0]["value"] = "1538296324"
    adapter = connect(hl7_version=version, demographics="none")
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(claim, "GW1"))
    told = {(finding.edit, finding.expression) for finding in caught.value.findings}
    assert told == {
        ("medics_premier-204", "Patient.identifier.where(type.coding.code='MR').value"),
        ("medics_premier-204", "Claim.careTeam"),
    }
    text = str(caught.value) + str(caught.value.findings)
    assert not [value for value in patient_values(claim) if value in text]
    assert simulator.ledger()["claims"] == []


async def test_a_patient_who_is_refused_stops_the_charges(
    connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    adapter = connect(payers={"60054": {"company": "INS999"}})
    with pytest.raises(ClaimRejected) as caught:
        await adapter.submit(adapter.build(claim, "GW1"))
    assert caught.value.operation == "ADT^A04"
    assert caught.value.code is ErrorCode.PAYER_UNKNOWN
    assert simulator.ledger()["calls"] == {"ADT^A04": 1}


async def test_a_repeat_is_one_claim_whether_ignored_or_refused(
    connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    adapter = connect()
    assert adapter.repeatable_seconds == math.inf
    payload = adapter.build(claim, "GW1")
    first = await adapter.submit(payload)
    assert (await adapter.submit(payload)).vendor_ids == first.vendor_ids
    assert simulator.ledger()["ignored_duplicates"] == 2
    control(simulator, "faults", duplicates="refuse")
    again = await adapter.submit(payload)
    assert again.evidence.reference == "AE GW1-D, there before"
    assert again.state is SubmissionState.RECEIVED
    assert len(simulator.ledger()["claims"]) == 1


async def test_without_the_promise_a_duplicate_is_for_a_person(
    connect: Connect, simulator: Simulator, claim: ClaimBundle
) -> None:
    adapter = connect(receiver_drops_duplicates=False)
    assert adapter.repeatable_seconds == 0
    payload = adapter.build(claim, "GW1")
    await adapter.submit(payload)
    control(simulator, "faults", duplicates="refuse")
    with pytest.raises(DuplicateClaim):
        await adapter.submit(payload)


async def test_saved_after_the_answer_was_given_up(connect: Connect, simulator: Simulator, claim: ClaimBundle) -> None:
    adapter = connect()
    payload = adapter.build(claim, "GW1")
    rule = {"operation": "DFT^P03", "kind": FaultKind.SAVE_AFTER_TIMEOUT.value, "times": 1}
    control(simulator, "faults", rules=[rule], late_save_seconds=0.1)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    assert (await adapter.submit(payload)).state is SubmissionState.RECEIVED
    await asyncio.sleep(0.3)
    assert len(simulator.ledger()["claims"]) == 1


async def test_over_mllp_nothing_waits(connect: Connect) -> None:
    assert [message async for message in connect().collect()] == []


async def test_probe_without_a_message(connect: Connect, simulator: Simulator) -> None:
    (line,) = await connect(probe_by_message=False).probe()
    assert (line.ok, line.detail) == (True, "")
    assert simulator.ledger()["calls"] == {}
    (line,) = await connect().probe()
    assert line.detail == "answers messages"
    assert simulator.ledger()["calls"] == {"NMQ^N01": 1}
    assert simulator.ledger()["claims"] == []


def test_certificates_that_cannot_be_read(
    plain_settings: Callable[..., dict[str, Any]], tmp_path: pathlib.Path
) -> None:
    transport = {"kind": "mllp", "host": "h", "port": 1, "tls_ca_file": tmp_path / "nobody.pem"}
    settings = MedicsPremierSettings.model_validate(plain_settings(transport))
    with pytest.raises(ConfigurationError, match="tls_ca_file"):
        MedicsPremier(settings, contract_context())


# --- as files ----------------------------------------------------------------------------------------------------


async def _answers(adapter: MedicsPremier) -> list[Any]:
    for _ in range(200):
        waiting = [message async for message in adapter.collect()]
        if waiting:
            return waiting
        await asyncio.sleep(0.02)
    raise AssertionError("no acknowledgment file came")


@pytest.mark.parametrize("envelope", [False, True])
async def test_a_file_and_its_acknowledgment(
    envelope: bool, connect: Connect, simulator: Simulator, claim: ClaimBundle, fresh: Any
) -> None:
    adapter = connect({**fresh.folders, "envelope": envelope})
    receipt = await adapter.submit(adapter.build(claim, "GW1"))
    assert receipt.state is SubmissionState.SENT
    assert receipt.vendor_ids == {"FileName": "GW1.hl7", "ControlID": "GW1-D"}
    (message,) = await _answers(adapter)
    (outcome,) = adapter.parse_outcome(message.content)
    assert (outcome.submission_id, outcome.evidence.state) == ("GW1", SubmissionState.RECEIVED)
    await adapter.discard(message)
    await adapter.discard(message)
    assert [found async for found in adapter.collect()] == []
    assert len(simulator.ledger()["claims"]) == 1
    assert (await adapter.probe())[0].ok


async def test_a_refusal_in_a_file(connect: Connect, claim: ClaimBundle, fresh: Any) -> None:
    adapter = connect(fresh.folders, demographics="none")
    await adapter.submit(adapter.build(claim, "GW1"))
    (message,) = await _answers(adapter)
    (outcome,) = adapter.parse_outcome(message.content)
    assert outcome.evidence.state is SubmissionState.REJECTED
    assert outcome.findings[0].expression.startswith("Patient.identifier")
    assert b"Quillfeather" in message.content
    assert "Quillfeather" not in str(outcome)


async def test_a_batch_file_has_its_envelope(connect: Connect, claim: ClaimBundle, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    folders = {"kind": "folder", "outgoing": tmp_path / "out", "incoming": tmp_path / "in", "envelope": True}
    adapter = connect(folders)
    for _ in range(2):  # the same claim replaces its file
        await adapter.submit(adapter.build(claim, "GW1"))
    (file,) = (tmp_path / "out").iterdir()
    lines = file.read_bytes().decode().split("\r")
    assert [lines[0][:3], lines[1][:3], *lines[-3:]] == ["FHS", "BHS", "BTS|2", "FTS|1", ""]
    assert lines[0] == "FHS|^~\\&|CLAIMGW|LAKESIDE|MEDICSPREMIER|0001|20260304102000"


async def test_a_folder_that_is_not_there(connect: Connect, claim: ClaimBundle, tmp_path: pathlib.Path) -> None:
    adapter = connect({"kind": "folder", "outgoing": tmp_path / "no", "incoming": tmp_path / "no"})
    with pytest.raises(VendorUnavailable):
        await adapter.submit(adapter.build(claim, "GW1"))
    (line,) = await adapter.probe()
    assert not line.ok
    assert line.remedy


async def test_over_sftp(connect: Connect, simulator: Simulator, claim: ClaimBundle, sftp: dict[str, Any]) -> None:
    adapter = connect(sftp, timeout_seconds=10)
    receipt = await adapter.submit(adapter.build(claim, "GW1"))
    assert receipt.state is SubmissionState.SENT
    (message,) = await _answers(adapter)
    assert adapter.parse_outcome(message.content)[0].evidence.state is SubmissionState.RECEIVED
    await adapter.discard(message)
    assert [found async for found in adapter.collect()] == []
    assert len(simulator.ledger()["claims"]) == 1
    assert sftp["password"] not in adapter.scrub(f"the password is {sftp['password']}")


# --- the ADS API v4 ----------------------------------------------------------------------------------------------


async def test_the_patient_by_api_and_the_charges_by_hl7(
    connect: Connect, simulator: Simulator, claim: ClaimBundle, api: dict[str, Any]
) -> None:
    adapter = connect(demographics="api_v4", api=api)
    first = await adapter.submit(adapter.build(claim, "GW1"))
    assert first.vendor_ids == {"QueueID": "9001", "ControlID": "GW1-D"}
    second = await adapter.submit(adapter.build(claim, "GW2"))
    assert (second.vendor_ids["QueueID"], first.calls, second.calls) == (
        "9001",
        2,
        1,
    )  # the same data is not queued twice
    ledger = simulator.ledger()
    assert ledger["calls"] == {"DFT^P03": 2, "api_v4": 1}
    assert [entry["state"] for entry in ledger["queue"]] == ["pending"]
    control(simulator, "advance")
    assert list(simulator.ledger()["patients"]) == ["MRN1001"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"secret_key": "another"}, "stage 3"),
        ({"gateway_key": "another"}, "stage 4"),
        ({"digest_style": "binary"}, "stage 2"),
    ],
)
async def test_keys_that_ads_refuses(
    changes: dict[str, Any], code: str, connect: Connect, simulator: Simulator, claim: ClaimBundle, api: dict[str, Any]
) -> None:
    adapter = connect(demographics="api_v4", api={**api, **changes})
    with pytest.raises(CredentialsRejected) as caught:
        await adapter.submit(adapter.build(claim, "GW1"))
    assert caught.value.vendor_code == code
    assert simulator.ledger()["claims"] == []


async def test_a_clock_that_is_wrong(
    fresh: Any, plain_settings: Callable[..., dict[str, Any]], claim: ClaimBundle, api: dict[str, Any]
) -> None:
    plain = contract_context()
    late = AdapterContext(
        plain.clinic,
        plain.connection,
        plain.pacer,
        plain.lock,
        plain.shared,
        now=lambda: datetime.now(UTC) - timedelta(hours=1),
    )
    settings = plain_settings(fresh.transport, demographics="api_v4", api=api)
    adapter = MedicsPremier(MedicsPremierSettings.model_validate(settings), late)
    with pytest.raises(CredentialsRejected, match="clock"):
        await adapter.submit(adapter.build(claim, "GW1"))
    await adapter.aclose()


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (500, "", VendorUnavailable),
        (400, "", ClaimRejected),
        (200, '{"status" : "hello"}', UnexpectedResponse),
        (302, "", UnexpectedResponse),
    ],
)
async def test_other_answers_of_the_api(
    status: int,
    text: str,
    error: type[AdapterError],
    connect: Connect,
    claim: ClaimBundle,
    api: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = connect(demographics="api_v4", api=api)
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(status, text=text)))
    monkeypatch.setattr(adapter._api, "_client", client)
    with pytest.raises(error):
        await adapter.submit(adapter.build(claim, "GW1"))


async def test_an_api_that_is_away(connect: Connect, claim: ClaimBundle, api: dict[str, Any]) -> None:
    adapter = connect(demographics="api_v4", api={**api, "url": "http://127.0.0.1:9/api/v4/edi"})
    with pytest.raises(VendorUnavailable):
        await adapter.submit(adapter.build(claim, "GW1"))


def test_the_headers_of_the_public_client() -> None:
    when = datetime(2017, 6, 20, 14, 30, 46, tzinfo=UTC)
    headers = signed_headers(b"{}", "/api/v4/edi", "secret", when, user_agent="ClaimGateway")
    assert headers["Request-Timestamp"] == "Tue, 20 Jun 2017 14:30:46 GMT"
    md5 = base64.b64encode(hashlib.md5(b"{}", usedforsecurity=False).hexdigest().encode()).decode()
    assert headers["Content-MD5"] == md5
    canonical = f"{md5},/api/v4/edi,Tue, 20 Jun 2017 14:30:46 GMT".encode()
    digest = hmac.new(b"secret", canonical, hashlib.sha256).hexdigest().encode()
    assert headers["APIAuth"] == base64.b64encode(digest).decode()
    binary = signed_headers(b"{}", "/api/v4/edi", "secret", when, user_agent="x", style="binary")
    assert len(base64.b64decode(binary["APIAuth"])) == 32


# --- privacy and documents ---------------------------------------------------------------------------------------


async def test_scrubbing(connect: Connect, api: dict[str, Any], claim: ClaimBundle) -> None:
    adapter = connect(demographics="api_v4", api=api)
    payload: VendorPayload = adapter.build(claim, "GW1")
    dirty = (
        f"{payload.body.decode()} {SECRET_KEY} {GATEWAY_KEY} UFJFTTpERU1P "
        "MSH|^~\\&|PM\rMSA|AE|GW1-D|JANE QUILLFEATHER unknown\r"
        "ERR|PID^1^5^204&Quillfeather|FT1^1^20|204^Quillfeather|E|||Quillfeather not on file"
    )
    clean = adapter.scrub(dirty)
    assert not [value for value in patient_values(claim) if value in clean]
    assert not [secret for secret in (SECRET_KEY, GATEWAY_KEY, "UFJFTTpERU1P") if secret in clean]
    assert "QUILLFEATHER" not in clean
    for kept in ("GW1-D", "99213^^CPT", "FT1^1^20", "L57.0"):
        assert kept in clean


def test_every_setting_and_capability_is_documented() -> None:
    readme = (pathlib.Path(__file__).parents[1] / "README.md").read_text("utf-8")
    words = [*ADAPTER.settings.model_fields, *ADAPTER.capabilities]
    for nested in ("MllpTransport", "FolderTransport", "SftpTransport", "ApiV4", "CodeLabels", "PayerCode"):
        model = vars(__import__("adapters.billing.medics_premier.settings", fromlist=[nested]))[nested]
        words += model.model_fields
    assert [word for word in words if f"`{word}`" not in readme] == []


def test_fact_sheet() -> None:
    assert ADAPTER.settle_seconds == 60
    assert ADAPTER.simulator == "adapters.billing.medics_premier.simulator"
