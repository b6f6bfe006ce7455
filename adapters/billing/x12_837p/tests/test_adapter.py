"""The adapter against the simulator: whole ways of claims and of their answers, by every delivery."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.billing.x12_837p import ADAPTER
from adapters.billing.x12_837p.adapter import X12Claims
from adapters.billing.x12_837p.api import refusal
from adapters.billing.x12_837p.medical_network import receipt_of
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    ClaimRejected,
    CredentialsRejected,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import (
    PAYER_CLAIM_CONTROL_NUMBER,
    ClaimBundle,
    ClaimOutcome,
    InboundMessage,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.kit.contract_frame import MADE_AT, PRIOR
from gateway.kit.contract_support import contract_context
from gateway.kit.samples import sample
from gateway.ports.context import AdapterContext

Opened = Callable[..., X12Claims]
SENT, RECEIVED, ACCEPTED, REJECTED, QUEUED = (
    SubmissionState.SENT,
    SubmissionState.RECEIVED,
    SubmissionState.ACCEPTED,
    SubmissionState.REJECTED,
    SubmissionState.QUEUED,
)


@pytest.fixture
def context() -> AdapterContext:
    return contract_context()


@pytest.fixture
async def opened(sandbox: Any, context: AdapterContext) -> AsyncIterator[Opened]:
    """Open adapters by delivery; they are closed after the test."""
    adapters: list[X12Claims] = []

    def one(delivery: str, **changes: Any) -> X12Claims:
        plain = {**sandbox.settings(delivery), **changes}
        adapters.append(X12Claims(X12Settings.model_validate(plain), context))
        return adapters[-1]

    yield one
    for adapter in adapters:
        await adapter.aclose()


def batch(adapter: X12Claims, *claims: ClaimBundle, number: int = 101) -> VendorPayload:
    payloads = [adapter.build(claim, f"GW{n}", PRIOR) for n, claim in enumerate(claims)]
    return adapter.enclose(payloads, number, MADE_AT)


async def collected(adapter: X12Claims) -> list[InboundMessage]:
    return [message async for message in adapter.collect()]


async def outcomes(adapter: X12Claims, *, discard: bool = True) -> list[ClaimOutcome]:
    """What waits at the clearinghouse, read and taken away."""
    found = []
    for message in await collected(adapter):
        found += adapter.parse_outcome(message.content)
        if discard:
            await adapter.discard(message)
    return found


def told(found: list[ClaimOutcome]) -> set[tuple[str, SubmissionState]]:
    return {(o.account_number or o.control_number, o.evidence.state) for o in found}


def names(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def control(sandbox: Any, what: str, body: dict[str, Any]) -> None:
    httpx.post(f"{sandbox.url}/_sim/{what}", json=body).raise_for_status()


def ledger(sandbox: Any) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{sandbox.url}/_sim/ledger").json()
    return found


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", ["sftp", "folder"])
async def test_the_whole_way_of_a_batch(delivery: str, opened: Opened, sandbox: Any) -> None:
    adapter = opened(delivery)
    receipt = await adapter.submit(batch(adapter, sample("office_visit"), sample("two_payers")))
    assert receipt.state is SENT
    assert receipt.vendor_ids == {
        "InterchangeControlNumber": "000000101",
        "File": "837P-contract-contract-000000101.837",
    }
    assert {c["submission_id"] for c in ledger(sandbox)["claims"]} == {"GW0", "GW1"}
    first = await outcomes(adapter)
    assert told(first) == {("000000101", RECEIVED), ("GSAMPLE000101", RECEIVED), ("GSAMPLE000201", RECEIVED)}
    assert await collected(adapter) == []
    control(sandbox, "advance", {"payer": "accept", "account": "GSAMPLE000101"})
    control(sandbox, "advance", {"payer": "reject", "account": "GSAMPLE000201", "statuses": ["A7:33:IL"]})
    by_account = {o.account_number: o for o in await outcomes(adapter)}
    assert by_account["GSAMPLE000101"].evidence.state is ACCEPTED
    assert by_account["GSAMPLE000101"].vendor_ids[PAYER_CLAIM_CONTROL_NUMBER].startswith("PCN")
    refused = by_account["GSAMPLE000201"]
    assert (refused.evidence.state, refused.findings[0].edit) == (REJECTED, "277-A7-33")


async def test_a_correction_and_a_void_name_what_the_payer_has_on_file(opened: Opened, sandbox: Any) -> None:
    adapter = opened("sftp")
    await adapter.submit(batch(adapter, sample("office_visit")))
    await outcomes(adapter)
    control(sandbox, "advance", {"payer": "accept"})
    [accepted] = await outcomes(adapter)
    prior = SubmissionReceipt("GW0", accepted.evidence, accepted.vendor_ids)
    replacement = sample("replacement")
    del replacement.claim["related"][0]["reference"]
    payload = adapter.enclose([adapter.build(replacement, "GW9", prior)], 102, MADE_AT)
    await adapter.submit(payload)
    first, second = ledger(sandbox)["claims"]
    assert (second["frequency"], first["replaced_by"]) == ("7", second["vendor_id"])


async def test_the_same_interchange_twice_is_one_and_speaks_against_no_claim(opened: Opened, sandbox: Any) -> None:
    adapter = opened("sftp")
    payload = batch(adapter, sample("office_visit"))
    await adapter.submit(payload)
    assert (await adapter.submit(payload)).vendor_ids["InterchangeControlNumber"] == "000000101"
    assert len(ledger(sandbox)["claims"]) == 1
    assert told(await outcomes(adapter)) == {("000000101", RECEIVED), ("GSAMPLE000101", RECEIVED)}


async def test_numbers_of_another_system_are_left_out(opened: Opened, sandbox: Any) -> None:
    adapter = opened("sftp", control_number_offset=5000)
    payload = batch(adapter, sample("office_visit"), number=1)
    assert payload.submission_id == "000000001"
    assert payload.fields["file"] == "837P-contract-contract-000005001.837"
    await adapter.submit(payload)
    assert ledger(sandbox)["interchanges"] == ["000005001"]
    assert told(await outcomes(adapter)) == {("000000001", RECEIVED), ("GSAMPLE000101", RECEIVED)}


async def test_a_claim_that_spoils_a_batch_is_refused_and_the_others_wait(opened: Opened, sandbox: Any) -> None:
    adapter = opened("sftp")
    good, bad = adapter.build(sample("office_visit"), "GW0"), adapter.build(sample("two_payers"), "GW1")
    spoiled = replace(bad, body=bad.body.replace(b"*11:B:1*Y*A*Y*Y~", b"*11:B:1*Y*Q*Y*Y~"))
    await adapter.submit(adapter.enclose([good, spoiled], 101, MADE_AT))
    assert ledger(sandbox)["claims"] == []
    refused, others = await outcomes(adapter)
    assert told([refused, others]) == {("GSAMPLE000201", REJECTED), ("000000101", QUEUED)}
    assert (refused.findings[0].edit, others.account_number) == ("999-7", "")


async def test_a_claim_that_fails_an_edit_is_refused_alone(opened: Opened, sandbox: Any) -> None:
    adapter = opened("sftp")
    good, bad = adapter.build(sample("office_visit"), "GW0"), adapter.build(sample("two_payers"), "GW1")
    spoiled = replace(bad, body=bad.body.replace(b"*PI*09102~", b"*PI*NOBODY~"))
    await adapter.submit(adapter.enclose([good, spoiled], 101, MADE_AT))
    found = {o.account_number: o for o in await outcomes(adapter)}
    assert found["GSAMPLE000101"].evidence.state is RECEIVED
    assert [f.expression for f in found["GSAMPLE000201"].findings] == ["Claim.insurance.coverage.payor"]


async def test_answers_in_one_file_with_other_delimiters(opened: Opened, sandbox: Any) -> None:
    control(
        sandbox, "faults", {"together": True, "line_breaks": True, "delimiters": {"element": "|", "component": ">"}}
    )
    adapter = opened("folder")
    await adapter.submit(batch(adapter, sample("office_visit")))
    await asyncio.sleep(0.3)
    assert told(await outcomes(adapter)) == {("000000101", RECEIVED), ("GSAMPLE000101", RECEIVED)}


async def test_what_is_no_x12_or_cut_off_stays_where_it_is(tmp_path: pathlib.Path, opened: Opened) -> None:
    folders = {"outgoing": str(tmp_path), "incoming": str(tmp_path)}
    adapter = opened("folder", folder=folders)
    payload = batch(adapter, sample("office_visit"))
    (tmp_path / "cut.277").write_bytes(payload.body[:-5])
    (tmp_path / "report.txt").write_text("Good morning")
    (tmp_path / "new.837.part").write_bytes(payload.body)
    assert await collected(adapter) == []
    (tmp_path / "cut.277").write_bytes(payload.body)
    [message] = await collected(adapter)
    await adapter.discard(message)
    await adapter.discard(message)
    assert names(tmp_path) == ["new.837.part", "report.txt"]


async def test_a_folder_that_is_not_there(tmp_path: pathlib.Path, opened: Opened) -> None:
    nowhere = str(tmp_path / "nowhere")
    adapter = opened("folder", folder={"outgoing": nowhere, "incoming": nowhere})
    with pytest.raises(VendorUnavailable):
        await adapter.submit(batch(adapter, sample("office_visit")))
    [line] = await adapter.probe()
    assert not line.ok
    assert line.remedy


def test_how_each_delivery_sends_and_repeats(opened: Opened) -> None:
    facts = {name: (opened(name).batch is None, opened(name).repeatable_seconds) for name in
             ("sftp", "folder", "claim_md", "stedi", "optum")}  # fmt: skip
    assert facts == {
        "sftp": (False, float("inf")),
        "folder": (False, float("inf")),
        "claim_md": (False, 0.0),
        "stedi": (True, 23.5 * 3600),
        "optum": (True, 0.0),
    }
    rule = opened("sftp", batch_most=7, batch_seconds=3).batch
    assert rule is not None
    assert (rule.most, rule.wait_seconds) == (7, 3)


@pytest.mark.parametrize("delivery", ["sftp", "folder", "stedi", "optum"])
async def test_what_cannot_be_looked_for(delivery: str, opened: Opened) -> None:
    adapter = opened(delivery)
    with pytest.raises(UnsupportedOperation):
        await adapter.find_submission("GW1", VendorPayload("GW1", "", b""))


async def test_claims_that_travel_alone_are_not_enclosed(opened: Opened) -> None:
    adapter = opened("stedi")
    with pytest.raises(UnsupportedOperation):
        adapter.enclose([adapter.build(sample("office_visit"), "GW1")], 1, MADE_AT)


# --- Claim.MD -----------------------------------------------------------------------------------------------------


async def test_claim_md_from_upload_to_cursor(opened: Opened, sandbox: Any, context: AdapterContext) -> None:
    adapter = opened("claim_md")
    payload = batch(adapter, sample("office_visit"), sample("two_payers"))
    receipt = await adapter.submit(payload)
    assert receipt.state is RECEIVED
    assert receipt.vendor_ids["FileID"] == "70001"
    found = await adapter.find_submission(payload.submission_id, payload)
    assert found == receipt
    assert told(await outcomes(adapter, discard=False)) == {("GSAMPLE000101", RECEIVED), ("GSAMPLE000201", RECEIVED)}
    [page] = await collected(adapter)
    await adapter.discard(page)
    assert await collected(adapter) == []
    control(sandbox, "advance", {"payer": "reject", "account": "GSAMPLE000201"})
    [refused] = await outcomes(adapter)
    assert (refused.submission_id, refused.evidence.state) == ("GW1", REJECTED)
    await adapter.discard(page)  # an older page never moves the cursor back
    assert await collected(adapter) == []
    assert ("claim_md", 100, 60.0) in context.pacer.spent  # type: ignore[attr-defined]


class Answers:
    """A vendor that gives fixed answers, one a call."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    async def call(self, operation: str, method: str, url: str, **arguments: Any) -> dict[str, Any]:
        self.calls.append({"operation": operation, "url": url, **arguments})
        return self.answers.pop(0)

    async def aclose(self) -> None:
        """Nothing to close."""


def answering(adapter: X12Claims, *answers: dict[str, Any]) -> Answers:
    fixed = Answers(*answers)
    adapter._delivery._api = fixed  # type: ignore[attr-defined]
    return fixed


async def test_claim_md_that_counts_otherwise_is_for_a_person(opened: Opened) -> None:
    adapter = opened("claim_md")
    payload = batch(adapter, sample("office_visit"), sample("two_payers"))
    name = payload.fields["file"]
    listed = {"file": [{"fileid": "1", "filename": name, "claims": "1"}]}
    answering(adapter, {"claim": [{"fileid": "1"}]}, listed)
    with pytest.raises(OutcomeUnknown):
        await adapter.submit(payload)
    with pytest.raises(UnexpectedResponse):
        await adapter.find_submission("1", payload)


async def test_claim_md_is_searched_page_by_page(opened: Opened) -> None:
    adapter = opened("claim_md")
    payload = batch(adapter, sample("office_visit"))
    pages = [{"file": [{"fileid": str(n), "filename": f"other{n}"}]} for n in (1, 2)]
    fixed = answering(adapter, *pages, {"result": {"file": {"fileid": "3", "filename": payload.fields["file"]}}})
    found = await adapter.find_submission("000000101", payload)
    assert found is not None
    assert found.vendor_ids["FileID"] == "3"
    assert [call["data"]["Page"] for call in fixed.calls] == ["1", "2", "3"]
    answering(adapter, *pages, pages[1])
    assert await adapter.find_submission("000000101", payload) is None


@pytest.mark.parametrize(
    ("problem", "error"),
    [
        ({"error_code": "INVALID_ACCOUNTKEY", "error_mesg": "x"}, CredentialsRejected),
        ({"error_code": "", "error_mesg": "Too many requests"}, RateLimited),
        ({"error_code": "INVALID_FILE", "error_mesg": "NM1*QC*1*DOE: too many"}, ClaimRejected),
    ],
)
async def test_claim_md_s_errors_come_with_http_200(
    problem: dict[str, str], error: type[Exception], opened: Opened
) -> None:
    adapter = opened("claim_md")
    answering(adapter, {"error": problem})
    with pytest.raises(error) as refused:
        await adapter.submit(batch(adapter, sample("office_visit")))
    assert "DOE" not in str(refused.value)


# --- Stedi and Optum ----------------------------------------------------------------------------------------------


async def test_stedi_from_submission_to_cursor(opened: Opened, sandbox: Any) -> None:
    adapter = opened("stedi")
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    assert receipt.state is RECEIVED
    assert receipt.vendor_ids["CorrelationID"]
    assert told(await outcomes(adapter)) == {("GSAMPLE000101", RECEIVED)}
    assert await collected(adapter) == []
    control(sandbox, "advance", {"payer": "accept"})
    [accepted] = await outcomes(adapter)
    assert accepted.evidence.state is ACCEPTED
    assert accepted.vendor_ids[PAYER_CLAIM_CONTROL_NUMBER]
    assert await collected(adapter) == []


async def test_another_claim_under_the_same_submission_id_is_held(opened: Opened, sandbox: Any) -> None:
    adapter = opened("stedi")
    await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    with pytest.raises(UnexpectedResponse):
        await adapter.submit(adapter.build(sample("two_payers"), "GW1"))
    assert len(ledger(sandbox)["claims"]) == 1


async def test_optum_from_token_to_reports(opened: Opened, sandbox: Any) -> None:
    adapter = opened("optum")
    await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    control(sandbox, "advance", {"hours": 2})  # the token is over: renewed without a word
    await adapter.submit(adapter.build(sample("two_payers"), "GW2"))
    assert {c["submission_id"] for c in ledger(sandbox)["claims"]} == {"GW1", "GW2"}
    assert ledger(sandbox)["calls"]["token"] == 2
    assert told(await outcomes(adapter)) == {("GSAMPLE000101", RECEIVED), ("GSAMPLE000201", RECEIVED)}
    assert await collected(adapter) == []


async def test_an_edit_refuses_a_claim_with_its_place(opened: Opened) -> None:
    for delivery in ("stedi", "optum"):
        adapter = opened(delivery)
        payload = adapter.build(sample("office_visit"), "GW1")
        wrong = replace(payload, body=payload.body.replace(b'"60054"', b'"NOBODY"'))
        with pytest.raises(ClaimRejected) as refused:
            await adapter.submit(wrong)
        assert [f.expression for f in refused.value.findings] == ["Claim.insurance.coverage.payor"]
        assert "Quillfeather" not in str(refused.value).title()


def _response(status: int, body: dict[str, Any] | None = None, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=jsonio.dumps(body or {}), headers=headers)


@pytest.mark.parametrize(
    ("response", "creates", "error"),
    [
        (_response(400), True, ClaimRejected),
        (_response(400), False, UnexpectedResponse),
        (_response(401), True, CredentialsRejected),
        (_response(403), True, PermissionMissing),
        (_response(404), True, PermissionMissing),
        (_response(404), False, UnexpectedResponse),
        (_response(409, {"code": "RequestInProgressException"}), True, RateLimited),
        (_response(422, {"code": "RequestChangedException"}), True, UnexpectedResponse),
        (_response(429), True, RateLimited),
        (_response(418), True, OutcomeUnknown),
        (_response(503), True, OutcomeUnknown),
        (_response(503), False, VendorUnavailable),
    ],
)
def test_what_each_answer_means(response: httpx.Response, creates: bool, error: type[Exception]) -> None:
    found = refusal("submission", response, jsonio.loads(response.content), creates=creates)
    assert type(found) is error


def test_an_answer_that_is_still_being_worked_on_says_when_to_come_back() -> None:
    waiting = refusal("submission", _response(409, **{"retry-after": "7"}), {}, creates=True)
    assert waiting.retry_after == 7


def test_a_refusal_in_the_enclosed_277ca_counts(context: AdapterContext) -> None:
    payload = VendorPayload("GW1", "application/json", b"{}")
    taken = {"status": "SUCCESS", "controlNumber": "1", "claimReference": {"correlationId": "C1"}}
    hinted = {**taken, "editResponses": [{"segment": "NM1"}], "x12": "no X12 at all"}
    assert receipt_of(hinted, payload, context).vendor_ids == {"CorrelationID": "C1", "ControlNumber": "1"}
    isa = "ISA*00*          *00*          *ZZ*STEDI          *ZZ*GWSUBMIT       *260305*0801*^*00501*000000900*0*T*>~"
    refused = (
        f"{isa}GS*HN*STEDI*GWSUBMIT*20260305*0801*900*X*005010X214~ST*277*0001*005010X214~BHT*0085*08*1*20260305*0801*TH~"
        "HL*1**20*1~NM1*AY*2*STEDI~HL*2*1*PT*0~TRN*2*GW7F3A91~STC*A7>164>IL*20260305*U*265~SE*7*0001~"
        "GE*1*900~IEA*1*000000900~"
    )
    with pytest.raises(ClaimRejected) as refusal_:
        receipt_of({**taken, "x12": refused}, payload, context)
    assert refusal_.value.findings[0].edit == "277-A7-164"
    with pytest.raises(OutcomeUnknown):
        receipt_of({"status": "SUCCESS"}, payload, context)


# --- the fact sheet -----------------------------------------------------------------------------------------------


def test_no_secret_survives_scrubbing_whatever_the_delivery(opened: Opened, sandbox: Any) -> None:
    for delivery, name in (("sftp", "password"), ("stedi", "api_key"), ("optum", "client_secret"),
                           ("claim_md", "account_key")):  # fmt: skip
        adapter = opened(delivery)
        secret = sandbox.settings(delivery)[delivery][name]
        assert secret not in adapter.scrub(f"it was {secret}.")
        assert secret not in repr(X12Settings.model_validate(sandbox.settings(delivery)))


def test_the_fact_sheet_names_the_simulator_that_it_does_not_import() -> None:
    assert ADAPTER.simulator == "adapters.billing.x12_837p.simulator"
    assert sum(len(rows) for rows in ADAPTER.rows.values()) > 100
