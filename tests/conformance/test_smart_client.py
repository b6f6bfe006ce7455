# ruff: noqa: N802 - the tests bear the rows' own names
"""The rules of SMART Backend Services that bind the gateway as a client, each with the test named after it.

Rows are those of the project's digest of SMART App Launch 2.2.0: D and K as numbered there, S3_* the members of the
client assertion (section 3), R* the published requirement ids, S5_* the members of the token response (section 5), S7_*
the scope grammar (section 7), and the rows of Inferno's client suite (smart_client_stu2_2, Backend Services). A test
below checks that this table and the tests agree.

| row | rule |
|---|---|
| D1 | the discovery document is below the FHIR base, also when the base has a path |
| D4 | a relative endpoint resolves against the FHIR base |
| D5 | discovery asks for application/json |
| D6 | header names are compared case-insensitively |
| D8 | a SMART 1.0 server's CapabilityStatement names the endpoint |
| K1 | the client's public keys and its id are what was registered |
| K3 | the JWKS URL is readable without authentication |
| K4 | the JWKS says how long it may be kept |
| K5 | every JWK has kty, kid and its bare key values; kids are unique |
| K6 | the client signs with RS384 and with ES384 |
| K7 | the private key shows in no text of its settings or its object |
| K8 | the key that comes next is published beside the present one |
| K10 | the published key set holds public members only |
| S3_alg | RS384 or ES384, as set |
| S3_kid | names one key of the published set |
| S3_typ | JWT |
| S3_jku | not sent: the registered JWKS URL counts |
| S3_iss | the client id |
| S3_sub | the client id |
| S3_aud | the token endpoint to which the assertion is posted, byte for byte |
| S3_exp | whole seconds, at most five minutes ahead (R331) |
| S3_jti | another one for each request |
| S3_iat | iat and nbf are never in the future, and can be left out |
| R235 | grant_type is client_credentials |
| R236 | scope is space-separated |
| R237 | client_assertion_type is the jwt-bearer URN |
| R238 | client_assertion is the JWT; the body is a form, and each parameter stands once |
| R337 | client_id is not sent beside the assertion |
| R126 | v1 and v2 of one right are the same wish, and never mixed |
| R131 | scopes of one type add up |
| R147 | a narrower grant is noticed |
| R230 | TLS 1.2 or later, certificates verified, no secret to a plain http host |
| R248 | a refresh token is neither expected nor used |
| R267 | the token goes to no other origin: not by links, not by redirects |
| R340 | invalid_client stops the connection, as does what is not OAuth's error at all |
| S5_access_token | an answer without one is no grant |
| S5_token_type | bearer, compared case-insensitively |
| S5_expires_in | the token is kept until shortly before its end; 300 s where nothing sensible is said |
| S5_scope | the granted scopes are read; without them those asked for count |
| S5_renewal | one token for all callers; a FHIR 401 costs one new token and one repetition |
| S7_query | a narrowed scope is not taken for the whole right |
| smart_client_registration_bsca_verification | the JWKS URL gives at least one valid key |
| smart_client_access_bsca_interaction | discovery, a token request, a FHIR request |
| smart_client_token_request_bsca_verification | each token request holds what the suite asks for |
| smart_client_token_use_verification | the issued token is used as a bearer token, and accepted |
| bulk_data_client | kick-off, status, output and delete are seen with the token (tests/unit/test_kit_bulk.py) |
| mock_server_lifetime | a token of an hour is used for an hour |
| mock_server_errors | 401 invalid_client is understood |
| mock_server_expired | a 401 with an OperationOutcome `expired` is answered with a new token |
| mock_server_scopes | scopes that are announced as v1 are no obstacle |

Not the client's: D2, D3, D7, K2, K9, sections 4, 6, 8, 9 and 11, which bind authorization and resource servers.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.api.keys import CACHE_SECONDS, key_router
from gateway.api.server import listening_socket, serve
from gateway.canonical.errors import (
    AdapterError,
    ConfigurationError,
    CredentialsRejected,
    Retry,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.contract_support import contract_context, simulator_running
from gateway.kit.ehr_base import SmartFhirEhr
from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.http import open_client, trusted_authorities
from gateway.kit.smart import ASSERTION_TYPE, OAUTH_URIS, SmartBackendClient
from gateway.kit.smart_key import SigningKey
from gateway.kit.smart_scopes import ScopeStyle, in_style, is_covered
from gateway.ports.context import AdapterContext, utc_now

REPOSITORY = Path(__file__).parents[2]
EC = ECKey.generate_key("P-384", {"kid": "ec-1"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
NEXT = ECKey.generate_key("P-384", {"kid": "ec-2"})
KEYS = {"ES384": EC, "RS384": RSA}
FHIR = "application/fhir+json"
WELL_KNOWN = "/fhir/.well-known/smart-configuration"
Answer = Callable[[Request], Response] | Response


def test_the_table_and_the_tests_agree() -> None:
    listed = re.findall(r"^\| (\w+) \|", __doc__ or "", re.MULTILINE)
    rows = [row for row in listed if row != "row"]
    tests = [name.removeprefix("test_") for name in globals() if name.startswith("test_")]
    assert len(rows) == len(set(rows))
    assert [row for row in rows if not any(t == row or t.startswith(f"{row}_") for t in tests)] == []
    named = [t for t in tests if re.match(r"[DKRS]\d|smart_client|mock_server|bulk", t)]
    assert [t for t in named if not any(t == row or t.startswith(f"{row}_") for row in rows)] == []


def text_of(key: ECKey | RSAKey) -> str:
    return json.dumps(key.as_dict(private=True))


class Ehr:
    """An authorization and FHIR server that says what a test scripts, and remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.url, self.base = url, f"{url}/fhir"
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.tokens = 0
        self.say(WELL_KNOWN, JSONResponse({"token_endpoint": f"{url}/token"}))
        self.say("/token", self.grant())
        self.say("/fhir/Patient/1", fhir({"resourceType": "Patient", "id": "1"}))

    def say(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def grant(self, **more: Any) -> Callable[[Request], Response]:
        def answer(_: Request) -> Response:
            self.tokens += 1
            body = {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 300, **more}
            return JSONResponse({name: value for name, value in body.items() if value is not None})

        return answer

    def requests(self, path: str) -> list[tuple[dict[str, str], str]]:
        return [(headers, body) for _, seen, headers, body in self.seen if seen == path]

    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body)) for _, body in self.requests("/token")]

    def assertion(self, key: ECKey | RSAKey = EC) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of the last assertion, its signature verified with the registered key."""
        sent = self.forms()[-1]["client_assertion"]
        token = jwt.decode(sent, key, algorithms=["ES384", "RS384"])
        return token.header, token.claims


def fhir(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, media_type=FHIR)


class Running:
    current: Ehr


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Running]]:
    held = Running()

    async def answer(request: Request) -> Response:
        ehr, body = held.current, (await request.body()).decode()
        ehr.seen.append((request.method, request.url.path, dict(request.headers), body))
        said = ehr.answers.get(request.url.path)
        if said is None:
            return Response(status_code=404)
        chosen = said.pop(0) if len(said) > 1 else said[0]
        return chosen if isinstance(chosen, Response) else chosen(request)

    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["GET", "POST"])])
    with simulator_running(lambda _: app, credentials={}) as url:
        yield url, held


@pytest.fixture
def ehr(server: tuple[str, Running]) -> Ehr:
    url, held = server
    held.current = Ehr(url)
    return held.current


def context() -> AdapterContext:
    shared = contract_context("ehr")
    return AdapterContext(shared.clinic, "ehr", shared.pacer, shared.lock, shared.shared, utc_now)


def settings(base: str = "https://ehr.example.test/fhir", **more: Any) -> SmartSettings:
    key = KEYS[more.get("algorithm", "ES384")]
    chosen = {"base_url": base, "client_id": "me", "private_key": text_of(key), "algorithm": "ES384", **more}
    return SmartSettings.model_validate(chosen)


@pytest.fixture
async def connect(ehr: Ehr) -> AsyncIterator[Callable[..., SmartFhirEhr]]:
    """Opens a connection to the server; settings may be given."""
    opened: list[SmartFhirEhr] = []

    def open_(**more: Any) -> SmartFhirEhr:
        opened.append(SmartFhirEhr(settings(ehr.base, **more), context()))
        return opened[-1]

    yield open_
    for each in opened:
        await each.aclose()


@pytest.fixture
async def timed(ehr: Ehr) -> AsyncIterator[tuple[SmartBackendClient, list[float]]]:
    """A client whose clock is moved by hand."""
    clock, http = [1000.0], open_client()
    key = SigningKey.load(text_of(EC), "ES384")
    yield (
        SmartBackendClient(
            vendor="t", base_url=ehr.base, client_id="me", key=key, scopes=(), http=http, clock=lambda: clock[0]
        ),
        clock,
    )
    await http.aclose()


Connect = Callable[..., SmartFhirEhr]


# Discovery


async def test_D1_the_document_is_below_the_base(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert ehr.seen[0][:2] == ("GET", WELL_KNOWN)


async def test_D4_a_relative_endpoint_resolves_against_the_base(ehr: Ehr, connect: Connect) -> None:
    ehr.say(WELL_KNOWN, JSONResponse({"token_endpoint": "auth/token"}))
    ehr.say("/fhir/auth/token", ehr.grant())
    assert await connect().tokens.token() == "token-1"


async def test_D5_discovery_asks_for_json(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert ehr.requests(WELL_KNOWN)[0][0]["accept"] == "application/json"


@pytest.mark.parametrize("name", ["Retry-After", "retry-after", "RETRY-AFTER"])
async def test_D6_header_names_in_any_case(ehr: Ehr, connect: Connect, name: str) -> None:
    ehr.say("/token", Response("", 429, {name: "7"}))
    with pytest.raises(AdapterError) as raised:
        await connect().tokens.token()
    assert raised.value.retry_after == 7


async def test_D8_the_capability_statement_of_smart_1_0(ehr: Ehr, connect: Connect) -> None:
    uris = [{"url": "token", "valueUri": f"{ehr.url}/token"}]
    security = {"extension": [{"url": OAUTH_URIS, "extension": uris}]}
    ehr.say(WELL_KNOWN, Response("", 404))
    ehr.say("/fhir/metadata", fhir({"resourceType": "CapabilityStatement", "rest": [{"security": security}]}))
    assert await connect().tokens.token() == "token-1"


# Keys


class Links:
    """The one connection whose keys are published."""

    def __init__(self, ehr: SmartFhirEhr) -> None:
        self.connections, self._ehr = self, ehr

    def ehr(self, clinic_id: str, connection: str) -> SmartFhirEhr:
        return self._ehr


@pytest.fixture
async def published(connect: Connect) -> AsyncIterator[httpx.Response]:
    """What anybody reads at the JWKS URL of a connection that has a key in use and one that comes next."""
    app = FastAPI()
    app.include_router(key_router(Links(connect(next_private_key=text_of(NEXT)))))  # type: ignore[arg-type]
    listening, stop = listening_socket("127.0.0.1", 0), asyncio.Event()
    serving = asyncio.create_task(serve(app, listening, stop))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/keys/clinic-a/ehr/jwks.json"
    async with asyncio.timeout(10), httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.ConnectError):
                answer = await client.get(url)
                break
            await asyncio.sleep(0.005)
    yield answer
    stop.set()
    await serving


async def test_K1_the_registered_key_and_id_are_used(ehr: Ehr, connect: Connect) -> None:
    client = connect()
    await client.tokens.token()
    registered = KeySet.import_key_set({"keys": list(client.public_keys)})
    token = jwt.decode(ehr.forms()[0]["client_assertion"], registered, algorithms=["ES384"])
    assert token.claims["iss"] == client.settings.client_id


async def test_K3_the_key_set_is_readable_without_authentication(published: httpx.Response) -> None:
    assert "authorization" not in published.request.headers
    assert published.status_code == 200
    assert published.headers["content-type"] == "application/json"


async def test_K4_the_key_set_says_how_long_it_may_be_kept(published: httpx.Response) -> None:
    assert published.headers["cache-control"] == f"public, max-age={CACHE_SECONDS}"


@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_K5_every_key_has_its_bare_values(key: ECKey | RSAKey) -> None:
    algorithm = "ES384" if key is EC else "RS384"
    jwk = SigningKey.load(text_of(key), algorithm).public_jwk()
    wanted = {"kty", "kid", "crv", "x", "y"} if key is EC else {"kty", "kid", "n", "e"}
    assert wanted <= set(jwk)


async def test_K5_kids_are_unique(connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match="key id"):
        connect(next_private_key=text_of(EC))


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_K6_the_client_signs_with_both(ehr: Ehr, connect: Connect, algorithm: str) -> None:
    await connect(algorithm=algorithm).tokens.token()
    header, _ = ehr.assertion(KEYS[algorithm])
    assert header["alg"] == algorithm
    signature = ehr.forms()[0]["client_assertion"].rpartition(".")[2]
    assert (
        len(signature) == {"ES384": 128, "RS384": 342}[algorithm]
    )  # base64url of r and s (96 bytes, not DER); 256 bytes


def test_K7_the_private_key_shows_nowhere() -> None:
    secret = EC.as_dict(private=True)["d"]
    held = settings()
    key = SigningKey.load(text_of(EC), "ES384")
    assert str(secret) not in f"{held!r}{held}{held.model_dump()}{key!r}{key}"
    with pytest.raises(ConfigurationError) as raised:
        SigningKey.load(text_of(EC), "RS384")
    assert str(secret) not in str(raised.value)


async def test_K8_the_next_key_is_published_beside_the_present_one(published: httpx.Response) -> None:
    assert [key["kid"] for key in published.json()["keys"]] == ["ec-1", "ec-2"]


async def test_K10_only_public_members_are_published(published: httpx.Response) -> None:
    private = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    assert [set(key) & private for key in published.json()["keys"]] == [set(), set()]
    assert set(SigningKey.load(text_of(RSA), "RS384").public_jwk()) & private == set()


# The client assertion


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
async def test_S3_alg_is_as_set(ehr: Ehr, connect: Connect, algorithm: str) -> None:
    await connect(algorithm=algorithm).tokens.token()
    assert ehr.assertion(KEYS[algorithm])[0]["alg"] == algorithm


async def test_S3_kid_names_a_published_key(ehr: Ehr, connect: Connect) -> None:
    client = connect(next_private_key=text_of(NEXT))
    await client.tokens.token()
    assert [key["kid"] for key in client.public_keys].count(ehr.assertion()[0]["kid"]) == 1


async def test_S3_typ_is_jwt(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert ehr.assertion()[0]["typ"] == "JWT"


async def test_S3_jku_is_not_sent(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert set(ehr.assertion()[0]) == {"alg", "kid", "typ"}


async def test_S3_iss_is_the_client_id(ehr: Ehr, connect: Connect) -> None:
    await connect(client_id="app-7").tokens.token()
    assert ehr.assertion()[1]["iss"] == "app-7"


async def test_S3_sub_is_the_client_id(ehr: Ehr, connect: Connect) -> None:
    await connect(client_id="app-7").tokens.token()
    assert ehr.assertion()[1]["sub"] == "app-7"


@pytest.mark.parametrize("path", ["/token", "/Token/", "/a%20b/token?tenant=7"])
async def test_S3_aud_is_the_endpoint_byte_for_byte(ehr: Ehr, connect: Connect, path: str) -> None:
    ehr.say(WELL_KNOWN, JSONResponse({"token_endpoint": f"{ehr.url}{path}"}))
    for known in ("/Token/", "/a b/token"):
        ehr.say(known, ehr.grant())
    await connect().tokens.token()
    sent = next(body for method, _, _, body in ehr.seen if method == "POST")
    claims = jwt.decode(parse_qs(sent)["client_assertion"][0], EC, algorithms=["ES384"]).claims
    assert claims["aud"] == f"{ehr.url}{path}"


async def test_S3_exp_is_at_most_five_minutes_ahead(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    expiry = ehr.assertion()[1]["exp"]
    assert isinstance(expiry, int)
    assert 60 < expiry - time.time() <= 300


async def test_S3_jti_is_another_one_each_time(ehr: Ehr, connect: Connect) -> None:
    client = connect()
    token = None
    for _ in range(3):
        token = await client.tokens.token(refused=token)
    sent = [jwt.decode(form["client_assertion"], EC, algorithms=["ES384"]).claims["jti"] for form in ehr.forms()]
    assert len(set(sent)) == 3
    assert all(isinstance(jti, str) and len(jti) >= 22 for jti in sent)


@pytest.mark.parametrize("dated", [True, False])
async def test_S3_iat_and_nbf_are_not_in_the_future(ehr: Ehr, connect: Connect, dated: bool) -> None:
    await connect(assertion_dates=dated).tokens.token()
    claims = ehr.assertion()[1]
    assert ({"iat", "nbf"} <= set(claims)) is dated
    assert all(claims.get(name, 0) <= time.time() for name in ("iat", "nbf"))


# The token request


async def test_R235_the_grant_type(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert ehr.forms()[0]["grant_type"] == "client_credentials"


async def test_R236_scopes_are_separated_by_spaces(ehr: Ehr, connect: Connect) -> None:
    await connect(scopes=("system/Patient.rs", "system/Encounter.rs")).tokens.token()
    assert ehr.forms()[0]["scope"] == "system/Patient.rs system/Encounter.rs"


async def test_R237_the_assertion_type(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert ehr.forms()[0]["client_assertion_type"] == ASSERTION_TYPE
    assert ASSERTION_TYPE == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


async def test_R238_the_assertion_in_a_form(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    headers, body = ehr.requests("/token")[0]
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert len(parse_qsl(body)) == len(dict(parse_qsl(body))) == 4
    assert ehr.assertion()


async def test_R337_no_client_id_beside_the_assertion(ehr: Ehr, connect: Connect) -> None:
    await connect().tokens.token()
    assert "client_id" not in ehr.forms()[0]
    assert "authorization" not in ehr.requests("/token")[0][0]


async def test_R126_the_grammars_are_never_mixed(ehr: Ehr, connect: Connect) -> None:
    mixed = ("system/Patient.read", "system/Encounter.rs", "system/Subscription.crus")
    await connect(scopes=mixed, scope_style="v1").tokens.token()
    await connect(scopes=mixed, scope_style="v2").tokens.token()
    v1, v2 = (form["scope"].split() for form in ehr.forms())
    assert v1 == [
        "system/Patient.read",
        "system/Encounter.read",
        "system/Subscription.read",
        "system/Subscription.write",
    ]
    assert v2 == ["system/Patient.rs", "system/Encounter.rs", "system/Subscription.crus"]
    assert in_style(mixed, ScopeStyle.NONE) == ()


def test_R131_scopes_of_one_type_add_up() -> None:
    assert is_covered("system/Patient.rs", ["system/Patient.r", "system/Patient.s"])
    assert is_covered("system/Patient.rs", ["system/*.read"])
    assert not is_covered("system/Patient.rs", ["system/Patient.r"])


# The token response


async def test_R147_a_narrower_grant_is_noticed(ehr: Ehr, connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    ehr.say("/token", ehr.grant(scope="system/Patient.read"))
    client = connect(scopes=("system/Patient.rs", "system/Claim.rs"))
    await client.tokens.token()
    assert "system/Claim.rs" in caplog.text
    probe = next(probe for probe in await client.probe() if probe.what == "scopes")
    assert not probe.ok
    assert probe.detail.endswith("system/Claim.rs")


def certificate(directory: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = utc_now()
    held = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    path = directory / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + held.public_bytes(Encoding.PEM))
    return path


async def over_tls(pem: Path, newest: ssl.TLSVersion) -> int:
    """The status of a request to a server that speaks TLS up to a version; raises what the client raises."""
    trusted_authorities.cache_clear()  # SSL_CERT_FILE may have changed

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(pem)
    server_side.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        server_side.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        server_side.maximum_version = newest
    server, client = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side), open_client(timeout_seconds=5)
    try:
        port = server.sockets[0].getsockname()[1]
        return (await client.get(f"https://127.0.0.1:{port}/")).status_code
    finally:
        await client.aclose()
        server.close()
        trusted_authorities.cache_clear()


async def test_R230_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    with pytest.raises(httpx.TransportError, match="CERTIFICATE_VERIFY_FAILED"):
        await over_tls(pem, ssl.TLSVersion.TLSv1_3)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert await over_tls(pem, ssl.TLSVersion.TLSv1_3) == 204


async def test_R230_tls_before_1_2_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert await over_tls(pem, ssl.TLSVersion.TLSv1_2) == 204
    with pytest.raises(httpx.TransportError):
        await over_tls(pem, ssl.TLSVersion.TLSv1_1)


@pytest.mark.parametrize(
    "url", ["http://ehr.example.test/fhir", "ftp://ehr.example.test", "https://u:p@ehr.example.test"]
)
def test_R230_no_secret_goes_to_a_plain_http_host(url: str) -> None:
    with pytest.raises(ValueError, match="https"):
        settings(url)
    with pytest.raises(ValueError, match="https"):
        settings(token_url=url)


async def test_R248_a_refresh_token_is_not_used(ehr: Ehr, connect: Connect) -> None:
    ehr.say("/token", ehr.grant(refresh_token="again"))
    client = connect()
    await client.tokens.token(refused=await client.tokens.token())
    assert [form["grant_type"] for form in ehr.forms()] == ["client_credentials"] * 2
    assert all("refresh_token" not in form for form in ehr.forms())


@pytest.mark.parametrize("link", ["https://evil.example.test/fhir/next", "//evil.example.test/fhir/next"])
async def test_R267_links_to_another_origin_are_not_followed(ehr: Ehr, connect: Connect, link: str) -> None:
    following = [{"relation": "next", "url": link}]
    ehr.say("/fhir/Patient", fhir({"resourceType": "Bundle", "link": following}))
    with pytest.raises(UnexpectedResponse, match="another site"):
        await connect().client.search("Patient", {})


async def test_R267_redirects_are_not_followed(ehr: Ehr, connect: Connect) -> None:
    ehr.say("/fhir/Patient/1", Response("", 307, {"Location": f"{ehr.url}/elsewhere"}))
    with pytest.raises(UnexpectedResponse):
        await connect().client.read("Patient/1")
    ehr.say("/token", Response("", 307, {"Location": f"{ehr.url}/elsewhere"}))
    with pytest.raises(UnexpectedResponse):
        await connect().tokens.token()
    assert ehr.requests("/elsewhere") == []


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"error": "invalid_client"}, 401),
        JSONResponse({"error": "invalid_client", "error_description": None}, 400),
        JSONResponse({"subcode": "INVALID", "message": "no"}, 401),
        JSONResponse({"message": "Unauthorized", "request_id": "1"}, 401),
        Response("<html>denied</html>", 401),
    ],
)
async def test_R340_a_refused_client_stops_the_connection(ehr: Ehr, connect: Connect, answer: Response) -> None:
    ehr.say("/token", answer)
    with pytest.raises(CredentialsRejected) as raised:
        await connect().tokens.token()
    assert raised.value.retry is Retry.STOP
    assert len(ehr.forms()) == 1


@pytest.mark.parametrize("missing", [None, "", 7])
async def test_S5_access_token_is_needed(ehr: Ehr, connect: Connect, missing: Any) -> None:
    ehr.say("/token", ehr.grant(access_token=missing))
    with pytest.raises(VendorUnavailable):
        await connect().tokens.token()


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER"])
async def test_S5_token_type_in_any_case(ehr: Ehr, connect: Connect, kind: str) -> None:
    ehr.say("/token", ehr.grant(token_type=kind))
    assert await connect().tokens.token() == "token-1"


async def test_S5_token_type_of_another_kind_is_refused(ehr: Ehr, connect: Connect) -> None:
    ehr.say("/token", ehr.grant(token_type="mac"))
    with pytest.raises(UnexpectedResponse):
        await connect().tokens.token()


@pytest.mark.parametrize(("said", "kept"), [(300, 269), ("120", 107), (None, 269), ("soon", 269), (3600, 3539)])
async def test_S5_expires_in_is_kept_to(
    ehr: Ehr, timed: tuple[SmartBackendClient, list[float]], said: Any, kept: float
) -> None:
    client, clock = timed
    ehr.say("/token", ehr.grant(expires_in=said))
    await client.token()
    clock[0] += kept
    assert await client.token() == "token-1"
    clock[0] += 32
    assert await client.token() == "token-2"


@pytest.mark.parametrize(("said", "missing"), [(None, ()), ("system/*.rs", ()), ("", ("system/Patient.rs",))])
async def test_S5_scope_is_read(ehr: Ehr, connect: Connect, said: Any, missing: tuple[str, ...]) -> None:
    ehr.say("/token", ehr.grant(scope=said))
    client = connect(scopes=("system/Patient.rs",))
    await client.tokens.token()
    assert client.tokens.missing_scopes() == missing


async def test_S5_renewal_is_shared_and_made_once(ehr: Ehr, connect: Connect) -> None:
    client = connect()
    assert set(await asyncio.gather(*(client.tokens.token() for _ in range(8)))) == {"token-1"}
    ehr.say("/fhir/Patient/1", Response("", 401), fhir({"resourceType": "Patient", "id": "1"}))
    await client.client.read("Patient/1")
    assert (ehr.tokens, len(ehr.requests("/fhir/Patient/1"))) == (2, 2)
    ehr.say("/fhir/Patient/1", Response("", 401))
    with pytest.raises(CredentialsRejected):
        await client.client.read("Patient/1")
    assert (ehr.tokens, len(ehr.requests("/fhir/Patient/1"))) == (3, 4)


def test_S7_query_narrows_and_is_not_the_whole_right() -> None:
    narrowed = "system/Condition.rs?category=http://example.test|encounter-diagnosis"
    assert not is_covered("system/Condition.rs", [narrowed])
    assert is_covered(narrowed, [narrowed])
    assert in_style([narrowed], ScopeStyle.V2) == (narrowed,)


# Inferno's client suite


async def test_smart_client_registration_bsca_verification(published: httpx.Response) -> None:
    keys = KeySet.import_key_set(published.json()).keys
    assert [key.kid for key in keys] == ["ec-1", "ec-2"]


async def test_smart_client_access_bsca_interaction(ehr: Ehr, connect: Connect) -> None:
    assert (await connect().client.read("Patient/1"))["id"] == "1"
    assert [path for _, path, _, _ in ehr.seen] == [WELL_KNOWN, "/token", "/fhir/Patient/1"]


async def test_smart_client_token_request_bsca_verification(ehr: Ehr, connect: Connect) -> None:
    client = connect()
    await client.tokens.token(refused=await client.tokens.token())
    nonces = set()
    for form in ehr.forms():
        assert (form["grant_type"], form["client_assertion_type"]) == ("client_credentials", ASSERTION_TYPE)
        assert form["scope"]
        registered = KeySet.import_key_set({"keys": list(client.public_keys)})
        token = jwt.decode(form["client_assertion"], registered, algorithms=["RS384", "ES384"])
        assert token.header["typ"] == "JWT"
        assert {"alg", "kid"} <= set(token.header)
        assert token.claims["iss"] == token.claims["sub"] == "me"
        assert token.claims["aud"] == f"{ehr.url}/token"
        assert token.claims["exp"] > datetime.now(UTC).timestamp()
        nonces.add(token.claims["jti"])
    assert len(nonces) == len(ehr.forms()) == 2


async def test_smart_client_token_use_verification(ehr: Ehr, connect: Connect) -> None:
    await connect().client.read("Patient/1")
    assert ehr.requests("/fhir/Patient/1")[0][0]["authorization"] == "Bearer token-1"


def test_bulk_data_client_rows_have_their_test() -> None:
    text = (REPOSITORY / "tests/unit/test_kit_bulk.py").read_text("utf-8")
    assert "def test_bulk_data_client_requests_are_seen_with_the_token(" in text


async def test_mock_server_lifetime_of_an_hour(ehr: Ehr, timed: tuple[SmartBackendClient, list[float]]) -> None:
    client, clock = timed
    ehr.say("/token", ehr.grant(expires_in=3600))
    await client.token()
    clock[0] += 3500.0
    assert await client.token() == "token-1"


async def test_mock_server_errors_are_understood(ehr: Ehr, connect: Connect) -> None:
    ehr.say("/token", JSONResponse({"error": "invalid_client", "error_description": "jti replay"}, 401))
    with pytest.raises(CredentialsRejected) as raised:
        await connect().tokens.token()
    assert raised.value.vendor_code == "invalid_client"


async def test_mock_server_expired_token_is_replaced(ehr: Ehr, connect: Connect) -> None:
    expired = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "expired"}]}
    ehr.say("/fhir/Patient/1", fhir(expired, 401), fhir({"resourceType": "Patient", "id": "1"}))
    assert (await connect().client.read("Patient/1"))["id"] == "1"
    assert ehr.tokens == 2


async def test_mock_server_scopes_of_v1(ehr: Ehr, connect: Connect) -> None:
    document = {"token_endpoint": f"{ehr.url}/token", "scopes_supported": ["system/*.read"]}
    ehr.say(WELL_KNOWN, JSONResponse(document))
    ehr.say("/token", ehr.grant(scope="system/*.read"))
    client = connect(scopes=("system/*.read",), scope_style="v1")
    await client.tokens.token()
    assert ehr.forms()[0]["scope"] == "system/*.read"
    assert client.tokens.missing_scopes() == ()
