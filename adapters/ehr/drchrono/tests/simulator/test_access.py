"""Consent, tokens, the two gates and the throttles of the simulated DrChrono (section 14 of the vendor document)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

HERE = "http://127.0.0.1:8765/callback"


def asked(practice: Any, **more: str) -> str:
    query = {"redirect_uri": HERE, "response_type": "code", "client_id": practice.credentials["client_id"], **more}
    return f"/o/authorize/?{urlencode(query)}"


def back(practice: Any, url: str, button: str) -> dict[str, str]:
    answer = practice.client.post(url, data={button: "1"})
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


class TestOAuth:
    def test_a_code_works_once_with_its_address_and_the_secret_in_the_body(self, practice: Any) -> None:
        code = back(practice, asked(practice, scope="user:read", state="s1"), "allow")
        assert code["state"] == "s1"
        wrong = practice.tokens(grant_type="authorization_code", code=code["code"], redirect_uri=f"{HERE}2")
        assert (wrong.status_code, wrong.json()) == (400, {"error": "invalid_grant"})
        code = back(practice, asked(practice, scope="user:read"), "allow")
        form = {"grant_type": "authorization_code", "code": code["code"], "redirect_uri": HERE}
        granted = practice.tokens(**form).json()
        assert (granted["expires_in"], granted["scope"], granted["token_type"]) == (172800, "user:read", "Bearer")
        assert practice.tokens(**form).status_code == 400

    def test_the_credentials_in_a_header_are_not_read(self, practice: Any) -> None:
        pair = (practice.credentials["client_id"], practice.credentials["client_secret"])
        form = {"grant_type": "refresh_token", "refresh_token": "x"}
        answer = practice.client.post("/o/token/", data=form, auth=pair)
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})

    def test_cancelling_gives_access_denied(self, practice: Any) -> None:
        assert back(practice, asked(practice, state="s2"), "deny") == {"error": "access_denied", "state": "s2"}

    def test_another_address_or_app_gets_no_page(self, practice: Any) -> None:
        for wrong in ({"redirect_uri": "https://evil.example/callback"}, {"client_id": "other"}):
            assert practice.client.get(asked(practice, **wrong)).status_code == 400

    def test_a_refresh_token_is_replaced(self, practice: Any) -> None:
        used = practice.tokens(grant_type="refresh_token", refresh_token=practice.credentials["refresh_token"])
        assert used.status_code == 400

    def test_an_access_token_lasts_48_hours(self, practice: Any) -> None:
        practice.command("clock", seconds=172_799)
        assert practice.api("GET", "doctors").status_code == 200
        practice.command("clock", seconds=2)
        refused = practice.api("GET", "doctors")
        assert refused.status_code == 401
        assert "detail" in refused.json()


class TestGates:
    def test_a_scope_that_was_not_granted(self, practice: Any) -> None:
        code = back(practice, asked(practice, scope="user:read"), "allow")["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": HERE}
        practice.token = practice.tokens(**form).json()["access_token"]
        assert practice.api("GET", "users/current").status_code == 200
        assert practice.api("GET", "line_items").status_code == 403

    @pytest.mark.parametrize(
        ("permission", "path"),
        [
            ("billing", "line_items"),
            ("show_billing_tab", "line_item_deletions"),
            ("clinical_notes", "clinical_notes"),
            ("scheduling", "appointments?since=2026-01-01"),
            ("manage_patients", "patients"),
        ],
    )
    def test_a_permission_that_the_user_lacks(self, practice: Any, permission: str, path: str) -> None:
        assert practice.api("GET", path).status_code == 200
        practice.command("permissions", remove=[permission])
        assert practice.api("GET", path).status_code == 403
        assert practice.get("users/current")["permissions"][permission] is False


class TestThrottles:
    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    def test_the_tenth_call_within_a_second_is_a_bare_429(self, practice: Any) -> None:
        practice.command("clock", stop=True)
        answers = [practice.api("GET", "doctors") for _ in range(10)]
        assert [a.status_code for a in answers] == [200] * 9 + [429]
        assert answers[-1].content == b""
        assert not {"retry-after", "x-ratelimit-remaining"} & set(answers[-1].headers)
        practice.command("clock", seconds=2)
        assert practice.api("GET", "doctors").status_code == 200

    def test_500_calls_an_hour_until_the_full_hour(self, practice: Any) -> None:
        now = practice.command("clock", stop=True)["now"]
        practice.command("clock", seconds=3601 - now % 3600)  # just after a full hour
        statuses = []
        for _ in range(501):
            practice.command("clock", seconds=1)
            statuses.append(practice.api("GET", "users/current").status_code)
        assert statuses == [200] * 500 + [429]
        practice.command("clock", seconds=3600)
        assert practice.api("GET", "users/current").status_code == 200
