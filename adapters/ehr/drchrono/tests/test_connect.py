"""`gateway connect` against the simulated consent page, with a real gateway over a real Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from adapters.ehr.drchrono.tests.practice_data import REF
from gateway.app import Gateway, open_gateway
from gateway.canonical.errors import ConfigurationError, CredentialsRejected
from gateway.cli import app
from gateway.consent import Callback, ConnectOptions, ConsentFailed, connect
from gateway.kit.contract_support import Simulator
from gateway.kit.simulator import free_ports
from gateway.settings import LoadedSettings, load_settings

ADDRESS = {"line": ["100 Clinic Way"], "city": "Tampa", "state": "FL", "postalCode": "336010001"}


@pytest.fixture
def loaded(settings: dict[str, Any], tmp_path: Path) -> LoadedSettings:
    """A gateway.yaml without a consent, and an embedded Postgres beside it."""
    link = {"adapter": "drchrono", "settings": {**settings, "refresh_token": ""}}
    tebra = {"customer_key": "k", "user": "u", "password": "p", "practice_name": "Lakeside"}
    biller = {"name": "Lakeside", "npi": "1234567893", "tax_id": "12-3456789", "address": ADDRESS}
    clinic = {
        "name": "Lakeside",
        "timezone": "America/New_York",
        "billing_provider": biller,
        "ehr": {"ehr1": link},
        "billing": {"tebra": {"adapter": "kareo_tebra", "settings": tebra}},
    }
    path = tmp_path / "gateway.yaml"
    path.write_text(yaml.safe_dump({"clinics": {"lakeside": clinic, "other": {**clinic, "ehr": {"ehr2": link}}}}))
    return load_settings(path, {})


class Person:
    """Somebody at the consent page: presses a button, and lets the browser follow."""

    def __init__(self, button: str = "allow", *, follow: bool = True) -> None:
        self.button, self.follow = button, follow
        self.page: httpx.Response | None = None
        self.address = ""

    def __call__(self, url: str) -> None:
        with httpx.Client(trust_env=False) as browser:
            answer = browser.post(url, data={self.button: "1"})
            self.address = answer.headers["location"]
            if self.follow:
                self.page = browser.get(self.address)


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
async def gateways(loaded: LoadedSettings) -> AsyncIterator[Callable[[], Any]]:
    """Open gateways over the same Postgres."""
    async with AsyncExitStack() as stack:

        async def opened() -> Gateway:
            gateway = await stack.enter_async_context(open_gateway(loaded))
            await gateway.session.open()
            return gateway

        yield opened


class TestCallbackPage:
    async def test_a_consent_connects_and_is_shown(
        self, loaded: LoadedSettings, signed: Simulator, port: int, gateways: Any, capsys: Any
    ) -> None:
        person = Person()
        assert await connect(loaded, "ehr1", ConnectOptions(port, show=person)) == 0
        assert person.page is not None
        assert (person.page.status_code, "Connected" in person.page.text) == (200, True)
        adapter = (await gateways()).connections.ehr("lakeside", "ehr1")
        assert (await adapter.fetch_encounter(REF)).resources
        shown = capsys.readouterr().out
        held = await adapter.tokens.read()
        assert "acts as gateway-service" in shown
        assert not [s for s in (held.access_token, held.refresh_token) if s in shown + person.page.text]

    async def test_two_workers_over_postgres_refresh_once(
        self, loaded: LoadedSettings, signed: Simulator, port: int, gateways: Any
    ) -> None:
        await connect(loaded, "lakeside/ehr1", ConnectOptions(port, show=Person()))
        workers = [(await gateways()).connections.ehr("lakeside", "ehr1") for _ in range(2)]
        signed.client.post("/_sim/expire_tokens", json={}).raise_for_status()
        await asyncio.gather(*(worker.fetch_encounter(REF) for worker in workers))
        assert signed.ledger()["tokens_granted"] == 2

    async def test_a_refusal_is_told_on_page_and_terminal(
        self, loaded: LoadedSettings, signed: Simulator, port: int, capsys: Any
    ) -> None:
        person = Person("deny")
        assert await connect(loaded, "ehr1", ConnectOptions(port, show=person)) == 1
        assert person.page is not None
        assert "access_denied" in person.page.text
        assert "access_denied" in capsys.readouterr().out

    async def test_nobody_came(self, loaded: LoadedSettings, signed: Simulator, port: int, capsys: Any) -> None:
        options = ConnectOptions(port, show=lambda url: None, timeout_seconds=0.05)
        assert await connect(loaded, "ehr1", options) == 1
        assert "nobody consented" in capsys.readouterr().out

    async def test_a_stopped_connection_works_again(
        self, loaded: LoadedSettings, signed: Simulator, port: int, gateways: Any
    ) -> None:
        store = (await gateways()).store
        async with store.unit_of_work("lakeside") as unit:
            await unit.stop_connection("ehr1", "credentials")
        await connect(loaded, "ehr1", ConnectOptions(port, show=Person()))
        assert await store.connection_stopped("lakeside", "ehr1") is None

    async def test_without_a_consent_the_connection_says_what_to_do(self, signed: Simulator, gateways: Any) -> None:
        with pytest.raises(CredentialsRejected, match="gateway connect"):
            await (await gateways()).connections.ehr("lakeside", "ehr1").fetch_encounter(REF)


class TestPasting:
    async def test_the_redirected_address_can_be_pasted(self, loaded: LoadedSettings, signed: Simulator) -> None:
        person = Person(follow=False)
        options = ConnectOptions(paste=True, show=person, ask=lambda: f"  {person.address}\n")
        assert await connect(loaded, "ehr1", options) == 0

    @pytest.mark.parametrize("pasted", ["", "nonsense", "http://127.0.0.1:8765/callback?code=x&state=y"])
    async def test_another_address_is_refused(
        self, loaded: LoadedSettings, signed: Simulator, pasted: str, capsys: Any
    ) -> None:
        options = ConnectOptions(paste=True, show=lambda url: None, ask=lambda: pasted)
        assert await connect(loaded, "ehr1", options) == 1
        assert "Not the consent that was asked for" in capsys.readouterr().out

    def test_the_command_itself(self, loaded: LoadedSettings, signed: Simulator, monkeypatch: Any) -> None:
        person = Person(follow=False)
        monkeypatch.setattr("gateway.commands.connect.typer.echo", lambda text: person(text.split("\n\n")[1].strip()))
        monkeypatch.setattr("gateway.commands.connect.typer.prompt", lambda *_, **__: person.address)
        arguments = ["connect", "ehr1", "--config", str(loaded.path), "--paste"]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert signed.ledger()["tokens_granted"] == 1


class TestNames:
    @pytest.mark.parametrize(
        ("target", "words"), [("nothing", "lakeside/ehr1"), ("other/ehr1", "has no EHR connection")]
    )
    async def test_a_connection_that_is_not_there(self, loaded: LoadedSettings, target: str, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words) as raised:
            await connect(loaded, target, ConnectOptions())
        assert "lakeside/ehr1" in raised.value.remedy

    async def test_a_name_that_two_clinics_have(self, loaded: LoadedSettings) -> None:
        clinics = loaded.gateway.clinics
        twins = {**clinics, "other": clinics["lakeside"]}
        both = loaded.model_copy(update={"gateway": loaded.gateway.model_copy(update={"clinics": twins})})
        with pytest.raises(ConfigurationError, match="several clinics") as raised:
            await connect(both, "ehr1", ConnectOptions())
        assert "lakeside/ehr1" in raised.value.remedy


class TestCallback:
    async def _taken(self, query: dict[str, str], accept: Any = None) -> Any:
        async def fine(code: str) -> list[Any]:
            return []

        callback = Callback("the-state", accept or fine)
        return callback, await callback.take(query)

    @pytest.mark.parametrize("state", ["", "the-stat", "the-state2", "\udcff"])
    async def test_another_state_takes_nothing(self, state: str) -> None:
        callback, page = await self._taken({"code": "c", "state": state})
        assert page.status == 400
        assert not callback.result.done()
        assert (await callback.take({"code": "c", "state": "the-state"})).status == 200

    async def test_it_is_used_once(self) -> None:
        callback, _ = await self._taken({"code": "c", "state": "the-state"})
        assert (await callback.take({"code": "c", "state": "the-state"})).status == 410

    @pytest.mark.parametrize("query", [{"error": "server_error"}, {}, {"code": ""}])
    async def test_no_code_is_no_consent(self, query: dict[str, str]) -> None:
        callback, page = await self._taken({**query, "state": "the-state"})
        assert page.status == 400
        with pytest.raises(ConsentFailed):
            await callback.result

    async def test_a_refused_code_is_told_without_the_code(self) -> None:
        async def refused(code: str) -> list[Any]:
            raise CredentialsRejected("drchrono", "token", "the grant is not accepted")

        callback, page = await self._taken({"code": "c0de", "state": "the-state"}, refused)
        assert page.text == "The grant is not accepted."
        with pytest.raises(ConsentFailed):
            await callback.result
