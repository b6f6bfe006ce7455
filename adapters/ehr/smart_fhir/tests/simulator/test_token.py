"""Discovery and the token endpoint: each rule of SMART Backend Services that the simulator enforces."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from gateway.canonical import jsonio
from gateway.kit.fhir_simulator.scopes import InvalidScope, granted, parse_scope, parse_scopes

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_discovery_is_open_and_names_the_token_endpoint(sandbox: Any) -> None:
    async with sandbox() as sim:
        smart = await sim.http.get(f"{sim.base}/.well-known/smart-configuration", headers={"Accept": "text/xml"})
        assert smart.headers["content-type"] == "application/json"
        assert smart.json()["token_endpoint"] == f"{sim.url}/auth/token"
        assert smart.json()["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
        metadata = (await sim.http.get(f"{sim.base}/metadata")).json()
        assert metadata["fhirVersion"] == "4.0.1"
        assert metadata["rest"][0]["security"]["extension"][0]["extension"][0]["valueUri"] == f"{sim.url}/auth/token"


async def test_token_is_issued_with_the_granted_scopes(sandbox: Any) -> None:
    async with sandbox() as sim:
        answer = await sim.token_request(scope="system/*.cruds system/Patient.read")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        body = answer.json()
        assert (body["token_type"], body["expires_in"]) == ("bearer", 300)
        assert set(body["scope"].split()) == {"system/*.rs", "system/Subscription.cruds"}
        assert (await sim.token_request(scope="system/Claim.read")).json()["scope"] == "system/Claim.read"


BAD_CLAIMS = {
    "issuer": {"iss": "other"},
    "subject": {"sub": "other"},
    "audience-base": {"aud": "http://127.0.0.1/fhir"},
    "audience-missing": {"aud": None},
    "expired": {"exp": 1_422_568_860},
    "too-far": {"exp": int(time.time()) + 3600},
    "float": {"exp": time.time() + 60.5},
    "text": {"exp": str(int(time.time()) + 60)},
    "boolean": {"exp": True},
    "no-expiry": {"exp": None},
    "no-nonce": {"jti": None},
    "empty-nonce": {"jti": ""},
    "not-yet": {"nbf": int(time.time()) + 3600},
}


@pytest.mark.parametrize("change", BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_a_wrong_claim_is_invalid_client(sandbox: Any, change: dict[str, Any]) -> None:
    async with sandbox() as sim:
        answer = await sim.token_request(client_assertion=sim.assertion(**change))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert "error_description" in answer.json()


@pytest.mark.parametrize(
    "header", [{"kid": "unknown"}, {"kid": None}, {"typ": "at+jwt"}, {"jku": "http://127.0.0.1:1/jwks"}]
)
async def test_a_wrong_header_is_invalid_client(sandbox: Any, header: dict[str, Any]) -> None:
    async with sandbox() as sim:
        answer = await sim.token_request(client_assertion=sim.assertion(header))
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_keys_and_algorithms_are_enforced(sandbox: Any) -> None:
    async with sandbox() as sim:
        head = {"alg": "ES384", "kid": "sandbox-7", "typ": "JWT"}
        foreign = jwt.encode(head, sim.claims(), ECKey.generate_key("P-384"), algorithms=["ES384"])
        rsa = jwt.encode({**head, "alg": "RS384"}, sim.claims(), RSAKey.generate_key(2048), algorithms=["RS384"])
        secret = OctKey.import_key(b"x" * 48)
        shared = jwt.encode({**head, "alg": "HS384"}, sim.claims(), secret, algorithms=["HS384"])
        parts = (jsonio.dumps(part) for part in ({**head, "alg": "none"}, sim.claims()))
        unsigned = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."
        for assertion in (foreign, rsa, shared, unsigned, "not.a.jwt", "x"):
            answer = await sim.token_request(client_assertion=assertion)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_rs384_and_a_narrower_allow_list(sandbox: Any) -> None:
    key = RSAKey.generate_key(2048, {"kid": "rsa-1"}, private=True)
    jwks = jsonio.dumps({"keys": [key.as_dict(private=False)]}).decode()
    head = {"alg": "RS384", "kid": "rsa-1", "typ": "JWT"}
    for algorithms, status in (("RS384,ES384", 200), ("ES384", 401)):
        async with sandbox([], login=False, jwks=jwks, algorithms=algorithms) as sim:
            assertion = jwt.encode(head, sim.claims(), key, algorithms=["RS384"])
            assert (await sim.token_request(client_assertion=assertion)).status_code == status


async def test_an_assertion_works_once(sandbox: Any) -> None:
    async with sandbox() as sim:
        assertion = sim.assertion()
        answers = await asyncio.gather(*(sim.token_request(client_assertion=assertion) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_assertion": None}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "system/claim.rs"}, "invalid_scope"),
        ({"scope": "system/Claim.sr"}, "invalid_scope"),
        ({"scope": "system/Nothing.rs"}, "invalid_scope"),
        ({"scope": "patient/Claim.rs"}, "invalid_scope"),
        ({"scope": "system/Claim.cud"}, "invalid_scope"),
    ],
)
async def test_a_wrong_form_is_refused(sandbox: Any, change: dict[str, str | None], error: str) -> None:
    async with sandbox() as sim:
        answer = await sim.token_request(**change)
        assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_the_token_request_must_be_one_form_post(sandbox: Any) -> None:
    async with sandbox() as sim:
        url = f"{sim.url}/auth/token"
        form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion_type": ASSERTION_TYPE}
        form["client_assertion"] = sim.assertion()
        assert (await sim.http.post(url, json=form)).json()["error"] == "invalid_request"
        repeated = await sim.http.post(url, data={**form, "scope": ["system/*.rs", "system/*.rs"]})
        assert repeated.json()["error"] == "invalid_request"
        assert (await sim.http.get(url)).status_code == 405
        wrong = await sim.token_request(client_assertion_type="not_an_assertion_type")
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        assert (await sim.token_request(client_id="someone-else")).json()["error"] == "invalid_client"


def test_scope_grammar() -> None:
    assert parse_scope("system/Claim.read").letters == "rs"
    assert parse_scope("system/*.*").letters == "cruds"
    assert str(parse_scope("system/Condition.rs?category=a|b")) == "system/Condition.rs?category=a|b"
    for bad in ("system/Claim.", "system/Claim.rr", "system/Claim.x", "user/Claim.r", "openid", "system/Claim"):
        with pytest.raises(InvalidScope):
            parse_scope(bad)
    allowed = parse_scopes("system/*.rs system/Subscription.cruds")
    assert [str(s) for s in granted(parse_scopes("system/Subscription.crud"), allowed)] == ["system/Subscription.crud"]
    assert granted(parse_scopes("system/Claim.c"), allowed) == []
