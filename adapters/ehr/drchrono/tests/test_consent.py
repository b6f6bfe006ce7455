"""The consent and its tokens: given once, refreshed by one worker for all, never lost without a word."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from adapters.ehr.drchrono.tests.practice_data import REF, clinic_context, command, shared_by
from gateway.canonical.errors import CredentialsRejected, StoreError
from gateway.kit.contract_support import LocalValues, Simulator

HERE = "http://127.0.0.1:8765/callback"


def granted(simulator: Simulator) -> int:
    return int(simulator.ledger()["tokens_granted"])


def clicked(simulator: Simulator, url: str, button: str = "allow") -> dict[str, str]:
    """What the browser brings back after a person has pressed a button on the consent page."""
    assert "asks for access" in simulator.client.get(url).text
    answer = simulator.client.post(url, data={button: "1"})
    assert answer.status_code == 302
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


class TestConsent:
    async def test_the_page_is_asked_for_the_apps_scopes_with_a_new_state(self, ehr: Any) -> None:
        first, second = ehr.consent(HERE), ehr.consent(HERE)
        asked = dict(parse_qsl(urlsplit(first.authorize_url).query))
        assert asked["redirect_uri"] == HERE
        assert asked["scope"].split() == list(ehr.settings.scopes)
        assert asked["state"] == first.state != second.state
        assert len(first.state) >= 43

    async def test_a_code_becomes_tokens_that_all_workers_use(self, opened: Any, signed: Simulator) -> None:
        one, other = (opened(context, refresh_token="") for context in shared_by(2))
        back = clicked(signed, one.consent(HERE).authorize_url)
        probes = await one.accept_consent(back["code"], HERE)
        assert [probe.what for probe in probes if not probe.ok] == []
        assert next(p for p in probes if p.what == "user").detail == "acts as gateway-service (staff)"
        assert (await other.fetch_encounter(REF)).resources
        assert granted(signed) == 1

    @pytest.mark.parametrize("redirect_uri", ["http://127.0.0.1:9999/callback"])
    async def test_a_code_is_good_for_its_own_address_and_once(
        self, opened: Any, signed: Simulator, redirect_uri: str
    ) -> None:
        adapter = opened(clinic_context(), refresh_token="")
        code = clicked(signed, adapter.consent(HERE).authorize_url)["code"]
        with pytest.raises(CredentialsRejected):
            await adapter.accept_consent(code, redirect_uri)
        with pytest.raises(CredentialsRejected):
            await adapter.accept_consent(code, HERE)

    async def test_missing_permissions_are_told_at_once(self, opened: Any, signed: Simulator) -> None:
        command(signed, "permissions", remove=["billing"])
        adapter = opened(clinic_context(), refresh_token="")
        code = clicked(signed, adapter.consent(HERE).authorize_url)["code"]
        (missing,) = [probe for probe in await adapter.accept_consent(code, HERE) if not probe.ok]
        assert missing.what == "permission: line items"
        assert "billing tab" in missing.remedy

    async def test_without_a_consent_the_connection_asks_for_one(self, opened: Any, signed: Simulator) -> None:
        with pytest.raises(CredentialsRejected, match="gateway connect"):
            await opened(clinic_context(), refresh_token="").fetch_encounter(REF)

    async def test_no_token_is_shown(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        held = await ehr.tokens.read()
        shown = f"{ehr.settings!r}{ehr.tokens._client!r}{held!r}"
        for secret in (held.access_token, held.refresh_token, ehr.settings.client_secret.get_secret_value()):
            assert secret and secret not in shown
            assert secret.encode() not in b"".join(ehr.context.shared.kept.values())


class TestRefresh:
    async def test_a_consent_given_beforehand_is_used_once(self, opened: Any, signed: Simulator) -> None:
        one, other = (opened(context) for context in shared_by(2))
        await one.fetch_encounter(REF)
        await other.fetch_encounter(REF)
        assert granted(signed) == 1

    async def test_two_workers_refresh_once(self, opened: Any, signed: Simulator) -> None:
        workers = [opened(context) for context in shared_by(2)]
        await asyncio.gather(*(worker.fetch_encounter(REF) for worker in workers))
        assert granted(signed) == 1
        command(signed, "expire_tokens")
        await asyncio.gather(*(worker.fetch_encounter(REF) for worker in workers))
        assert granted(signed) == 2

    async def test_after_48_hours_the_pair_is_replaced(self, ehr: Any, signed: Simulator) -> None:
        await ehr.fetch_encounter(REF)
        before = await ehr.tokens.read()
        command(signed, "clock", seconds=172_801)
        await ehr.fetch_encounter(REF)
        after = await ehr.tokens.read()
        assert before.refresh_token != after.refresh_token
        assert before.access_token != after.access_token

    async def test_a_worker_that_dies_after_it_has_kept_the_pair_loses_nothing(
        self, opened: Any, signed: Simulator
    ) -> None:
        one, other = (opened(context) for context in shared_by(2))
        await one.tokens.token()
        await one.aclose()
        assert (await other.fetch_encounter(REF)).resources
        assert granted(signed) == 1

    async def test_a_pair_is_kept_before_it_is_used_and_a_lost_one_asks_for_consent(
        self, opened: Any, signed: Simulator
    ) -> None:
        class Failing(LocalValues):
            async def put(self, *arguments: Any) -> None:
                raise StoreError("Postgres is away")

        context = clinic_context()
        dying = opened(replace(context, shared=Failing()))
        with pytest.raises(StoreError):
            await dying.fetch_encounter(REF)
        assert signed.ledger()["calls"] == {"POST token": 1}  # the new pair was used for nothing
        with pytest.raises(CredentialsRejected, match="gateway connect"):
            await opened(context).fetch_encounter(REF)
        back = clicked(signed, dying.consent(HERE).authorize_url)
        again = opened(context, refresh_token="")
        await again.accept_consent(back["code"], HERE)
        assert (await again.fetch_encounter(REF)).resources
