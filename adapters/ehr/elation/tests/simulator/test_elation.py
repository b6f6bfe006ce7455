"""The simulated Elation enforces what Elation enforces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapters.ehr.elation.simulator import build
from gateway.kit.contract_support import Simulator, simulator_running

API = "/api/2.0"


@pytest.fixture
def token(simulator: Simulator, credentials: dict[str, str]) -> dict[str, str]:
    pair = (credentials["client_id"], credentials["client_secret"])
    answer = simulator.client.post(f"{API}/oauth2/token/", data={"grant_type": "client_credentials"}, auth=pair)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize("path", [f"{API}/bills/", f"{API}/patients/4400/", "/fhir/r4/metadata"])
def test_nothing_answers_without_a_token(simulator: Simulator, path: str) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}):
        answer = simulator.client.get(path, headers=headers)
        assert (answer.status_code, list(answer.json())) == (401, ["detail"])


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
        ({}, 400, "invalid_request"),
    ],
)
def test_a_token_request_is_checked(simulator: Simulator, form: dict[str, str], status: int, error: str) -> None:
    answer = simulator.client.post(f"{API}/oauth2/token/", data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_the_secret_may_stand_in_the_form(simulator: Simulator, credentials: dict[str, str]) -> None:
    form = {"grant_type": "client_credentials", **{k: credentials[k] for k in ("client_id", "client_secret")}}
    assert simulator.client.post(f"{API}/oauth2/token/", data=form).json()["token_type"] == "Bearer"


@pytest.mark.parametrize("visits", [120])
def test_a_page_holds_a_hundred_at_most(simulator: Simulator, token: dict[str, str]) -> None:
    first = simulator.client.get(f"{API}/bills/", params={"limit": 1000}, headers=token).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (120, 100, None)
    last = simulator.client.get(first["next"], headers=token).json()
    assert (len(last["results"]), last["next"]) == (20, None)


@pytest.mark.parametrize(
    ("params", "count"),
    [
        ({"from_service_date": "2026-03-04T00:00:00Z"}, 1),
        ({"from_service_date": "2026-03-05"}, 0),
        ({"to_service_date": "2026-03-03T00:00:00Z"}, 0),
        ({"visit_note_id": "71002,1"}, 1),
        ({"practice": "1"}, 0),
    ],
)
def test_the_list_is_filtered(simulator: Simulator, token: dict[str, str], params: dict[str, str], count: int) -> None:
    assert simulator.client.get(f"{API}/bills/", params=params, headers=token).json()["count"] == count


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"ref_number": "1"}, "billing_date"),
        ({"billing_date": "2026-03-05T12:00:00Z"}, "ref_number"),
        ({"ref_number": "x" * 51, "billing_date": "2026-03-05T12:00:00Z"}, "ref_number"),
        ({"billing_error": "x" * 201}, "billing_error"),
    ],
)
def test_a_mark_that_is_not_whole_is_refused(
    simulator: Simulator, token: dict[str, str], change: dict[str, Any], field: str
) -> None:
    answer = simulator.client.patch(f"{API}/bills/65098/", json=change, headers=token)
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert simulator.ledger()["written"] == []


def test_a_second_equal_subscription_is_refused(simulator: Simulator, token: dict[str, str]) -> None:
    wanted = {"resource": "bills", "target": "http://127.0.0.1:9/hook"}
    statuses = [
        simulator.client.post(f"{API}/subscriptions/", json=wanted, headers=token).status_code for _ in range(2)
    ]
    assert statuses == [201, 409]


def test_a_record_that_was_never_there_is_not_found(simulator: Simulator, token: dict[str, str]) -> None:
    assert simulator.client.get(f"{API}/physicians/1/", headers=token).status_code == 404
    assert simulator.client.post(f"{API}/physicians/86/", headers=token).status_code == 405


@pytest.fixture
def throttled(credentials: dict[str, str]) -> Iterator[httpx.Client]:
    knobs = {**credentials, "requests_per_minute": "2"}
    with simulator_running(build, credentials=knobs, data=[], pace=1.0) as url, httpx.Client(base_url=url) as client:
        yield client


def test_the_throttle_says_nothing_of_how_long(throttled: httpx.Client, credentials: dict[str, str]) -> None:
    pair = (credentials["client_id"], credentials["client_secret"])
    answer = throttled.post(f"{API}/oauth2/token/", data={"grant_type": "client_credentials"}, auth=pair)
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    answers = [throttled.get(f"{API}/bills/", headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" not in answers[-1].headers
