"""Tokens and limits as the vendor document tells of them (sections 2 and 3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.kit.smart import ASSERTION_TYPE
from gateway.kit.smart_key import SigningKey


def test_a_token_lives_an_hour_told_as_text(client: Any) -> None:
    answer = client.login()
    assert answer.json()["expires_in"] == "3600"
    assert client.get("departments").status_code == 200
    client.act("advance", seconds=3601)
    assert client.get("departments").status_code == 401


def test_the_secret_in_the_body_does_not_work(client: Any) -> None:
    form = {"client_id": client.credentials["client_id"], "client_secret": client.credentials["client_secret"]}
    asked = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*", **form}
    answer = client.http.post("/oauth2/v1/token", data=asked)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_signed_assertion_works_once(client: Any) -> None:
    key = SigningKey.load(client.credentials["private_jwk"], "ES384")
    audience = f"{str(client.http.base_url).rstrip('/')}/oauth2/v1/token"
    signed = key.assertion(client.credentials["client_id"], audience, datetime.now(UTC))
    form = {
        "grant_type": "client_credentials",
        "scope": "athena/service/Athenanet.MDP.*",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed,
    }
    assert client.http.post("/oauth2/v1/token", data=form).status_code == 200
    assert client.http.post("/oauth2/v1/token", data=form).status_code == 401
    assert client.http.post("/oauth2/v1/token", data={**form, "client_assertion": "x.y.z"}).status_code == 401


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "all"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
    ],
    ids=str,
)
def test_a_wrong_request_is_told_in_oauth_words(client: Any, form: dict[str, str], error: str) -> None:
    answer = client.login(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_call_without_a_token_is_refused_in_the_api_gateways_words(client: Any) -> None:
    answer = client.http.get("/v1/195900/departments")
    assert answer.status_code == 401
    assert "Developer Inactive" in answer.text


def test_scopes_and_practices_are_enforced(client: Any) -> None:
    assert client.call("GET", "/v1/1/departments").status_code == 403
    client.login(scope="system/Condition.read")
    assert client.get("departments").status_code == 403
    assert client.call("GET", "/fhir/r4/Subscription").status_code == 403


@pytest.mark.parametrize("path", ["/v1/195900/no/such/path", "/api", "/v1/195900/appointments"])
def test_an_unknown_path_answers_a_plain_string(client: Any, path: str) -> None:
    answer = client.call("GET", path)
    assert answer.status_code == 404
    assert answer.text == "Service not registered with API gateway."


class TestLimits:
    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"tokens_per_minute": "5", "calls_per_second": "3", "calls_per_day": "4", "spurious_403": "0"}

    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    def test_the_sixth_token_of_a_minute_is_refused_until_the_next(self, client: Any) -> None:
        client.app.access._asked = []
        answers = [client.login() for _ in range(6)]
        if datetime.now(UTC).second > 1:  # else the minute may have turned on the way
            assert [a.status_code for a in answers] == [200] * 5 + [429]
            assert answers[-1].headers["x-ratelimit-remaining"] == "0"
        client.act("advance", seconds=60)
        assert client.login().status_code == 200

    def test_calls_are_limited_per_second_and_day_and_say_what_is_left(self, client: Any) -> None:
        answers = [client.get("departments") for _ in range(3)]
        assert [a.headers["x-ratelimit-remaining"] for a in answers] == ["3", "2", "1"]
        assert all(a.headers["x-request-id"] for a in answers)
        too_fast = client.get("departments")
        assert (too_fast.status_code, too_fast.headers["retry-after"]) == (429, "1")
        for _ in range(2):
            client.act("advance", seconds=2)
            last = client.get("departments")
        assert (last.status_code, last.headers["x-ratelimit-remaining"]) == (429, "0")
        client.act("advance", seconds=86400)
        client.login()
        assert client.get("departments").status_code == 200


class TestSpurious:
    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"spurious_403": "3"}

    def test_now_and_then_a_call_is_refused_for_nothing(self, client: Any) -> None:
        assert [client.get("departments").status_code for _ in range(6)] == [200, 200, 403, 200, 200, 403]
