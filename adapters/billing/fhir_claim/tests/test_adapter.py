"""The adapter over a running server: corrections, outcomes, tokens, and servers that are not as they should be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.billing.fhir_claim import ADAPTER
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from adapters.billing.fhir_claim.simulator import build
from adapters.billing.fhir_claim.tests.conftest import CREDENTIALS, PRIVATE_KEY, SMART, TOKEN, Plain
from gateway.canonical import jsonio
from gateway.canonical.errors import (
    AdapterError,
    ClaimRejected,
    CredentialsRejected,
    ErrorCode,
    OutcomeUnknown,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
)
from gateway.canonical.models import Evidence, SubmissionReceipt, SubmissionState
from gateway.kit.contract_frame import MADE_AT
from gateway.kit.contract_support import contract_context, simulator_running
from gateway.kit.samples import sample, void_of
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingAdapter
from gateway.ports.context import utc_now

Connect = Callable[..., BillingAdapter]


@pytest.fixture
async def connect(plain_settings: Plain) -> AsyncIterator[Connect]:
    """An adapter over a server, closed after the test."""
    async with AsyncExitStack() as stack:

        def connected(url: str, auth: str = "bearer", **further: Any) -> BillingAdapter:
            settings = ADAPTER.settings.model_validate(plain_settings(url, auth, **further))
            adapter = ADAPTER.open(settings, replace(contract_context(), now=utc_now))
            stack.push_async_callback(adapter.aclose)
            return adapter

        yield connected


def control(url: str, route: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{url}/_sim/{route}", json=body)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def ledger(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/_sim/ledger").json()
    return found


def fail(url: str, operation: str, kind: FaultKind, times: int = 1) -> None:
    control(url, "faults", rules=[{"operation": operation, "kind": kind.value, "times": times}])


@contextmanager
def answering(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Iterator[str]:
    """A server that gives one answer to everything."""

    async def answer(request: Request) -> Response:
        return Response(body, status, headers, "application/fhir+json")

    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    with simulator_running(lambda options: Starlette(routes=routes), credentials={}) as url:
        yield url


# --- what became of a claim -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["submit", "transaction"])
async def test_a_claim_on_its_way(mode: str, connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url, mode=mode)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    states = []
    for step in ("queued", "partial", "complete", "paid", "error"):
        control(simulator_url, "advance", to=step, errors=[{"code": "55", "itemSequence": 2}])
        outcome = await adapter.fetch_outcome(receipt)
        states.append(outcome.evidence.state)
        assert outcome.claim_response is not None
    assert states == [
        SubmissionState.RECEIVED,
        SubmissionState.RECEIVED,
        SubmissionState.ACCEPTED,
        SubmissionState.ADJUDICATED,
        SubmissionState.REJECTED,
    ]
    assert [(f.edit, f.expression) for f in outcome.findings] == [("fhir-55", "Claim.item[1]")]


async def test_the_payers_number_and_the_money_come_as_they_are(connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    control(simulator_url, "advance", to="denied")
    outcome = await adapter.fetch_outcome(receipt)
    assert outcome.evidence.state is SubmissionState.ADJUDICATED
    assert outcome.vendor_ids["PayerClaimControlNumber"] == f"PCN{receipt.vendor_ids['Claim']}"
    assert outcome.claim_response is not None
    assert str(outcome.claim_response["total"][1]["amount"]["value"]) == "0.00"


async def test_the_newest_answer_counts(connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    control(simulator_url, "advance", to="complete", again=True)
    outcome = await adapter.fetch_outcome(receipt)
    assert outcome.evidence.state is SubmissionState.ACCEPTED
    assert outcome.vendor_ids["ClaimResponse"] != receipt.vendor_ids["ClaimResponse"]


@pytest.mark.parametrize("known", [("Claim",), ("ClaimResponse",), ()])
async def test_an_outcome_is_found_by_whatever_id_is_known(
    known: tuple[str, ...], connect: Connect, simulator_url: str
) -> None:
    adapter = connect(simulator_url)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    less = replace(receipt, vendor_ids={name: receipt.vendor_ids[name] for name in known})
    assert (await adapter.fetch_outcome(less)).vendor_ids == receipt.vendor_ids


async def test_a_search_of_answers_that_is_not_offered_falls_back_to_the_known_one(
    connect: Connect, simulator_url: str
) -> None:
    response = {"resourceType": "ClaimResponse", "id": "7", "outcome": "complete", "request": {"reference": "Claim/4"}}
    with answering(200, jsonio.dumps(response)) as url:  # to the search too: a Bundle was asked for
        adapter = connect(url)
        receipt = SubmissionReceipt(
            "GW1", Evidence(SubmissionState.RECEIVED, "x", MADE_AT), {"Claim": "4", "ClaimResponse": "7"}
        )
        assert (await adapter.fetch_outcome(receipt)).evidence.state is SubmissionState.ACCEPTED
        with pytest.raises(UnexpectedResponse):
            await adapter.fetch_outcome(replace(receipt, vendor_ids={"Claim": "4"}))


async def test_a_server_that_never_answers_claims_still_has_them(connect: Connect) -> None:
    with answering(200, b'{"resourceType":"Bundle","type":"searchset","total":0}') as url:
        adapter = connect(url)
        receipt = SubmissionReceipt("GW1", Evidence(SubmissionState.RECEIVED, "x", MADE_AT), {"Claim": "4"})
        outcome = await adapter.fetch_outcome(receipt)
        assert outcome.evidence.state is SubmissionState.RECEIVED
        assert outcome.evidence.reference == "Claim/4 without an answer so far"
        with pytest.raises(UnexpectedResponse) as lost:
            await adapter.fetch_outcome(replace(receipt, vendor_ids={}))
        assert lost.value.code is ErrorCode.NOT_FOUND


# --- exactly once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["submit", "transaction"])
@pytest.mark.parametrize(("asked", "copies"), [(True, 1), (False, 2)])
async def test_a_second_create_of_one_submission(
    mode: str, asked: bool, copies: int, connect: Connect, simulator_url: str
) -> None:
    """The server drops a repeat only because it is asked to; without that, the copies are found and named."""
    adapter = connect(simulator_url, mode=mode, conditional_create=asked)
    payload = adapter.build(sample("office_visit"), "GW1")
    first, second = await adapter.submit(payload), await adapter.submit(payload)
    assert len(ledger(simulator_url)["claims"]) == copies
    assert (first.vendor_ids["Claim"] == second.vendor_ids["Claim"]) is asked
    found = await adapter.find_submission("GW1", payload)
    assert found is not None
    assert found.vendor_ids["Claim"] == first.vendor_ids["Claim"]
    assert found.vendor_ids.get("DuplicateClaims") == (None if asked else second.vendor_ids["Claim"])
    assert ("sent twice" in found.evidence.reference) is not asked


async def test_a_transaction_shares_patients_between_claims(connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url, mode="transaction")
    for number in range(3):
        await adapter.submit(adapter.build(sample("two_payers"), f"GW{number}"))
    resources = ledger(simulator_url)["resources"]
    assert (resources["Claim"], resources["Patient"], resources["Coverage"]) == (3, 1, 2)


async def test_a_server_that_ignores_the_search_proves_nothing(connect: Connect) -> None:
    """Resending is safe only after a search that was really made: otherwise a person has to look."""
    others = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Claim", "id": "1"}}]}
    with answering(200, jsonio.dumps(others)) as url:
        adapter = connect(url)
        with pytest.raises(UnexpectedResponse):
            await adapter.find_submission("GW1", adapter.build(sample("office_visit"), "GW1"))


async def test_503_after_the_post_is_in_doubt_and_at_a_read_only_later(connect: Connect) -> None:
    with answering(503, headers={"retry-after": "7"}) as url:
        adapter = connect(url)
        payload = adapter.build(sample("office_visit"), "GW1")
        with pytest.raises(OutcomeUnknown):
            await adapter.submit(payload)
        with pytest.raises(RateLimited) as later:
            await adapter.find_submission("GW1", payload)
        assert later.value.retry_after == 7


async def test_an_earlier_payload_goes_where_it_was_built_for(connect: Connect, simulator_url: str) -> None:
    """A setting that was changed between a lost answer and the next try must not change what is tried."""
    payload = connect(simulator_url, mode="transaction").build(sample("office_visit"), "GW1")
    await connect(simulator_url, mode="submit").submit(payload)
    assert ledger(simulator_url)["calls"]["transaction"] == 1


# --- corrections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["submit", "transaction"])
async def test_a_replacement_and_a_void_name_the_claim_on_file(mode: str, connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url, mode=mode)
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    again = await adapter.submit(adapter.build(sample("replacement"), "GW2", receipt))
    await adapter.submit(adapter.build(void_of(sample("replacement")), "GW3", again))
    assert [claim["submission_id"] for claim in ledger(simulator_url)["claims"]] == ["GW1", "GW2", "GW3"]


async def test_a_correction_of_a_claim_that_the_server_lacks_is_refused(connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url)
    unknown = SubmissionReceipt("GW0", Evidence(SubmissionState.RECEIVED, "x", MADE_AT), {"Claim": "9"})
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(adapter.build(sample("replacement"), "GW2", unknown))
    assert refusal.value.findings[0].expression == "Claim.related[0].claim"


# --- refusals of a running server -------------------------------------------------------------------------------


async def test_a_refused_claim_is_told_element_by_element(connect: Connect, simulator_url: str) -> None:
    claim = sample("office_visit")
    claim.claim["total"]["value"] = 1
    claim.claim["insurance"][0]["focal"] = False
    adapter = connect(simulator_url)
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(adapter.build(claim, "GW1"))
    assert [(f.edit, f.expression) for f in refusal.value.findings] == [
        ("fhir-business-rule", "Claim.insurance"),
        ("fhir-business-rule", "Claim.total"),
    ]
    assert ledger(simulator_url)["claims"] == []


async def test_a_payer_that_the_server_does_not_know(connect: Connect, simulator_url: str) -> None:
    claim = sample("office_visit")
    payer = claim.find(claim.claim["insurer"]["reference"])
    assert payer is not None
    payer["identifier"][0]["value"] = "99999"
    adapter = connect(simulator_url)
    with pytest.raises(ClaimRejected) as refusal:
        await adapter.submit(adapter.build(claim, "GW1"))
    assert (refusal.value.code, refusal.value.vendor_code) == (ErrorCode.PAYER_UNKNOWN, "T4")


@pytest.mark.parametrize("body", ["bundle", "parameters"])
async def test_both_bodies_are_taken(body: str, connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url, submit_body=body)
    assert (await adapter.submit(adapter.build(sample("injected_drug"), "GW1"))).vendor_ids["Claim"]


async def test_a_server_without_submit(connect: Connect) -> None:
    with simulator_running(build, credentials={**CREDENTIALS, "submit": "false"}) as url:
        adapter = connect(url)
        with pytest.raises(ClaimRejected) as refusal:
            await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
        assert refusal.value.code is ErrorCode.UNSUPPORTED
        assert "mode: transaction" in refusal.value.findings[0].fix
        assert [line.what for line in await adapter.probe() if not line.ok] == ["Claim/$submit"]
        other = connect(url, mode="transaction")
        assert (await other.submit(other.build(sample("office_visit"), "GW1"))).vendor_ids["Claim"]
        assert all(line.ok for line in await other.probe())


async def test_a_server_without_sign_in(plain_settings: Plain, connect: Connect) -> None:
    with simulator_running(build, credentials={"open": "true"}) as url:
        settings = FhirClaimSettings(base_url=f"{url}/fhir")
        adapter = ADAPTER.open(settings, contract_context())
        assert all(line.ok for line in await adapter.probe())
        assert (await adapter.submit(adapter.build(sample("office_visit"), "GW1"))).calls == 1
        await adapter.aclose()


# --- SMART Backend Services -------------------------------------------------------------------------------------


async def test_a_token_that_has_ended_is_renewed_and_the_claim_is_sent_once(
    connect: Connect, simulator_url: str
) -> None:
    adapter = connect(simulator_url, "smart")
    await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    control(simulator_url, "expire")
    receipt = await adapter.submit(adapter.build(sample("office_visit"), "GW2"))
    assert receipt.calls == 2
    assert [claim["submission_id"] for claim in ledger(simulator_url)["claims"]] == ["GW1", "GW2"]
    assert ledger(simulator_url)["calls"]["token"] == 2


async def test_a_lost_token_answer_has_surely_saved_nothing(connect: Connect, simulator_url: str) -> None:
    fail(simulator_url, "token", FaultKind.TIMEOUT)
    adapter = connect(simulator_url, "smart")
    with pytest.raises(AdapterError) as failure:
        await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
    assert not isinstance(failure.value, OutcomeUnknown)
    assert ledger(simulator_url)["claims"] == []


async def test_a_scope_that_was_not_granted(connect: Connect) -> None:
    with simulator_running(build, credentials={**CREDENTIALS, "scopes": "system/Claim.rs"}) as url:
        adapter = connect(url, "smart", scopes=["system/Claim.rs", "system/Claim.crs"])
        with pytest.raises(PermissionMissing):
            await adapter.submit(adapter.build(sample("office_visit"), "GW1"))
        scopes = next(line for line in await adapter.probe() if line.what == "scopes")
        assert not scopes.ok
        assert "system/Claim.crs" in scopes.detail
        none = connect(url, "smart", scopes=["system/Nothing.c"])
        with pytest.raises(PermissionMissing):
            await none.submit(none.build(sample("office_visit"), "GW1"))


async def test_a_configured_token_endpoint_needs_no_discovery(connect: Connect, simulator_url: str) -> None:
    adapter = connect(simulator_url, "smart", token_url=f"{simulator_url}/token")
    assert all(line.ok for line in await adapter.probe())
    assert "smart-configuration" not in ledger(simulator_url)["calls"]


# --- settings and probes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "http://payer.example.test/fhir"},
        {"base_url": "https://user:pw@payer.example.test/fhir"},
        {"token_url": "http://payer.example.test/token"},
        {"auth": "bearer"},
        {"auth": "basic", "user": "a"},
        {"auth": "smart", "client_id": "a"},
        {"auth": "digest"},
        {"mode": "batch"},
        {"timeout_seconds": 0},
    ],
)
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FhirClaimSettings.model_validate({"base_url": "https://payer.example.test/fhir", **wrong})


def test_no_secret_is_shown(connect: Connect, simulator_url: str) -> None:
    settings = FhirClaimSettings.model_validate({"base_url": "https://payer.example.test/fhir/", **SMART})
    assert PRIVATE_KEY not in repr(settings)
    assert settings.base_url == "https://payer.example.test/fhir"
    adapter = connect(simulator_url)
    assert TOKEN not in adapter.scrub(f"sent with {TOKEN}")


async def test_probe_of_a_server_of_another_version(connect: Connect) -> None:
    statement = {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2", "rest": [{"mode": "server"}]}
    with answering(200, jsonio.dumps(statement)) as url:
        lines = await connect(url).probe()
        assert [line.ok for line in lines] == [False, False, False, True]
        assert all(line.remedy for line in lines if not line.ok)


async def test_probe_names_the_call_that_failed(connect: Connect, simulator_url: str) -> None:
    fail(simulator_url, "search Claim", FaultKind.UNAUTHORIZED, 9)
    lines = await connect(simulator_url).probe()
    assert [(line.what, line.ok) for line in lines] == [("call search Claim", False)]
    with pytest.raises(CredentialsRejected):
        await connect(simulator_url, token="another").submit(
            connect(simulator_url).build(sample("office_visit"), "GW1")
        )
