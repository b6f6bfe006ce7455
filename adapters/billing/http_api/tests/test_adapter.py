"""The adapter against the simulator: tokens, searching, outcomes, and what a description leaves out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from adapters.billing.http_api.adapter import HttpApi
from adapters.billing.http_api.settings import HttpApiSettings
from adapters.billing.http_api.simulator import build, connection
from gateway.canonical.errors import (
    ClaimRejected,
    DuplicateClaim,
    ErrorCode,
    UnexpectedResponse,
    UnsupportedOperation,
    VendorUnavailable,
)
from gateway.canonical.models import SubmissionState
from gateway.kit.contract_support import NoPacer, contract_context, simulator_running
from gateway.kit.samples import directory, sample, void_of
from gateway.kit.simulator import SimulatorOptions
from gateway.ports.context import AdapterContext

Connect = Callable[..., HttpApi]


@pytest.fixture
def context() -> AdapterContext:
    return contract_context()


@pytest.fixture
async def connect(
    plain_settings: Callable[[str], dict[str, Any]], simulator_url: str, context: AdapterContext
) -> AsyncIterator[Connect]:
    """Adapters whose description has been changed by keyword."""
    opened: list[HttpApi] = []

    def connected(url: str = "", settings: dict[str, Any] | None = None, **description: Any) -> HttpApi:
        raw = {**plain_settings(url or simulator_url), **(settings or {})}
        raw["description"] = {k: v for k, v in {**raw["description"], **description}.items() if v is not None}
        opened.append(HttpApi(HttpApiSettings.model_validate(raw), context))
        return opened[-1]

    yield connected
    for adapter in opened:
        await adapter.aclose()


def ledger(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/_sim/ledger").json()
    return found


def advance(url: str, **body: Any) -> None:
    httpx.post(f"{url}/_sim/advance", json=body).raise_for_status()


def forget_tokens(url: str) -> None:
    httpx.post(f"{url}/_sim/forget_tokens").raise_for_status()


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_all_workers_share_one_sealed_token(
    connect: Connect, simulator_url: str, context: AdapterContext
) -> None:
    claim = sample("office_visit")
    for number in range(2):
        adapter = connect()
        await adapter.submit(adapter.build(claim, f"GW{number}"))
    assert ledger(simulator_url)["calls"]["Token"] == 1
    kept = context.shared.kept["oauth2-token"]  # type: ignore[attr-defined]
    assert b"acme-token" not in kept


async def test_a_token_that_is_no_longer_taken_is_replaced_once(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    forget_tokens(simulator_url)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW2"))
    assert receipt.calls == 2
    calls = ledger(simulator_url)["calls"]
    assert (calls["Token"], calls["CreateClaim"]) == (2, 3)


async def test_a_token_whose_life_is_over_is_not_used(
    connect: Connect, simulator_url: str, context: AdapterContext
) -> None:
    adapter = connect()
    await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    later = replace(context, now=lambda: context.now().replace(year=2027))
    adapter._service._tokens._context = later
    await adapter.submit(adapter.build(sample("office_visit"), "GW2"))
    assert ledger(simulator_url)["calls"]["Token"] == 2


async def test_the_client_may_stand_in_the_body_of_the_token_request(connect: Connect, simulator_url: str) -> None:
    auth = {"kind": "oauth2", "token_path": "/oauth/token", "scope": "claims.write", "client_auth": "body"}
    adapter = connect(auth=auth)
    assert (await adapter.submit(adapter.build(sample("office_visit"), "GW1"))).vendor_ids


async def test_a_missing_scope_is_a_missing_permission(connect: Connect) -> None:
    adapter = connect(auth={"kind": "oauth2", "token_path": "/oauth/token", "scope": "claims.read"})
    (line,) = await adapter.probe()
    assert not line.ok
    assert "auth.scope" in line.remedy


async def test_a_wrong_token_path_is_told(connect: Connect) -> None:
    adapter = connect(auth={"kind": "oauth2", "token_path": "/oauth/tokens"})
    with pytest.raises(UnexpectedResponse):
        await adapter.submit(adapter.build(sample("office_visit"), "GW1"))


# --- submitting and searching ---------------------------------------------------------------------------------------


async def test_a_refusal_is_told_by_element_and_saves_nothing(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW1")
    broken = replace(payload, body=payload.body.replace(b'"17000"', b'"1700"'))
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(broken)
    assert refusal.value.code is ErrorCode.INVALID_PROCEDURE
    assert refusal.value.findings[0].expression.startswith("Claim.item[1].productOrService")
    assert ledger(simulator_url)["claims"] == []


async def test_corrections_name_the_saved_claim(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    await adapter.submit(adapter.build(sample("replacement"), "GW2", receipt))
    await adapter.submit(adapter.build(void_of(sample("replacement")), "GW3", receipt))
    claims = ledger(simulator_url)["claims"]
    assert [claim["kind"] for claim in claims] == ["original", "replacement", "void"]
    assert claims[1]["replaces"] == receipt.vendor_ids["claim_id"]


async def test_of_several_claims_the_first_counts_and_the_others_are_named(connect: Connect) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW1")
    receipts = [await adapter.submit(payload) for _ in range(3)]
    found = await adapter.find_submission("GW1", payload)
    assert found is not None
    first, *others = (receipt.vendor_ids["claim_id"] for receipt in receipts)
    assert found.vendor_ids == {"claim_id": first, "duplicates": ",".join(others)}


async def test_a_rejected_claim_that_is_found_is_received(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    payload = adapter.build(sample("office_visit"), "GW1")
    await adapter.submit(payload)
    advance(simulator_url, to="rejected")
    found = await adapter.find_submission("GW1", payload)
    assert found is not None
    assert found.state is SubmissionState.RECEIVED


async def test_a_vendor_that_refuses_a_second_reference(connect: Connect) -> None:
    credentials = {"client_id": "acme client", "client_secret": "s3cret+/= demo", "unique_reference": "true"}
    with simulator_running(build, credentials=credentials, data=directory()) as url:
        adapter = connect(url)
        payload = adapter.build(sample("office_visit"), "GW1")
        receipt = await adapter.submit(payload)
        with pytest.raises(DuplicateClaim) as refusal:
            await adapter.submit(payload)
        assert refusal.value.vendor_code == "DUPLICATE_REFERENCE"
        found = await adapter.find_submission("GW1", payload)
        assert found is not None
        assert found.vendor_ids == receipt.vendor_ids


async def test_a_wrong_search_is_found_by_check_before_any_claim(connect: Connect) -> None:
    for change in ({"claims": "$.claim"}, {"request": "GET /v1/claim?reference={submission_id}"}):
        find = {"request": "GET /v1/claims?reference={submission_id}", "claims": "$.claims", "match": "$.reference"}
        lines = await connect(find={**find, **change}).probe()
        assert [line.ok for line in lines] == [False]


# --- outcomes -------------------------------------------------------------------------------------------------------


async def test_outcomes_follow_the_vendor_s_words(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    states = []
    for _ in range(4):
        outcome = await adapter.fetch_outcome(receipt)
        states.append((outcome.evidence.state, outcome.evidence.reference))
        advance(simulator_url)
    number = receipt.vendor_ids["claim_id"]
    assert states == [
        (SubmissionState.RECEIVED, f"claim_id {number}, state received"),
        (SubmissionState.ACCEPTED, f"claim_id {number}, state posted"),
        (SubmissionState.ACCEPTED, f"claim_id {number}, state sent_to_payer"),
        (SubmissionState.ACCEPTED, f"claim_id {number}, state paid"),
    ]
    advance(simulator_url, id=number, to="rejected", code="CPT_INVALID", field="lines[0].code")
    outcome = await adapter.fetch_outcome(receipt)
    assert outcome.evidence.state is SubmissionState.REJECTED
    assert outcome.findings[0].expression == "Claim.item[0].productOrService.coding.code"


async def test_a_claim_that_is_gone(connect: Connect, simulator_url: str) -> None:
    adapter = connect()
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    with pytest.raises(ClaimRejected) as failure:
        await adapter.fetch_outcome(replace(receipt, vendor_ids={}))
    assert failure.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(ClaimRejected):
        await adapter.fetch_outcome(replace(receipt, vendor_ids={"claim_id": "ACM-999999"}))


# --- what a description leaves out ----------------------------------------------------------------------------------


async def test_verbs_that_the_description_does_not_describe(connect: Connect) -> None:
    adapter = connect(find=None, outcome=None)
    payload = adapter.build(sample("office_visit"), "GW1")
    receipt = await adapter.submit(payload)
    with pytest.raises(UnsupportedOperation, match="find"):
        await adapter.find_submission("GW1", payload)
    with pytest.raises(UnsupportedOperation, match="outcome"):
        await adapter.fetch_outcome(receipt)
    lines = await adapter.probe()
    assert [line.ok for line in lines] == [False, True]
    assert "probe" in lines[0].remedy


async def test_a_probe_of_its_own(connect: Connect) -> None:
    lines = await connect(probe={"request": "GET /v1/claims?reference=none"}).probe()
    assert [line.ok for line in lines] == [True, True, True]
    lines = await connect(probe={"request": "GET /v1/ping"}).probe()
    assert [line.ok for line in lines] == [False]


async def test_a_vendor_that_drops_repeats(connect: Connect, simulator_url: str) -> None:
    adapter = connect(idempotency={"header": "Idempotency-Key", "hours": 24})
    assert adapter.repeatable_seconds == 86400
    payload = adapter.build(sample("office_visit"), "GW1")
    assert (await adapter.submit(payload)).vendor_ids == (await adapter.submit(payload)).vendor_ids
    assert len(ledger(simulator_url)["claims"]) == 1
    assert connect().repeatable_seconds == 0


async def test_the_pace_is_kept_over_all_workers(connect: Connect, context: AdapterContext) -> None:
    adapter = connect(settings={"gap_seconds": 0.25})
    payload = adapter.build(sample("office_visit"), "GW1")
    await adapter.submit(payload)
    await adapter.find_submission("GW1", payload)
    assert isinstance(context.pacer, NoPacer)
    assert context.pacer.asked == [("submit", 0.25), ("find", 0.25)]


async def test_a_base_url_may_have_a_path(connect: Connect, simulator_url: str) -> None:
    adapter = connect(f"{simulator_url}/v2/")
    with pytest.raises(UnexpectedResponse):
        await adapter.submit(adapter.build(sample("office_visit"), "GW1"))


async def test_nothing_listens(connect: Connect) -> None:
    adapter = connect("http://127.0.0.1:9")
    with pytest.raises(VendorUnavailable):
        await adapter.submit(adapter.build(sample("office_visit"), "GW1"))


def test_the_sandbox_connection_is_the_example() -> None:
    link = connection(SimulatorOptions(base_url="http://127.0.0.1:8123"))
    assert set(link.secrets) == {"ACME_CLIENT_ID", "ACME_CLIENT_SECRET"}
    plain = {**link.settings, "client_id": "a", "client_secret": "b"}
    assert HttpApiSettings.model_validate(plain).description.vendor == "Acme Billing"
