"""The changed-data feeds (section 11)."""

from __future__ import annotations

from typing import Any

import pytest

PATH = "appointments/changed"


def rows(client: Any, **params: Any) -> list[str]:
    return [row["encounterid"] for row in client.get(PATH, **params).json()["appointments"]]


def subscribe(client: Any, **form: str) -> Any:
    return client.call("POST", f"/v1/195900/{PATH}/subscription", data=form).json()


def test_a_row_is_read_once_per_key(client: Any) -> None:
    subscribe(client)
    client.act("sign", encounter_ids=["62014"])
    assert rows(client, leaveunprocessed="true") == ["62014"]
    assert rows(client) == ["62014"]
    assert rows(client) == []
    client.app.access.secrets = {**client.app.access.secrets, "other": "s"}
    client.credentials = {**client.credentials, "client_id": "other", "client_secret": "s"}
    client.login()
    assert rows(client) == ["62014"]


def test_what_was_read_can_be_read_again_by_its_window(client: Any) -> None:
    subscribe(client)
    client.act("sign", encounter_ids=["62014"])
    rows(client)
    window = {"showprocessedstartdatetime": "01/01/2026 00:00:00", "showprocessedenddatetime": "12/31/2099 00:00:00"}
    assert rows(client, **window) == rows(client, **window) == ["62014"]
    past = {**window, "showprocessedenddatetime": "01/02/2026 00:00:00"}
    assert rows(client, **past) == []
    half = {"showprocessedstartdatetime": "01/01/2026 00:00:00"}
    assert client.get(PATH, **half).json()["missingfields"] == ["showprocessedenddatetime"]


def test_a_window_of_many_rows_has_pages(client: Any) -> None:
    subscribe(client)
    client.act("sign", all=True)
    rows(client)
    window = {"showprocessedstartdatetime": "01/01/2026 00:00:00", "showprocessedenddatetime": "12/31/2099 00:00:00"}
    first = client.get(PATH, limit=2, **window).json()
    assert len(first["appointments"]) == 2
    assert len(client.call("GET", first["next"]).json()["appointments"]) == 1


def test_closing_an_encounter_is_no_event_of_the_feed(client: Any) -> None:
    subscribe(client)
    client.act("check_out", encounter_id="62014")
    assert rows(client) == ["62014"]
    client.act("sign", encounter_ids=["62014"])
    assert rows(client) == []


def test_the_subscription_tells_its_state(client: Any) -> None:
    path = f"{PATH}/subscription"
    assert client.get(path).json() == {"status": "INACTIVE", "subscriptions": []}
    assert subscribe(client, eventname="CheckOut") == {"success": True}
    assert client.get(path).json()["status"] == "PARTIAL"
    subscribe(client)
    assert client.get(path).json()["status"] == "ACTIVE"
    assert client.call("DELETE", f"/v1/195900/{path}").json() == {"success": "true"}
    assert client.get(path).json()["status"] == "INACTIVE"
    assert {"eventname": "CheckOut"} in client.get(f"{path}/events").json()
    assert client.call("POST", f"/v1/195900/{path}", data={"eventname": "Nothing"}).status_code == 400


def test_only_subscribed_events_make_rows(client: Any) -> None:
    subscribe(client, eventname="CancelAppointment")
    client.act("sign", encounter_ids=["62014"])
    assert rows(client) == []
    client.act("withdraw", encounter_id="62014")
    assert rows(client) == ["62014"]


def test_claims_have_a_feed_too(client: Any) -> None:
    client.call("POST", "/v1/195900/claims/changed/subscription")
    client.act("enter_charges", encounter_id="62014")
    assert client.get("claims/changed").json()["claims"][0]["appointmentid"] == 1050322


class TestActivation:
    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    def test_it_takes_effect_after_five_minutes(self, client: Any) -> None:
        subscribe(client)
        client.act("sign", encounter_ids=["62014"])
        client.act("advance", seconds=301)
        assert rows(client) == []
        client.act("sign", encounter_ids=["62001"])
        assert rows(client) == ["62001"]
