"""Login: two posts, one shared session, no second bad login, and a password that goes to AdvancedMD only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.billing.advancedmd import session
from adapters.billing.advancedmd.session import message_address
from adapters.billing.advancedmd.settings import AdvancedMdSettings
from adapters.billing.advancedmd.simulator import build
from gateway.canonical.errors import CredentialsRejected, ErrorCode, RateLimited, VendorUnavailable
from gateway.kit.contract_support import NoPacer, Simulator, simulator_running
from gateway.kit.samples import directory, sample
from gateway.kit.simulator import FaultKind
from gateway.ports.context import AdapterContext

from .conftest import CREDENTIALS, Connect


def _control(simulator: Simulator, **body: Any) -> None:
    simulator.client.post("/_sim/advance", json=body).raise_for_status()


async def test_workers_share_one_login(connect: Connect, simulator: Simulator, context: AdapterContext) -> None:
    workers = [connect(), connect(), connect()]
    names = ("office_visit", "two_payers", "child_of_subscriber")
    await asyncio.gather(*(w.submit(w.build(sample(n), f"GW-{n}")) for w, n in zip(workers, names, strict=True)))
    later = connect()
    await later.submit(later.build(sample("twelve_diagnoses"), "GW-4"))
    assert simulator.ledger()["calls"]["login"] == 2


async def test_the_shared_session_is_sealed(connect: Connect, context: AdapterContext) -> None:
    adapter = connect()
    assert all(line.ok for line in await adapter.probe())
    (kept,) = [value for key, value in context.shared.kept.items() if key == "session"]  # type: ignore[attr-defined]
    assert b"990001" not in kept
    assert b"api-801" not in kept


async def test_an_ended_session_is_renewed_once_and_the_call_sent_again(connect: Connect, simulator: Simulator) -> None:
    adapter, other = connect(), connect()
    await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    await other.submit(other.build(sample("two_payers"), "GW-2"))
    _control(simulator, expire=True)
    await adapter.submit(adapter.build(sample("twelve_diagnoses"), "GW-3"))
    assert simulator.ledger()["calls"]["login"] == 4
    await other.submit(other.build(sample("child_of_subscriber"), "GW-4"))  # its token is stale, the shared one is not
    ledger = simulator.ledger()
    assert ledger["calls"]["login"] == 4
    assert len(ledger["claims"]) == 4


async def test_a_session_that_ends_in_the_middle_of_posting_posts_once(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    simulator.fail("updvisitwithquickcharges", FaultKind.UNAUTHORIZED)
    await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert len(simulator.ledger()["claims"]) == 1


async def test_a_session_that_always_ends_gives_up(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    await adapter.probe()
    simulator.fail("lookuppatient", FaultKind.UNAUTHORIZED, times=9)
    with pytest.raises(VendorUnavailable):
        await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert simulator.ledger()["calls"]["lookuppatient"] == 2


async def test_a_session_is_renewed_before_it_is_a_day_old(
    connect: Connect, simulator: Simulator, context: AdapterContext
) -> None:
    adapter = connect()
    await adapter.probe()
    later = replace(context, now=lambda: context.now() + timedelta(hours=21))
    await connect(with_context=later).probe()
    assert simulator.ledger()["calls"]["login"] == 4


async def test_many_workers_with_a_bad_password_log_in_once(connect: Connect, simulator: Simulator) -> None:
    workers = [connect(password="wrong") for _ in range(6)]
    for _ in range(2):
        ended = await asyncio.gather(
            *(w.submit(w.build(sample("office_visit"), "GW-1")) for w in workers), return_exceptions=True
        )
        assert all(isinstance(problem, CredentialsRejected) for problem in ended)
    ledger = simulator.ledger()
    assert (ledger["bad_logins"], ledger["locked"]) == (1, False)
    assert not any(line.ok for line in await workers[0].probe())
    good = connect()  # the corrected password cannot open the refusal of the wrong one
    await good.submit(good.build(sample("office_visit"), "GW-1"))


async def test_a_locked_account_stops_the_connection(connect: Connect, simulator: Simulator) -> None:
    for n in range(3):
        with pytest.raises(CredentialsRejected):
            adapter = connect(password=f"wrong-{n}")
            await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert simulator.ledger()["locked"]
    adapter = connect()
    with pytest.raises(CredentialsRejected) as refusal:
        await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert refusal.value.vendor_code == "-2147220474"


async def test_a_throttled_login_is_not_a_refused_one(connect: Connect, simulator: Simulator) -> None:
    adapter = connect()
    simulator.fail("login", FaultKind.RATE_LIMIT)
    with pytest.raises(RateLimited) as problem:
        await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert problem.value.retry_after
    await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))


async def test_the_gap_between_logins_is_a_budget_of_the_office(connect: Connect, context: AdapterContext) -> None:
    await connect(throttle_scale=1.0).probe()
    assert isinstance(context.pacer, NoPacer)
    budget, calls, seconds = context.pacer.spent[0]
    assert budget.endswith("/login")
    assert CREDENTIALS["office_key"] not in budget
    assert (calls, seconds) == (1, 66.0)


@pytest.mark.parametrize(
    "webserver",
    [
        "https://providerapi.advancedmd.com/processrequest/api-801/APP",
        "providerapi.ADVANCEDMD.com/processrequest/api-801/APP/",
    ],
)
def test_where_messages_go(webserver: str) -> None:
    found = message_address(webserver, ())
    assert found.startswith("https://providerapi.")
    assert found.endswith("/processrequest/api-801/APP/xmlrpc/processrequest.aspx")


@pytest.mark.parametrize(
    "webserver",
    [
        "http://providerapi.advancedmd.com/processrequest",
        "https://advancedmd.com.example.test/processrequest",
        "https://notadvancedmd.com/x",
        "https://user@providerapi.advancedmd.com/x",
        "https://127.0.0.1/x",
        "ftp://a.advancedmd.com/x",
        "",
    ],
)
def test_other_hosts_get_no_password(webserver: str) -> None:
    with pytest.raises(CredentialsRejected) as refusal:
        message_address(webserver, ())
    assert refusal.value.code is ErrorCode.UNEXPECTED_RESPONSE


@pytest.fixture
def elsewhere() -> Iterator[str]:
    webserver = {"webserver": "https://advancedmd.com.example.test/processrequest"}
    with simulator_running(build, credentials={**CREDENTIALS, **webserver}, data=directory()) as url:
        yield url


async def test_a_redirect_elsewhere_ends_before_the_second_post(
    elsewhere: str, connect: Connect, plain_settings: Callable[[str], dict[str, Any]]
) -> None:
    adapter = connect(login_url=plain_settings(elsewhere)["login_url"])
    with pytest.raises(CredentialsRejected, match="not sent there"):
        await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))
    assert _ledger(elsewhere)["calls"] == {"login": 1}


def _ledger(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/_sim/ledger").json()
    return found


@pytest.mark.parametrize("url", ["http://partnerlogin.advancedmd.com/x", "ftp://127.0.0.1/x", "partnerlogin"])
def test_the_first_post_goes_over_tls(url: str, plain_settings: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="https"):
        AdvancedMdSettings.model_validate({**plain_settings("http://127.0.0.1:1"), "login_url": url})


async def test_a_token_of_another_password_is_not_used(connect: Connect, simulator: Simulator) -> None:
    await connect().probe()
    adapter = connect(password="changed in the configuration")
    with pytest.raises(CredentialsRejected):
        await adapter.submit(adapter.build(sample("office_visit"), "GW-1"))


def test_a_session_is_used_for_less_than_a_day() -> None:
    assert timedelta(hours=12) < session.LIFETIME < timedelta(hours=24)
