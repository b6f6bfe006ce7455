"""Tokens: one for all workers, by secret or by key, at a token endpoint that allows five calls a minute."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ehr.athenahealth.tokens import SigningClient
from gateway.canonical.errors import CredentialsRejected, PermissionMissing, RateLimited
from gateway.kit.contract_support import Simulator
from gateway.kit.smart_key import SigningKey
from gateway.ports.context import utc_now


async def test_workers_share_one_token(connect: Any, simulator: Simulator) -> None:
    first, second = connect(), connect()
    assert await first.tokens.token() == await second.tokens.token()
    assert simulator.ledger()["calls"]["POST token"] == 1


async def test_a_lifetime_that_is_text_is_understood(connect: Any, simulator: Simulator, context: Any) -> None:
    ehr = connect()
    await ehr.tokens.token()
    held = await ehr.tokens.read()
    left = (held.renew_at - context.now()).total_seconds()
    assert 3530 < left <= 3540


async def test_the_shared_token_lies_sealed(connect: Any, simulator: Simulator, context: Any) -> None:
    token = await connect().tokens.token()
    assert not any(token.encode() in value for value in context.shared.kept.values())


async def test_a_private_key_signs_instead_of_a_secret(
    connect: Any, simulator: Simulator, credentials: dict[str, str]
) -> None:
    ehr = connect(client_secret="", private_key=credentials["private_jwk"], algorithm="ES384")
    assert await ehr.tokens.token()
    assert await connect(client_secret="", private_key=credentials["private_jwk"], algorithm="ES384").tokens.token()
    assert simulator.ledger()["calls"]["POST token"] == 1


async def test_a_wrong_secret_stops_the_connection(connect: Any, simulator: Simulator) -> None:
    with pytest.raises(CredentialsRejected):
        await connect(client_secret="wrong").tokens.token()


async def test_scopes_that_are_not_granted_stop_the_connection(connect: Any, simulator: Simulator) -> None:
    with pytest.raises(PermissionMissing):
        await connect(scopes=("system/Claim.read",)).tokens.token()


async def test_settings_that_have_changed_are_tried_with_a_token_of_their_own(
    connect: Any, simulator: Simulator
) -> None:
    """Else a check after a correction would speak of the token from before."""
    await connect().tokens.token()
    await connect(push=True).tokens.token()
    assert simulator.ledger()["calls"]["POST token"] == 2
    with pytest.raises(CredentialsRejected):
        await connect(client_id="another").tokens.token()


async def test_a_token_that_died_early_is_renewed_once(connect: Any, simulator: Simulator, act: Any) -> None:
    ehr = connect()
    await ehr.probe()
    act(simulator, "expire_tokens")
    assert all(probe.ok for probe in await ehr.probe())
    assert simulator.ledger()["calls"]["POST token"] == 2


class TestLimit:
    @pytest.fixture
    def knobs(self) -> dict[str, str]:
        return {"tokens_per_minute": "5"}

    @pytest.fixture
    def pace(self) -> float:
        return 1.0

    async def test_one_call_too_many_waits_for_the_next_minute(self, connect: Any, simulator: Simulator) -> None:
        tokens = connect().tokens
        with pytest.raises(RateLimited) as raised:
            for _ in range(11):  # the clock's minute may change on the way
                await tokens._ask(None)
        assert 0 < (raised.value.retry_after or 0) <= 60


def test_a_client_shows_no_secret(credentials: dict[str, str]) -> None:
    private = credentials["private_jwk"]
    key = SigningKey.load(private, "ES384")
    client = SigningClient("athenahealth", "https://x.test/token", "c", private, key=key, now=utc_now)
    assert private not in repr(client)
