"""What a vendor, or somebody in its place, may answer: bombs, links that lead elsewhere, numbers that are none."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from adapters.ehr.athenahealth.values import LAST, moment, rank
from adapters.ehr.drchrono.practice import pages_of
from gateway.canonical import jsonio
from gateway.canonical.errors import MappingError, UnexpectedResponse, VendorUnavailable
from gateway.canonical.models import NotificationRequest
from gateway.kit.ehr_client import issue_code
from gateway.kit.ehr_element import Element
from gateway.kit.ehr_notifications import parse_notification
from gateway.kit.http import open_client, retry_after_seconds, transport_errors
from gateway.kit.links import joined, may_follow
from gateway.kit.smart import Discovery
from gateway.kit.smart_key import SigningKey
from gateway.kit.tokens import DEFAULT_TOKEN_SECONDS, read_token

BOMB = bytes(64 * 1024 * 1024)


@asynccontextmanager
async def answering(body: bytes, *headers: str) -> AsyncIterator[str]:
    """A server that gives every request the same answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def get(url: str) -> httpx.Response:
    client = open_client(timeout_seconds=10)
    try:
        with transport_errors("vendor", "token"):
            return await client.get(url)
    finally:
        await client.aclose()


async def test_a_small_answer_that_decodes_to_a_large_one_is_not_read_to_its_end() -> None:
    async with answering(gzip.compress(BOMB), "Content-Encoding: gzip") as url:
        with pytest.raises(VendorUnavailable):
            await get(url)


@pytest.mark.parametrize("coding", ["gzip, gzip", "gzip,gzip,gzip", "br", "zstd"])
async def test_an_answer_in_a_coding_that_was_not_asked_for_is_not_decoded(coding: str) -> None:
    body = gzip.compress(gzip.compress(b"{}"))
    async with answering(body, f"Content-Encoding: {coding}") as url:
        with pytest.raises(VendorUnavailable):
            await get(url)


async def test_an_answer_within_the_bound_is_decoded() -> None:
    async with answering(gzip.compress(b'{"a": 1}'), "Content-Encoding: gzip") as url:
        assert (await get(url)).json() == {"a": 1}


@pytest.mark.parametrize(
    ("url", "named_by", "allowed"),
    [
        ("https://auth.ehr.example/token", "https://fhir.ehr.example/r4", True),
        ("http://127.0.0.1:9000/token", "https://fhir.ehr.example/r4", False),
        ("https://localhost/token", "https://fhir.ehr.example/r4", False),
        ("http://127.0.0.1:9000/token", "http://127.0.0.1:8000/fhir", True),
        ("http://auth.ehr.example/token", "https://fhir.ehr.example/r4", False),
        ("https://user:pw@auth.ehr.example/token", "https://fhir.ehr.example/r4", False),
        ("", "https://fhir.ehr.example/r4", False),
    ],
)
def test_a_vendor_cannot_send_the_gateway_to_what_listens_on_its_own_machine(
    url: str, named_by: str, allowed: bool
) -> None:
    assert may_follow(url, named_by) is allowed


@pytest.mark.parametrize("link", ["http://[bad", "https://a b\x00/", "http://x:99999999/"])
def test_a_link_that_is_no_address_leads_nowhere(link: str) -> None:
    assert joined("https://fhir.ehr.example/r4/", link) == ""


async def test_a_discovery_document_with_a_broken_address_is_an_unexpected_answer() -> None:
    async with answering(b'{"token_endpoint": "http://[bad"}') as url:
        client = open_client()
        with pytest.raises(UnexpectedResponse):
            await Discovery(vendor="vendor", base_url=url, http=client).discover()
        await client.aclose()


@pytest.mark.parametrize("text", ["nan", "NaN", "-nan"])
def test_a_time_to_come_back_that_is_no_number_is_the_default(text: str) -> None:
    assert retry_after_seconds(httpx.Response(429, headers={"retry-after": text}), default=7.0) == 7.0


@pytest.mark.parametrize("lifetime", ["1" + "0" * 400, "1e999", "-5", '"nan"'])
def test_a_token_of_an_impossible_lifetime_lasts_as_long_as_is_usual(lifetime: str) -> None:
    answer = httpx.Response(200, content=f'{{"access_token": "t", "expires_in": {lifetime}}}')
    assert read_token("vendor", answer, asked_for=(), asked_at=0.0).renew_at == DEFAULT_TOKEN_SECONDS * 0.9


def test_a_number_beyond_all_bounds_is_not_json() -> None:
    with pytest.raises(jsonio.NotJson):
        jsonio.loads(b"[1e99999999999999999999]")


def test_a_rank_of_a_billion_digits_is_not_written_out() -> None:
    began = time.monotonic()
    assert rank("1E+999999999") == LAST
    assert time.monotonic() - began < 1


def test_the_type_of_an_issue_is_one_of_fhirs() -> None:
    assert [issue_code({"code": code}) for code in ("throttled", "conflict", "Zzcanary", 7)] == [
        "throttled",
        "conflict",
        "invalid",
        "invalid",
    ]


@pytest.mark.parametrize("value", [Decimal("1E+999999999"), Decimal("-1E+999999999"), Decimal("1E-999999999"), 10**30])
def test_a_number_that_cannot_be_reckoned_with_is_a_finding_and_no_crash(value: Decimal | int) -> None:
    with pytest.raises(MappingError):
        Element({"value": value}, "Claim.item[0].quantity").number("value")


@pytest.mark.parametrize(
    "value", [Decimal("0"), Decimal("0E-999999999"), Decimal("0.001"), Decimal("-16.050000000000000711")]
)
def test_a_number_that_can_be_reckoned_with_stays_as_it_is(value: Decimal) -> None:
    assert Element({"value": value}, "Claim.item[0].net").number("value") is value


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_an_instant_beyond_the_calendar_is_none(text: str) -> None:
    body = jsonio.dumps({"resourceType": "Encounter", "id": "e1", "meta": {"lastUpdated": text}})
    [ref] = parse_notification(NotificationRequest("POST", "", {}, {}, body, "")).refs
    assert (ref.encounter_id, ref.last_updated) == ("e1", None)
    assert moment("12/31/9999 23:59:59") is None


@pytest.mark.parametrize(
    ("kind", "algorithm"), [(RSAKey.generate_key(2048), "RS384"), (ECKey.generate_key("P-384"), "ES384")]
)
def test_a_key_is_published_without_what_else_lies_in_its_jwk(kind: RSAKey | ECKey, algorithm: str) -> None:
    private = {**kind.as_dict(private=True), "k": "HIDDEN", "note": "HIDDEN", "x5c": ["HIDDEN"]}
    public = SigningKey.load(jsonio.dumps(private).decode(), algorithm).public_jwk()
    assert "HIDDEN" not in str(public)
    assert set(public) <= {"kty", "n", "e", "crv", "x", "y", "kid", "alg", "use", "key_ops"}


@pytest.mark.parametrize(
    ("pagination", "pages"),
    [
        ({"pages": 3}, 3),
        ({"pages": "3"}, 3),
        ({"pages": "many"}, 1),
        ({"pages": None}, 1),
        ([], 1),
        ("x", 1),
        (None, 1),
    ],
)
def test_a_number_of_pages_that_is_none_is_one(pagination: object, pages: int) -> None:
    assert pages_of({"pagination": pagination}) == pages
