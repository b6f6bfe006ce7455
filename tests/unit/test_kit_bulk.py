"""The Bulk Data client over real HTTP against a scripted server: who gets the token, what waits, what goes on.

The rows `bulk_data_client_*` of the Inferno client kit (shared standards smart_backend_services section 10) are the
tests of those names.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from gateway.canonical import jsonio
from gateway.canonical.clinic import BillingProvider, ClinicFacts
from gateway.canonical.errors import (
    AdapterError,
    ErrorCode,
    PermissionMissing,
    RateLimited,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.kit.authorized_http import AuthorizedHttp
from gateway.kit.contract_support import LocalLock, LocalValues, NoPacer, simulator_running
from gateway.kit.ehr_bulk import ABANDONED_AFTER, BulkExporter, Export, Manifest
from gateway.kit.ehr_bulk_rung import BulkRung
from gateway.kit.ehr_client import FhirClient
from gateway.kit.ehr_lines import lines
from gateway.kit.ehr_rung import Site
from gateway.kit.ehr_settings import SmartSettings
from gateway.kit.http import open_client
from gateway.ports.context import AdapterContext

EXPORT = Export("test", ("Encounter", "Claim"), datetime(2026, 3, 1, tzinfo=UTC))
LINE = b'{"resourceType":"Encounter","id":"e1"}\n'


def visit(number: int) -> bytes:
    """A signed Encounter as a line, newest first."""
    at = f"2026-03-02T10:{59 - number // 60 % 60:02}:{59 - number % 60:02}Z"
    meta = {"versionId": "1", "lastUpdated": at}
    return (
        jsonio.dumps(
            {
                "resourceType": "Encounter",
                "id": f"e{number}",
                "meta": meta,
                "status": "finished",
                "period": {"start": at},
            }
        )
        + b"\n"
    )


class Token:
    """One token for all."""

    async def token(self, *, refused: str | None = None) -> str:
        return "T"

    async def aclose(self) -> None: ...


@dataclass
class Ehr:
    """A server that answers as told, and remembers (method, path, authorization) of each request."""

    url: str = ""
    statuses: list[Response] = field(default_factory=list)
    kick_offs: list[Response] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Callable[[], Response]] = field(default_factory=dict)
    seen: list[tuple[str, str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def answer(request: Request) -> Response:
            path = request.url.path
            self.seen.append((request.method, path, request.headers.get("authorization", "")))
            if path.endswith("$export"):
                self.bodies.append(await request.body())
                self.queries.append(dict(request.query_params))
                started = Response(status_code=202, headers={"content-location": f"{self.url}/fhir/status/1"})
                return self.kick_offs.pop(0) if self.kick_offs else started
            if path == "/fhir/status/1":
                if request.method == "DELETE":
                    return Response(status_code=202)
                return self.statuses.pop(0) if self.statuses else JSONResponse(self.manifest)
            return self.files[path]()

        return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST", "DELETE"])])

    def offer(self, url: str, *, token: bool = True, errors: tuple[str, ...] = ()) -> None:
        self.manifest = {
            "transactionTime": "2026-03-04T02:00:00Z",
            "request": f"{self.url}/fhir/Patient/$export",
            "requiresAccessToken": token,
            "output": [{"type": "Encounter", "url": url}],
            "error": [{"type": "OperationOutcome", "url": error} for error in errors],
        }

    def requests(self, method: str, ending: str) -> list[str]:
        return [authorization for m, path, authorization in self.seen if m == method and path.endswith(ending)]


@pytest.fixture
def start() -> Iterator[Callable[[], Ehr]]:
    """Starts scripted servers, each at an origin of its own."""
    with ExitStack() as running:

        def started() -> Ehr:
            ehr = Ehr()
            ehr.url = running.enter_context(simulator_running(lambda _: ehr.app(), credentials={}))
            ehr.files["/fhir/file/1"] = lambda: Response(LINE, media_type="application/fhir+ndjson")
            ehr.offer(f"{ehr.url}/fhir/file/1")
            return ehr

        yield started


@pytest.fixture
def ehr(start: Callable[[], Ehr]) -> Ehr:
    return start()


class Clock:
    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime(2026, 3, 4, 12, tzinfo=UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def values() -> LocalValues:
    return LocalValues()


@pytest.fixture
async def connect(ehr: Ehr, values: LocalValues, clock: Clock) -> AsyncIterator[Callable[..., BulkExporter]]:
    """Opens exporters that share what workers share: each is a process of its own."""
    opened = []

    def exporter(**more: Any) -> BulkExporter:
        clinic = ClinicFacts("demo", "Sample", ZoneInfo("UTC"), BillingProvider("Sample", "1245319599", "1"))
        context = AdapterContext(clinic, "ehr", NoPacer(), LocalLock(), values, now=clock)
        http = open_client()
        opened.append(http)
        client = FhirClient(base_url=f"{ehr.url}/fhir", http=AuthorizedHttp(vendor="test", http=http, tokens=Token()))
        return BulkExporter(client, context, max_line=more.pop("max_line", 1 << 20), **more)

    yield exporter
    for http in opened:
        await http.aclose()


async def read(exporter: BulkExporter, manifest: Manifest) -> list[str]:
    return [resource["id"] async for _, resource in exporter.resources(manifest, "Encounter")]


async def test_bulk_data_client_requests_are_seen_with_the_token(ehr: Ehr, connect: Any) -> None:
    """Kick-off, status, output and delete (bulk_data_client_*)."""
    exporter = connect()
    ehr.statuses = [Response(status_code=202, headers={"retry-after": "0"})]
    with pytest.raises(RateLimited):
        await exporter.manifest(EXPORT)
    manifest = await exporter.manifest(EXPORT)
    assert await read(exporter, manifest) == ["e1"]
    await exporter.finish(EXPORT, manifest)
    assert ehr.seen == [
        ("GET", "/fhir/Patient/$export", "Bearer T"),
        ("GET", "/fhir/status/1", "Bearer T"),
        ("GET", "/fhir/status/1", "Bearer T"),
        ("GET", "/fhir/file/1", "Bearer T"),
        ("DELETE", "/fhir/status/1", "Bearer T"),
    ]


async def test_bulk_data_client_kick_off_names_types_and_since(ehr: Ehr, connect: Any) -> None:
    await connect().manifest(EXPORT)
    assert ehr.queries == [{"_type": "Encounter,Claim", "_since": "2026-03-01T00:00:00.000+00:00"}]


async def test_a_server_that_takes_kick_offs_by_post_gets_parameters(ehr: Ehr, connect: Any) -> None:
    await connect(by_post=True, group="g1").manifest(EXPORT)
    assert ehr.seen[0][:2] == ("POST", "/fhir/Group/g1/$export")
    assert jsonio.loads(ehr.bodies[0])["parameter"] == [
        {"name": "_type", "valueString": "Encounter,Claim"},
        {"name": "_since", "valueInstant": "2026-03-01T00:00:00.000+00:00"},
    ]


class TestWaiting:
    async def test_the_server_is_not_asked_before_the_time_that_it_named(
        self, ehr: Ehr, connect: Any, clock: Clock
    ) -> None:
        ehr.statuses = [Response(status_code=202, headers={"retry-after": "120"})]
        with pytest.raises(RateLimited) as waits:
            await connect().manifest(EXPORT)
        assert waits.value.retry_after == 120
        clock.ahead = timedelta(seconds=100)
        with pytest.raises(RateLimited) as waits:
            await connect().manifest(EXPORT)
        assert waits.value.retry_after == 20
        assert len(ehr.requests("GET", "/status/1")) == 1
        clock.ahead = timedelta(seconds=121)
        assert (await connect().manifest(EXPORT)).files

    async def test_asked_too_early_it_says_when(self, ehr: Ehr, connect: Any) -> None:
        ehr.statuses = [Response(status_code=429, headers={"retry-after": "7"})]
        with pytest.raises(RateLimited) as waits:
            await connect().manifest(EXPORT)
        assert waits.value.retry_after == 7
        with pytest.raises(RateLimited):
            await connect().manifest(EXPORT)
        assert len(ehr.requests("GET", "/status/1")) == 1

    async def test_a_running_export_is_gone_on_with_after_a_restart(self, ehr: Ehr, connect: Any) -> None:
        ehr.statuses = [Response(status_code=202, headers={"retry-after": "0"}) for _ in range(3)]
        for _ in range(3):
            with pytest.raises(RateLimited):
                await connect().manifest(EXPORT)
        assert (await connect().manifest(EXPORT)).files
        assert len(ehr.requests("GET", "$export")) == 1

    async def test_another_purpose_waits_for_it_and_takes_an_abandoned_ones_place(
        self, ehr: Ehr, connect: Any, clock: Clock
    ) -> None:
        await connect().manifest(EXPORT)
        other = Export("other", ("Encounter",))
        with pytest.raises(RateLimited, match="another export"):
            await connect().manifest(other)
        clock.ahead = ABANDONED_AFTER
        await connect().manifest(other)
        assert len(ehr.requests("DELETE", "/status/1")) == 1
        assert len(ehr.requests("GET", "$export")) == 2

    async def test_two_workers_at_once_begin_one(self, ehr: Ehr, connect: Any) -> None:
        exporter = connect()
        await asyncio.gather(*(exporter.manifest(EXPORT) for _ in range(5)))
        assert len(ehr.requests("GET", "$export")) == 1

    @pytest.mark.parametrize("status", [404, 410, 500])
    async def test_an_export_that_the_server_has_given_up_is_begun_anew(
        self, ehr: Ehr, connect: Any, status: int
    ) -> None:
        issue = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}
        ehr.statuses = [JSONResponse(issue, status_code=status)]
        with pytest.raises(VendorUnavailable):
            await connect().manifest(EXPORT)
        assert (await connect().manifest(EXPORT)).files
        assert len(ehr.requests("GET", "$export")) == 2

    @pytest.mark.parametrize("body", [b"", b'{"resourceType":"OperationOutcome","issue":[{"code":"transient"}]}'])
    async def test_a_question_that_fails_is_asked_again(self, ehr: Ehr, connect: Any, body: bytes) -> None:
        ehr.statuses = [Response(body, status_code=500)]
        with pytest.raises(VendorUnavailable):
            await connect().manifest(EXPORT)
        assert (await connect().manifest(EXPORT)).files
        assert len(ehr.requests("GET", "$export")) == 1


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 404, 405, 501])
    async def test_a_type_that_is_refused_is_left_out(self, ehr: Ehr, connect: Any, status: int) -> None:
        ehr.kick_offs = [Response(status_code=status)]
        await connect().manifest(EXPORT)
        assert [query["_type"] for query in ehr.queries] == ["Encounter,Claim", "Encounter"]

    @pytest.mark.parametrize(
        ("status", "failure"), [(404, UnexpectedResponse), (403, PermissionMissing), (429, RateLimited)]
    )
    async def test_an_export_that_is_refused_says_so(
        self, ehr: Ehr, connect: Any, status: int, failure: type[AdapterError]
    ) -> None:
        ehr.kick_offs = [Response(status_code=status), Response(status_code=status)]
        with pytest.raises(failure) as raised:
            await connect().manifest(EXPORT)
        assert raised.value.code is (ErrorCode.UNSUPPORTED if status == 404 else failure.default_code)

    @pytest.mark.parametrize("location", ["", "https://elsewhere.example.test/status/1"])
    async def test_a_status_address_elsewhere_is_never_asked(self, ehr: Ehr, connect: Any, location: str) -> None:
        ehr.kick_offs = [Response(status_code=202, headers={"content-location": location} if location else {})]
        with pytest.raises(UnexpectedResponse):
            await connect().manifest(EXPORT)
        assert len(ehr.seen) == 1

    @pytest.mark.parametrize(
        "manifest",
        [{}, [], {"transactionTime": "x"}, {"transactionTime": "2026-03-04T02:00:00Z", "output": [{"type": "x"}]}],
    )
    async def test_what_is_no_manifest_is_a_passing_fault(self, ehr: Ehr, connect: Any, manifest: Any) -> None:
        ehr.statuses = [JSONResponse(manifest)]
        with pytest.raises(VendorUnavailable):
            await connect().manifest(EXPORT)
        assert (await connect().manifest(EXPORT)).files


class TestFiles:
    async def test_the_token_goes_to_the_servers_own_files_only(self, ehr: Ehr, start: Any, connect: Any) -> None:
        elsewhere = start()
        ehr.offer(f"{elsewhere.url}/fhir/file/1".replace("127.0.0.1", "localhost"), token=True)
        exporter = connect()
        with pytest.raises(UnexpectedResponse, match="another site"):
            await read(exporter, await exporter.manifest(EXPORT))
        assert elsewhere.seen == []

    async def test_without_need_no_token_goes_anywhere(self, ehr: Ehr, start: Any, connect: Any) -> None:
        elsewhere = start()
        ehr.offer(f"{elsewhere.url}/fhir/file/1", token=False)
        exporter = connect()
        assert await read(exporter, await exporter.manifest(EXPORT)) == ["e1"]
        assert elsewhere.seen == [("GET", "/fhir/file/1", "")]

    async def test_a_redirect_to_a_storage_is_followed_without_the_token(
        self, ehr: Ehr, start: Any, connect: Any
    ) -> None:
        storage = start()
        ehr.files["/fhir/file/1"] = lambda: RedirectResponse(f"{storage.url}/fhir/file/1")
        exporter = connect()
        assert await read(exporter, await exporter.manifest(EXPORT)) == ["e1"]
        assert storage.seen == [("GET", "/fhir/file/1", "")]

    async def test_redirects_end(self, ehr: Ehr, connect: Any) -> None:
        ehr.files["/fhir/file/1"] = lambda: RedirectResponse("/fhir/file/1")
        exporter = connect()
        with pytest.raises(UnexpectedResponse, match="without end"):
            await read(exporter, await exporter.manifest(EXPORT))

    async def test_a_file_not_behind_https_is_not_read(self, ehr: Ehr, connect: Any) -> None:
        ehr.offer("http://files.example.test/1", token=False)
        exporter = connect()
        with pytest.raises(UnexpectedResponse, match="https"):
            await read(exporter, await exporter.manifest(EXPORT))

    @pytest.mark.parametrize("status", [404, 410, 500])
    async def test_a_file_that_is_gone_is_a_passing_fault(self, ehr: Ehr, connect: Any, status: int) -> None:
        ehr.files["/fhir/file/1"] = lambda: Response(status_code=status)
        exporter = connect()
        with pytest.raises(VendorUnavailable):
            await read(exporter, await exporter.manifest(EXPORT))

    @pytest.mark.parametrize(
        ("content", "failure"),
        [
            (LINE + b'{"resourceType":"Enc', VendorUnavailable),
            (b"[]\n", UnexpectedResponse),
            (b"{}", UnexpectedResponse),
        ],
    )
    async def test_a_broken_line_ends_the_reading(
        self, ehr: Ehr, connect: Any, content: bytes, failure: type[AdapterError]
    ) -> None:
        ehr.files["/fhir/file/1"] = lambda: Response(content)
        exporter = connect()
        with pytest.raises(failure):
            await read(exporter, await exporter.manifest(EXPORT))

    async def test_reading_may_begin_at_a_place(self, ehr: Ehr, connect: Any) -> None:
        content = b"".join(b'{"resourceType":"Encounter","id":"e%d"}\n' % n for n in range(5))
        ehr.files["/fhir/file/1"] = lambda: Response(content)
        exporter = connect()
        manifest = await exporter.manifest(EXPORT)
        found = [(place, r["id"]) async for place, r in exporter.resources(manifest, "Encounter", start=(0, 3))]
        assert found == [((0, 3), "e3"), ((0, 4), "e4")]

    @pytest.mark.parametrize(
        ("severity", "code", "incomplete"),
        [
            ("error", "exception", True),
            ("fatal", "processing", True),
            ("error", "not-supported", False),
            ("warning", "exception", False),
        ],
    )
    async def test_the_error_file_says_whether_something_is_missing(
        self, ehr: Ehr, connect: Any, severity: str, code: str, incomplete: bool
    ) -> None:
        outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code}]}
        ehr.files["/fhir/errors"] = lambda: Response(jsonio.dumps(outcome) + b"\n")
        ehr.offer(f"{ehr.url}/fhir/file/1", errors=(f"{ehr.url}/fhir/errors",))
        exporter = connect()
        assert await exporter.incomplete(await exporter.manifest(EXPORT)) is incomplete


class TestMemory:
    @pytest.mark.slow
    async def test_two_hundred_thousand_lines_are_never_held_together(self, ehr: Ehr, connect: Any) -> None:
        count, many = 200_000, 1000
        block = LINE.replace(b"}", b',"note":"%s"}' % (b"x" * 160)) * many  # 200 kB

        async def content() -> AsyncIterator[bytes]:
            for _ in range(count // many):
                yield block

        ehr.files["/fhir/file/1"] = lambda: StreamingResponse(content())
        exporter = connect()
        manifest = await exporter.manifest(EXPORT)
        found = 0
        tracemalloc.start()
        async for _ in exporter.resources(manifest, "Encounter"):
            found += 1
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert found == count
        assert peak < 8_000_000, "of 40 MB"

    @pytest.mark.slow
    async def test_a_listing_of_thirty_thousand_visits_holds_one_run_of_them(
        self, ehr: Ehr, connect: Any, values: LocalValues
    ) -> None:
        count, many = 30_000, 1000

        async def content() -> AsyncIterator[bytes]:
            for start in range(0, count, many):
                yield b"".join(visit(number) for number in range(start, start + many))

        ehr.files["/fhir/file/1"] = lambda: StreamingResponse(content())
        exporter = connect()
        settings = SmartSettings(base_url=f"{ehr.url}/fhir", client_id="c", private_key="k")
        site = Site(exporter._client, settings, exporter._context, exporter, {})
        tracemalloc.start()
        found, last = 0, ""
        async for _, position in BulkRung(site).listed(date(2026, 3, 1), ""):
            found, last = found + 1, position
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (found, last.split()[1:]) == (count, ["0", str(count)])
        assert peak < 8_000_000, "of 30000 pointers"
        assert ehr.requests("DELETE", "/status/1"), "deleted at the end"

    async def test_a_line_without_end_is_cut(self, ehr: Ehr, connect: Any) -> None:
        ehr.files["/fhir/file/1"] = lambda: Response(b'{"resourceType":"' + b"x" * 200_000)
        exporter = connect(max_line=50_000)
        with pytest.raises(UnexpectedResponse, match="longer"):
            await read(exporter, await exporter.manifest(EXPORT))


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\r", b"x")), max_size=12), st.data())
def test_lines_are_the_same_however_they_are_cut_into_chunks(texts: list[bytes], data: st.DataObject) -> None:
    content = b"\n".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    chunks = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def collected() -> list[tuple[int, bytes]]:
        return [pair async for pair in lines(stream(), 1000, "test")]

    expected = [(n, line) for n, line in enumerate(content.split(b"\n")) if line.strip()]
    assert asyncio.run(collected()) == expected
