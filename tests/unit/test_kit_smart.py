"""SMART Backend Services as a client, against a small authorization and FHIR server over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.canonical.errors import (
    AdapterError,
    ConfigurationError,
    CredentialsRejected,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.contract_support import simulator_running
from gateway.kit.ehr_client import FhirClient
from gateway.kit.http import open_client
from gateway.kit.smart import OAUTH_URIS, SmartBackendClient
from gateway.kit.smart_key import SigningKey, is_safe_url
from gateway.kit.smart_scopes import is_covered
from gateway.ports.context import utc_now

EC = ECKey.generate_key("P-384", {"kid": "ec-1"})
RSA = RSAKey.generate_key(2048)
SHORT = rsa.generate_private_key(65537, 1024).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SCOPES = ("system/Encounter.rs", "system/Patient.rs")
FHIR = "application/fhir+json"

Answer = Callable[[Request], Response] | Response


class Script:
    """What the server answers by path; each answer may be a list that is used up to its last element."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.seen: list[tuple[str, str, dict[str, str], str]] = []
        self.url = ""
        self.tokens = 0

    def say(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.seen]

    async def answer(self, request: Request) -> Response:
        body = (await request.body()).decode()
        query = f"?{request.url.query}" if request.url.query else ""
        self.seen.append((request.method, request.url.path + query, dict(request.headers), body))
        held = self.answers.get(request.url.path)
        if held is None:
            return Response(status_code=404)
        said = held.pop(0) if len(held) > 1 else held[0]
        return said if isinstance(said, Response) else said(request)

    def grant(self, **more: Any) -> Callable[[Request], Response]:
        def answer(_: Request) -> Response:
            self.tokens += 1
            body = {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 300}
            return JSONResponse({**body, "scope": " ".join(SCOPES), **more})

        return answer


def fhir(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(json.dumps(body), status, headers, media_type=FHIR)


def bundle(*ids: str, following: str | None = None) -> Response:
    links = [{"relation": "next", "url": following}] if following else []
    entries = [{"resource": {"resourceType": "Patient", "id": i}} for i in ids]
    return fhir({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    script = Script()
    app = Starlette(routes=[Route("/{rest:path}", script.answer, methods=["GET", "POST", "PUT"])])
    with simulator_running(lambda _: app, credentials={}) as url:
        script.url = url
        yield script


@pytest.fixture
def script(server: Script) -> Script:
    server.answers, server.seen, server.tokens = {}, [], 0
    server.say("/fhir/.well-known/smart-configuration", JSONResponse({"token_endpoint": f"{server.url}/token"}))
    server.say("/token", server.grant())
    return server


@pytest.fixture
async def http() -> Any:
    client = open_client(timeout_seconds=5)
    yield client
    await client.aclose()


def smart(script: Script, http: Any, **more: Any) -> SmartBackendClient:
    key = more.pop("key", None) or SigningKey.load(json.dumps(EC.as_dict(private=True)), "ES384")
    chosen = {"vendor": "test", "base_url": f"{script.url}/fhir", "client_id": "me", "scopes": SCOPES, **more}
    return SmartBackendClient(key=key, http=http, **chosen)


def reader(script: Script, http: Any, max_bytes: int = 1_000_000) -> FhirClient:
    authorized = AuthorizedHttp(vendor="test", http=http, tokens=smart(script, http), max_bytes=max_bytes)
    return FhirClient(base_url=f"{script.url}/fhir", http=authorized)


class TestKeys:
    def test_pem_and_jwk_are_read(self) -> None:
        pem = RSA.as_pem(private=True).decode()
        assert SigningKey.load(pem, "RS384", "mine").key_id == "mine"
        assert SigningKey.load(pem, "RS384").key_id == RSA.thumbprint()
        assert SigningKey.load(json.dumps(EC.as_dict(private=True)), "ES384").key_id == "ec-1"

    @pytest.mark.filterwarnings("ignore:Key size")
    @pytest.mark.parametrize(
        ("text", "algorithm"),
        [
            ("", "RS384"),
            ("{", "ES384"),
            ("not a key", "RS384"),
            (json.dumps({"kty": "RSA"}), "RS384"),
            (json.dumps(EC.as_dict(private=True)), "RS384"),
            (json.dumps(EC.as_dict(private=False)), "ES384"),
            (json.dumps(ECKey.generate_key("P-256").as_dict(private=True)), "ES384"),
            (SHORT, "RS384"),
        ],
    )
    def test_a_key_that_cannot_sign_is_refused_without_quoting_it(self, text: str, algorithm: str) -> None:
        with pytest.raises(ConfigurationError) as raised:
            SigningKey.load(text, algorithm)
        assert len(text) < 2 or text not in str(raised.value)

    def test_the_public_key_holds_nothing_private(self) -> None:
        for text, algorithm in (
            (RSA.as_pem(private=True).decode(), "RS384"),
            (EC.as_pem(private=True).decode(), "ES384"),
        ):
            public = SigningKey.load(text, algorithm, "k").public_jwk()
            assert {"d", "p", "q", "dp", "dq", "qi"}.isdisjoint(public)
            assert public["kid"] == "k"

    def test_reprs_show_no_secret(self) -> None:
        key = SigningKey.load(json.dumps(EC.as_dict(private=True)), "ES384")
        assert EC.as_dict(private=True)["d"] not in repr(key)

    @pytest.mark.parametrize(
        ("url", "safe"),
        [
            ("https://ehr.example.test/fhir", True),
            ("http://127.0.0.1:80/", True),
            ("http://localhost/x", True),
            ("http://[::1]/x", True),
            ("http://ehr.example.test/", False),
            ("http://127.0.0.1.evil.test/", False),
            ("https://user:pw@ehr.example.test/", False),
            ("https://", False),
            ("https://h:99999/", False),
            ("file:///etc/passwd", False),
        ],
    )
    def test_where_secrets_may_go(self, url: str, safe: bool) -> None:
        assert is_safe_url(url) is safe


class TestTokenRequest:
    @pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
    async def test_the_request_is_what_the_standard_asks(self, script: Script, http: Any, algorithm: str) -> None:
        private = RSA if algorithm == "RS384" else EC
        key = SigningKey.load(private.as_pem(private=True).decode(), algorithm, "kid-1")
        client = smart(script, http, key=key)
        await client.token()
        await client.token(refused="token-1")
        forms = [_form(body) for _, path, _, body in script.seen if path == "/token"]
        decoded = [jwt.decode(form["client_assertion"], private, algorithms=[algorithm]) for form in forms]
        assert {k: v for k, v in forms[0].items() if k != "client_assertion"} == {
            "grant_type": "client_credentials",
            "scope": " ".join(SCOPES),
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        assert decoded[0].header == {"alg": algorithm, "typ": "JWT", "kid": "kid-1"}
        claims = decoded[0].claims
        assert (claims["iss"], claims["sub"], claims["aud"]) == ("me", "me", f"{script.url}/token")
        assert 200 <= claims["exp"] - claims["iat"] <= 300
        assert decoded[0].claims["jti"] != decoded[1].claims["jti"]

    async def test_concurrent_callers_share_one_request(self, script: Script, http: Any) -> None:
        client = smart(script, http)
        assert set(await asyncio.gather(*(client.token() for _ in range(20)))) == {"token-1"}
        assert set(await asyncio.gather(*(client.token(refused="token-1") for _ in range(20)))) == {"token-2"}
        assert script.paths().count("/token") == 2

    async def test_concurrent_callers_share_one_failure(self, script: Script, http: Any) -> None:
        script.say("/token", JSONResponse({"error": "invalid_client"}, 401))
        client = smart(script, http)
        failures = await asyncio.gather(*(client.token() for _ in range(5)), return_exceptions=True)
        assert {type(f) for f in failures} == {CredentialsRejected}
        assert script.paths().count("/token") == 1

    async def test_a_cancelled_caller_does_not_hurt_the_others(self, script: Script, http: Any) -> None:
        client = smart(script, http)
        first, second = asyncio.create_task(client.token()), asyncio.create_task(client.token())
        await asyncio.sleep(0)
        first.cancel()
        assert await second == "token-1"

    @pytest.mark.parametrize(
        ("expires_in", "reused_after"),
        [(300, 269), (3600, 3539), ("120", 107), (None, 269), ("soon", 269), (-5, 269), (True, 0.8)],
    )
    async def test_the_token_is_kept_until_shortly_before_its_end(
        self, script: Script, http: Any, expires_in: Any, reused_after: float
    ) -> None:
        clock = [1000.0]
        script.say("/token", script.grant(expires_in=expires_in))
        client = smart(script, http, clock=lambda: clock[0])
        await client.token()
        clock[0] += reused_after
        assert await client.token() == "token-1"
        clock[0] += 62
        assert await client.token() == "token-2"

    @pytest.mark.parametrize(
        ("answer", "failure"),
        [
            (JSONResponse({"error": "invalid_client", "error_description": None}, 400), CredentialsRejected),
            (JSONResponse({"error": "unauthorized_client"}, 400), CredentialsRejected),
            (JSONResponse({"error": "invalid_grant"}, 400), CredentialsRejected),
            (JSONResponse({"error": "invalid_scope"}, 400), PermissionMissing),
            (JSONResponse({"error": "temporarily_unavailable"}, 400), VendorUnavailable),
            (JSONResponse({"message": "no", "request_id": "1"}, 401), CredentialsRejected),
            (Response("<html>", 403), PermissionMissing),
            (Response("", 429, {"Retry-After": "7"}), RateLimited),
            (Response("", 503, {"Retry-After": "7"}), RateLimited),
            (Response("", 503), VendorUnavailable),
            (Response("", 302, {"Location": "https://login.example.test/"}), UnexpectedResponse),
            (Response("<html>sign in</html>"), VendorUnavailable),
            (JSONResponse({"token_type": "bearer"}), VendorUnavailable),
            (JSONResponse({"access_token": "a\nb"}), VendorUnavailable),
            (JSONResponse({"access_token": "a", "token_type": "mac"}), UnexpectedResponse),
            (JSONResponse([1]), VendorUnavailable),
        ],
    )
    async def test_what_each_refusal_means(
        self, script: Script, http: Any, answer: Response, failure: type[AdapterError]
    ) -> None:
        script.say("/token", answer)
        with pytest.raises(failure) as raised:
            await smart(script, http).token()
        assert type(raised.value) is failure
        if failure is RateLimited:
            assert raised.value.retry_after == 7

    async def test_a_narrower_grant_is_kept_for_the_probe(self, script: Script, http: Any) -> None:
        script.say("/token", script.grant(scope="system/Patient.read"))
        client = smart(script, http)
        await client.token()
        assert client.missing_scopes() == ("system/Encounter.rs",)


@pytest.mark.parametrize(
    ("wanted", "granted", "covered"),
    [
        ("system/Patient.rs", ["system/Patient.rs"], True),
        ("system/Patient.rs", ["system/Patient.r", "system/Patient.s"], True),
        ("system/Patient.rs", ["system/*.cruds"], True),
        ("system/Patient.rs", ["system/Patient.read"], True),
        ("system/Patient.read", ["system/Patient.rs"], True),
        ("system/Patient.rs", ["system/Patient.r"], False),
        ("system/Patient.rs", ["user/Patient.rs"], False),
        ("system/Patient.rs", ["system/Patient.rs?active=true"], False),
        ("system/Condition.rs?category=http://x|y.z", ["system/Condition.rs?category=http://x|y.z"], True),
        ("launch", ["launch"], True),
        ("launch", [], False),
    ],
)
def test_scope_grammar(wanted: str, granted: list[str], covered: bool) -> None:
    assert is_covered(wanted, granted) is covered


class TestDiscovery:
    async def test_a_relative_endpoint_is_resolved_against_the_base(self, script: Script, http: Any) -> None:
        script.say("/fhir/.well-known/smart-configuration", JSONResponse({"token_endpoint": "auth/token"}))
        assert (await smart(script, http).discovery.discover()).url == f"{script.url}/fhir/auth/token"

    async def test_the_capability_statement_is_the_second_choice(self, script: Script, http: Any) -> None:
        uris = [{"url": "authorize", "valueUri": "x"}, {"url": "token", "valueUri": f"{script.url}/old-token"}]
        security = {"extension": [{"url": OAUTH_URIS, "extension": uris}]}
        script.say("/fhir/.well-known/smart-configuration", Response("<html>", 404))
        script.say("/fhir/metadata", fhir({"resourceType": "CapabilityStatement", "rest": [{"security": security}]}))
        found = await smart(script, http).discovery.discover()
        assert (found.url, found.source) == (f"{script.url}/old-token", "CapabilityStatement")

    async def test_a_configured_endpoint_needs_no_discovery(self, script: Script, http: Any) -> None:
        script.say("/own", script.grant())
        await smart(script, http, token_url=f"{script.url}/own").token()
        assert script.paths() == ["/own"]

    @pytest.mark.parametrize("answer", [Response("<html>"), JSONResponse([]), JSONResponse({"token_endpoint": 5})])
    async def test_nothing_found(self, script: Script, http: Any, answer: Response) -> None:
        script.say("/fhir/.well-known/smart-configuration", answer)
        with pytest.raises(VendorUnavailable):
            await smart(script, http).token()

    async def test_the_assertion_goes_to_no_plain_http_host(self, script: Script, http: Any) -> None:
        answer = JSONResponse({"token_endpoint": "http://ehr.example.test/token"})
        script.say("/fhir/.well-known/smart-configuration", answer)
        with pytest.raises(UnexpectedResponse):
            await smart(script, http).token()

    async def test_discovery_is_asked_once_and_again_after_a_refusal(self, script: Script, http: Any) -> None:
        client = smart(script, http)
        await client.token()
        await client.token(refused="token-1")
        assert script.paths().count("/fhir/.well-known/smart-configuration") == 1
        script.say("/token", Response("", 404))
        script.say("/moved", script.grant())
        with pytest.raises(UnexpectedResponse):
            await client.token(refused="token-2")
        script.say("/fhir/.well-known/smart-configuration", JSONResponse({"token_endpoint": f"{script.url}/moved"}))
        assert await client.token(refused="token-2") == "token-3"


class TestReading:
    async def test_a_resource_keeps_its_decimals(self, script: Script, http: Any) -> None:
        raw = b'{"resourceType":"Claim","id":"1","total":{"value":105.00}}'
        script.say("/fhir/Claim/1", Response(raw, media_type=FHIR))
        client = reader(script, http)
        assert str((await client.read("Claim/1"))["total"]["value"]) == "105.00"
        headers = script.seen[-1][2]
        assert (headers["accept"], headers["authorization"]) == (FHIR, "Bearer token-1")
        assert client.requests == 1

    async def test_one_401_is_repeated_with_a_new_token_and_no_more(self, script: Script, http: Any) -> None:
        good = fhir({"resourceType": "Patient", "id": "1"})
        script.say("/fhir/Patient/1", Response("", 401), good)
        client = reader(script, http)
        assert (await client.read("Patient/1"))["id"] == "1"
        assert script.seen[-1][2]["authorization"] == "Bearer token-2"
        script.say("/fhir/Patient/1", Response("", 401))
        with pytest.raises(CredentialsRejected):
            await client.read("Patient/1")
        assert script.tokens == 3

    @pytest.mark.parametrize(
        ("answer", "failure", "code"),
        [
            (Response("", 404), UnexpectedResponse, ErrorCode.NOT_FOUND),
            (Response("", 410), UnexpectedResponse, ErrorCode.NOT_FOUND),
            (fhir({"resourceType": "OperationOutcome"}, 403), PermissionMissing, ErrorCode.PERMISSION),
            (Response("", 406), UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE),
            (Response("", 429), RateLimited, ErrorCode.THROTTLED),
            (Response("", 502), VendorUnavailable, ErrorCode.UNAVAILABLE),
            (Response("<html>sign in</html>", media_type="text/html"), VendorUnavailable, ErrorCode.UNAVAILABLE),
            (Response("", 200), VendorUnavailable, ErrorCode.UNAVAILABLE),
            (Response("", 204), UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE),
            (Response("", 302, {"Location": "/elsewhere"}), UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE),
            (JSONResponse({"detail": "no"}), UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE),
            (fhir({"resourceType": "Patient", "id": "2"}), UnexpectedResponse, ErrorCode.UNEXPECTED_RESPONSE),
            (Response(b"plain text", headers={"Content-Encoding": "gzip"}), VendorUnavailable, ErrorCode.TIMEOUT),
        ],
    )
    async def test_what_each_answer_means(
        self, script: Script, http: Any, answer: Response, failure: type[AdapterError], code: ErrorCode
    ) -> None:
        script.say("/fhir/Patient/1", answer)
        with pytest.raises(failure) as raised:
            await reader(script, http).read("Patient/1")
        assert raised.value.code is code

    async def test_an_answer_without_end_is_cut_off(self, script: Script, http: Any) -> None:
        script.say("/fhir/Patient/1", fhir({"resourceType": "Patient", "id": "1", "x": "y" * 200}))
        with pytest.raises(UnexpectedResponse):
            await reader(script, http, max_bytes=100).read("Patient/1")


class TestSearching:
    async def test_pages_are_followed_and_duplicates_dropped(self, script: Script, http: Any) -> None:
        script.say("/fhir/Patient", bundle("1", "2", following=f"{script.url}/fhir/next"))
        script.say("/fhir/next", bundle("2", "3", following="?page=3"), bundle("4"))
        found = await reader(script, http).search("Patient", {"name": "a b", "_include": ["x:y", "x:z"]})
        assert [r["id"] for r in found] == ["1", "2", "3", "4"]
        assert "/fhir/Patient?name=a%20b&_include=x%3Ay&_include=x%3Az".replace("%3A", ":") in [
            path.replace("%3A", ":").replace("+", "%20") for path in script.paths()
        ]

    async def test_a_link_with_the_scheme_of_a_proxy_is_brought_home(self, script: Script, http: Any) -> None:
        script.say("/fhir/Patient", bundle("1", following="https://127.0.0.1/fhir/next?p=2"))
        script.say("/fhir/next", bundle("2"))
        assert len(await reader(script, http).search("Patient", {})) == 2

    @pytest.mark.parametrize(
        "link", ["https://evil.example.test/fhir/next", "//evil.example.test/fhir", "http://[bad", "ftp://x/y"]
    )
    async def test_a_link_to_another_site_is_not_followed(self, script: Script, http: Any, link: str) -> None:
        script.say("/fhir/Patient", bundle("1", following=link))
        with pytest.raises(UnexpectedResponse):
            await reader(script, http).search("Patient", {})
        assert script.paths()[-1].startswith("/fhir/Patient")

    async def test_links_in_a_circle(self, script: Script, http: Any) -> None:
        script.say("/fhir/Patient", bundle("1", following=f"{script.url}/fhir/next"))
        script.say("/fhir/next", bundle("2", following=f"{script.url}/fhir/next"))
        with pytest.raises(UnexpectedResponse, match="circle"):
            await reader(script, http).search("Patient", {})

    async def test_links_without_end(self, script: Script, http: Any) -> None:
        def more(request: Request) -> Response:
            page = int(request.query_params.get("p", "0"))
            return bundle(str(page), following=f"{script.url}/fhir/Patient?p={page + 1}")

        script.say("/fhir/Patient", more)
        with pytest.raises(UnexpectedResponse, match="too many"):
            await reader(script, http).search("Patient", {})

    async def test_an_expired_page_starts_the_search_again_later(self, script: Script, http: Any) -> None:
        script.say("/fhir/Patient", bundle("1", following=f"{script.url}/fhir/gone"))
        with pytest.raises(VendorUnavailable):
            await reader(script, http).search("Patient", {})

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (Response("", 404), ErrorCode.UNSUPPORTED),
            (Response("", 501), ErrorCode.UNSUPPORTED),
            (fhir({"resourceType": "OperationOutcome", "issue": []}, 400), ErrorCode.UNSUPPORTED),
            (Response("<html>bad request</html>", 400), ErrorCode.UNEXPECTED_RESPONSE),
            (fhir({"resourceType": "Patient", "id": "1"}), ErrorCode.UNEXPECTED_RESPONSE),
            (fhir({"resourceType": "Bundle", "entry": {}}), ErrorCode.UNEXPECTED_RESPONSE),
            (fhir({"resourceType": "Bundle", "entry": [{"fullUrl": "x"}]}), ErrorCode.UNEXPECTED_RESPONSE),
        ],
    )
    async def test_what_each_refusal_means(self, script: Script, http: Any, answer: Response, code: ErrorCode) -> None:
        script.say("/fhir/Patient", answer)
        with pytest.raises(UnexpectedResponse) as raised:
            await reader(script, http).search("Patient", {})
        assert raised.value.code is code

    @pytest.mark.parametrize(
        ("severity", "issue", "failure"),
        [
            ("error", "forbidden", PermissionMissing),
            ("error", "throttled", RateLimited),
            ("fatal", "exception", VendorUnavailable),
            ("error", "not-supported", UnexpectedResponse),
            ("warning", "informational", None),
        ],
    )
    async def test_an_outcome_among_the_matches(
        self, script: Script, http: Any, severity: str, issue: str, failure: type[AdapterError] | None
    ) -> None:
        outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": issue}]}
        entries = [{"resource": {"resourceType": "Patient", "id": "1"}}, {"resource": outcome}]
        script.say("/fhir/Patient", fhir({"resourceType": "Bundle", "entry": entries}))
        if failure is None:
            assert len(await reader(script, http).search("Patient", {})) == 1
        else:
            with pytest.raises(failure):
                await reader(script, http).search("Patient", {})


def _form(body: str) -> dict[str, str]:
    return dict(parse_qsl(body))


def test_the_registered_key_set_verifies_the_assertion() -> None:
    key = SigningKey.load(EC.as_pem(private=True).decode(), "ES384", "kid-9")
    published = KeySet.import_key_set({"keys": [key.public_jwk()]})
    token = jwt.decode(key.assertion("me", "https://as.example.test/token", utc_now()), published, algorithms=["ES384"])
    assert token.claims["sub"] == "me"
