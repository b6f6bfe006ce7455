"""Login, lock, tokens, and the counter of calls beyond the free ones."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from adapters.billing.advancedmd.simulator import build, connection
from adapters.billing.advancedmd.simulator.gate import DEFAULT_CREDENTIALS, Gate, tier_of
from gateway.kit.contract_support import simulator_running
from gateway.kit.simulator import SimulatorOptions

from .conftest import GOOD, LOGIN, SERVER, TIME, Client


def test_the_login_host_redirects_and_that_looks_like_a_fault(client: Client) -> None:
    reply = client.login(LOGIN)
    assert reply["Results"]["@success"] == "0"
    assert reply["Error"]["Fault"]["detail"]["code"] == "-2147220476"
    assert reply["Results"]["usercontext"]["@webserver"].endswith("/processrequest/api-801/FHIRGW")


def test_the_server_gives_a_token(client: Client) -> None:
    client.sign_in()
    assert client.token.startswith("990001")


@pytest.mark.parametrize("name", list(GOOD))
def test_wrong_credentials(client: Client, name: str) -> None:
    assert client.login(**{name: "wrong"})["Error"]["Fault"]["detail"]["code"] == "1024"
    assert client.login(**{name: ""})["Error"]["Fault"]["detail"]["code"] == "2048"


def test_three_bad_logins_lock_the_account(client: Client) -> None:
    codes = [client.login(**{"@psw": "wrong"})["Error"]["Fault"]["detail"]["code"] for _ in range(4)]
    assert codes == ["1024", "1024", "1024", "-2147220474"]
    assert client.login()["Error"]["Fault"]["detail"]["code"] == "-2147220474"
    client.advance(unlock=True)
    client.sign_in()


def test_a_good_login_forgets_the_bad_ones(client: Client) -> None:
    for _ in range(3):
        client.login(**{"@psw": "wrong"})
        client.login(**{"@psw": "wrong"})
        client.sign_in()
    assert client.ledger()["locked"] is False


def test_tokens(office: Client) -> None:
    office.do("getschedulersetup", "masterfiles")
    as_attribute = {"@action": "getschedulersetup", "@class": "masterfiles", "@msgtime": TIME}
    response = office.raw({**as_attribute, "@usercontext": office.token})
    assert (response.status_code, response.text) == (400, "Improperly Formatted Token")
    office.http.cookies.set("token", office.token)
    assert office.reply({**as_attribute, "@nocookie": "0"})["Results"]["@success"] == "1"
    office.http.cookies.clear()
    office.advance(expire=True)
    assert office.refused("getschedulersetup", "masterfiles") == "1025"


def test_an_action_belongs_to_its_class(office: Client) -> None:
    assert office.refused("getschedulersetup", "api") == "2051"
    assert office.refused("nosuchaction") == "2051"
    assert office.refused("getdemographic", "demographic", patientid="45") == "2051"


@pytest.mark.parametrize("content", [b"", b"{", b"<a/>", b'{"other": 1}', b"<ppmdmsg"])
@pytest.mark.parametrize("content_type", ["application/json", "text/xml"])
def test_what_cannot_be_parsed(client: Client, content: bytes, content_type: str) -> None:
    response = client.http.post(SERVER, content=content, headers={"content-type": content_type})
    assert response.status_code == 200
    assert "2052" in response.text


def gate(pace: float, at: datetime | None = None) -> Gate:
    return Gate({}, pace, at)


def test_a_second_login_within_the_minute() -> None:
    assert [gate(0).login_too_soon() for _ in range(2)] == [False, False]
    paced = gate(1.0)
    assert [paced.login_too_soon() for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("moment", "action", "free"),
    [
        (datetime(2026, 3, 5, 19, 0, tzinfo=UTC), "gettxhistory", 12),
        (datetime(2026, 3, 5, 19, 0, tzinfo=UTC), "addvisit", 24),
        (datetime(2026, 3, 5, 19, 0, tzinfo=UTC), "getupdatedvisits", 1),
        (datetime(2026, 3, 8, 19, 0, tzinfo=UTC), "gettxhistory", 120),
    ],
)
def test_calls_beyond_the_free_ones_are_counted(moment: datetime, action: str, free: int) -> None:
    paced = gate(1.0, moment)
    for _ in range(free + 3):
        paced.count(action)
    assert paced.excess == {tier_of(action): 3}


def test_the_app_answers_429_for_a_login_too_soon() -> None:
    with simulator_running(build, credentials={}, pace=1.0) as url, httpx.Client(base_url=url) as http:
        message: dict[str, Any] = {"ppmdmsg": {"@action": "login", "@class": "login", "@msgtime": TIME, **GOOD}}
        assert [http.post(LOGIN, json=message).status_code for _ in range(2)] == [200, 429]


def test_how_a_clinic_connects() -> None:
    told = connection(SimulatorOptions("http://127.0.0.1:8000", pace=0.02))
    assert told.settings["throttle_scale"] == 0.02
    assert told.secrets["ADVANCEDMD_PASSWORD"] == DEFAULT_CREDENTIALS["password"]
    assert all(told.settings[name] == f"env:ADVANCEDMD_{name.upper()}" for name in ("username", "password"))
