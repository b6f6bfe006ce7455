"""Bad input: whatever an EHR answers, the visit is held with a reason or read again later, within bounded memory."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import fhirkit
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical import jsonio
from gateway.canonical.claim_builder import build_claim
from gateway.canonical.errors import (
    AdapterError,
    ClaimInvalid,
    ErrorCode,
    MappingError,
    Retry,
    UnexpectedResponse,
    VendorUnavailable,
)
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.canonical.validation import check_claim, check_encounter, check_source
from gateway.kit.contract_support import member_paths, simulator_running
from gateway.kit.ehr_signoff import SignOff, SignOffRule
from gateway.kit.ehr_source import Dialect

REF = EncounterRef("enc-1", "Encounter/enc-1")
FHIR = "application/fhir+json"
Spoil = Callable[[Request, bytes], Response]


class Server:
    """A FHIR server over the test encounter that spoils the answers at one path."""

    def __init__(self) -> None:
        self.url = ""
        self.resources: list[Resource] = []
        self.spoil: dict[str, Spoil] = {}
        self.sent = 0

    def answer(self, request: Request) -> Response:
        path = request.url.path.removeprefix("/fhir/")
        kind, _, identity = path.partition("/")
        held = [r for r in self.resources if r["resourceType"] == kind and identity in ("", r["id"])]
        body = bundle(held) if not identity else jsonio.dumps(held[0]) if held else b""
        spoil = self.spoil.get(path) or self.spoil.get("*")
        if spoil is not None:
            return spoil(request, body)
        return Response(body, 200 if body else 404, media_type=FHIR)

    def endless(self, chunk: bytes) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            while self.sent < 256 * 2**20:
                self.sent += len(chunk)
                yield chunk
                await asyncio.sleep(0)  # uvicorn's send does not wait once the client has gone

        return StreamingResponse(chunks(), media_type=FHIR)


def bundle(resources: list[Resource], following: str = "") -> bytes:
    links = [{"relation": "next", "url": following}] if following else []
    entries = [{"resource": resource} for resource in resources]
    return jsonio.dumps({"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries})


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    held = Server()
    with simulator_running(lambda _: Starlette(routes=[Route("/{rest:path}", held.answer)]), credentials={}) as url:
        held.url = url
        yield held


@pytest.fixture
def server(running: Server, resources: list[Resource]) -> Server:
    running.resources, running.spoil, running.sent = resources, {}, 0
    return running


@pytest.fixture
async def reader(server: Server, context: Any) -> Any:
    """An adapter that reads from the server, without tokens."""
    chosen = ADAPTER.settings(base_url=f"{server.url}/fhir", client_authentication="none", max_response_mb=1)
    adapter = ADAPTER.open(chosen, context)
    yield adapter
    await adapter.aclose()


def saying(body: bytes, status: int = 200, media: str = FHIR, **headers: str) -> Spoil:
    return lambda request, good: Response(body, status, {k.replace("_", "-"): v for k, v in headers.items()}, media)


BROKEN: dict[str, tuple[Spoil, type[AdapterError]]] = {
    "truncated": (lambda request, good: Response(good[: len(good) // 2], media_type=FHIR), VendorUnavailable),
    "a login page": (saying(b"<!doctype html><title>Sign in</title>", media="text/html"), VendorUnavailable),
    "nothing": (saying(b""), VendorUnavailable),
    "not gzip, as it says": (saying(b"plain", content_encoding="gzip"), VendorUnavailable),
    "not UTF-8": (saying(b'{"resourceType":"\xff"}'), VendorUnavailable),
    "nested without end": (saying(b'{"x":' * 5000), VendorUnavailable),
    "a list": (saying(b"[]"), UnexpectedResponse),
    "a number": (saying(b"7"), UnexpectedResponse),
    "no type": (saying(b'{"id":"enc-1"}'), UnexpectedResponse),
    "a type that is no text": (saying(b'{"resourceType":7}'), UnexpectedResponse),
    "entries that are no list": (saying(b'{"resourceType":"Bundle","entry":{}}'), UnexpectedResponse),
    "an entry that is text": (saying(b'{"resourceType":"Bundle","entry":["x"]}'), UnexpectedResponse),
    "an entry without a resource": (saying(b'{"resourceType":"Bundle","entry":[{}]}'), UnexpectedResponse),
    "another resource": (saying(b'{"resourceType":"Basic","id":"x"}'), UnexpectedResponse),
    "a redirect": (saying(b"", 302, location="https://login.example.test/"), UnexpectedResponse),
    "an unknown status": (saying(b"", 299), UnexpectedResponse),
}


@pytest.mark.parametrize("path", ["Encounter", "Condition", "Coverage"])
@pytest.mark.parametrize("name", list(BROKEN))
async def test_a_broken_answer_is_a_hold_or_a_bounded_retry(server: Server, reader: Any, path: str, name: str) -> None:
    server.spoil[path], failure = BROKEN[name]
    with pytest.raises(failure) as raised:
        await reader.fetch_encounter(REF)
    assert raised.value.retry in (Retry.BACKOFF, Retry.NEVER)
    assert "Testperson" not in str(raised.value)


class TestBounds:
    async def test_an_answer_without_end_is_cut_off(self, server: Server, reader: Any) -> None:
        server.spoil["Condition"] = lambda request, good: server.endless(b" " * 65536)
        with pytest.raises(UnexpectedResponse, match="max_response_mb"):
            await reader.fetch_encounter(REF)
        assert server.sent < 64 * 2**20  # what fits into the sockets' buffers, and no more

    async def test_a_small_answer_that_unpacks_to_a_large_one_is_cut_off(self, server: Server, reader: Any) -> None:
        packed = gzip.compress(b" " * (32 * 2**20))
        assert len(packed) < 2**16
        server.spoil["Condition"] = saying(packed, content_encoding="gzip")
        with pytest.raises(UnexpectedResponse, match="max_response_mb"):
            await reader.fetch_encounter(REF)

    async def test_a_page_of_ten_thousand_entries_is_no_encounters(self, server: Server, reader: Any) -> None:
        many = [{"resourceType": "Condition", "id": f"c{n}"} for n in range(10_000)]
        server.spoil["Condition"] = saying(bundle(many))
        with pytest.raises(UnexpectedResponse, match="too many results"):
            await reader.fetch_encounter(REF)

    async def test_a_poll_takes_a_page_of_ten_thousand_encounters(
        self, server: Server, context: Any, reader: Any
    ) -> None:
        meta = {"lastUpdated": "2026-03-04T03:10:00Z", "versionId": "1"}
        one = {"resourceType": "Encounter", "status": "finished", "meta": meta}
        server.spoil["Encounter"] = saying(bundle([{**one, "id": f"e{n}"} for n in range(10_000)]))
        wide = ADAPTER.open(reader.settings.model_copy(update={"max_response_mb": 4, "feed": "last_updated"}), context)
        try:
            found = [ref async for ref, _ in wide.changed_encounters("2026-03-01T00:00:00+00:00")]
        finally:
            await wide.aclose()
        assert len({ref.encounter_id for ref in found}) == 10_000

    async def test_paging_links_that_lead_back_end(self, server: Server, reader: Any) -> None:
        url = f"{server.url}/fhir/Condition"
        server.spoil["Condition"] = lambda request, good: Response(
            bundle([], f"{url}?page={2 if request.query_params.get('page') == '1' else 1}"), media_type=FHIR
        )
        with pytest.raises(UnexpectedResponse, match="circle"):
            await reader.fetch_encounter(REF)

    async def test_paging_links_that_never_end_do(self, server: Server, reader: Any) -> None:
        def more(request: Request, good: bytes) -> Response:
            page = int(request.query_params.get("page", "0")) + 1
            return Response(bundle([], f"{server.url}/fhir/Condition?page={page}"), media_type=FHIR)

        server.spoil["Condition"] = more
        with pytest.raises(UnexpectedResponse, match="too many results"):
            await reader.fetch_encounter(REF)


Change = Callable[[dict[str, Resource]], Any]
CONTENT: dict[str, tuple[Change, str]] = {
    "an unknown code system": (
        lambda by: by["Condition/con-1"].update(code={"coding": [{"system": "urn:own", "code": "X1"}]}),
        "Condition",
    ),
    "an unknown procedure code": (
        lambda by: by["Claim/claim-1"]["item"][0].update(productOrService={"coding": [{"code": "VISIT"}]}),
        "Claim[0].item[0].productOrService",
    ),
    "a code that is no code": (
        lambda by: by["Condition/con-1"]["code"]["coding"][1].update(code="diabetes"),
        "Condition",
    ),
    "a patient that is not there": (
        lambda by: by["Encounter/enc-1"].update(subject={"reference": "Patient/nobody"}),
        "Encounter.subject",
    ),
    "a diagnosis that is not there": (
        lambda by: by["Encounter/enc-1"]["diagnosis"][0].update(condition={"reference": "Condition/none"}),
        "Encounter.diagnosis[0].condition",
    ),
    "a time without a zone": (
        lambda by: by["Encounter/enc-1"].update(period={"start": "2026-03-04T02:30:00"}),
        "Encounter.period.start",
    ),
    "a date that is none": (
        lambda by: by["Encounter/enc-1"].update(period={"start": "03/04/2026"}),
        "Encounter.period.start",
    ),
    "empty texts": (lambda by: by["Patient/pat-1"].update(birthDate="", name=[{"family": ""}]), "Patient"),
    "text for an object": (lambda by: by["Encounter/enc-1"].update(period="yesterday"), "Encounter.period"),
    "an object for a list": (
        lambda by: by["Encounter/enc-1"].update(diagnosis={"condition": {"reference": "Condition/con-1"}}),
        "Encounter.diagnosis",
    ),
    "a number for text": (lambda by: by["Patient/pat-1"].update(birthDate=19840229), "Patient.birthDate"),
    "units without end": (
        lambda by: by["Claim/claim-1"]["item"][1].update(quantity={"value": Decimal("1E+900")}),
        "Claim[0].item[1].quantity.value",
    ),
    "a control character": (
        lambda by: by["Patient/pat-1"]["name"][0].update(family="Test\x00person"),
        "Patient.name[0].family",
    ),
    "a nesting without sense": (lambda by: by["Patient/pat-1"].update(contact=[nested(400)]), "Patient.contact"),
}


def nested(levels: int) -> dict[str, Any]:
    held: dict[str, Any] = {"name": "x"}
    for _ in range(levels):
        held = {"contact": [held]}
    return held


@pytest.mark.parametrize("name", list(CONTENT))
async def test_content_that_cannot_be_billed_is_named(server: Server, reader: Any, name: str) -> None:
    change, expression = CONTENT[name]
    change({f"{r['resourceType']}/{r['id']}": r for r in server.resources})
    record = await reader.fetch_encounter(REF)
    with pytest.raises(MappingError) as raised:
        reader.normalize(record)
    finding = raised.value.findings[0]
    assert finding.expression.startswith(expression)
    assert finding.message and finding.fix
    assert "Test" not in str(raised.value)


JUNK: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, "", " ", "\x00", "x" * 70_000, 0, -1, 10**400, True, Decimal("1E+900"), [], {}, [None], [[]]]
    ),
    st.sampled_from(["2026-13-40", "2026-03-04T02:30:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]),
    st.sampled_from(
        [{"reference": "#"}, {"reference": "Patient/pat-1"}, {"reference": 7}, {"coding": "x"}, nested(150)]
    ),
    st.text(max_size=8),
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists, max_leaves=4),
)
GATES = [Dialect(signoff=SignOffRule(by, url="urn:x")) for by in SignOff]


def proofs() -> list[Resource]:
    """What the gates look at, each as it would be when the visit is signed."""
    visit = {"reference": "Encounter/enc-1"}
    document = {"status": "current", "docStatus": "final", "context": {"encounter": [visit]}}
    signature = {"type": [{"code": "1.2.840.10065.1.12.1.1"}], "when": "2026-03-04T03:10:00Z"}
    return [
        {"resourceType": "DocumentReference", "id": "doc-1", **document},
        {"resourceType": "Composition", "id": "comp-1", "status": "final", "encounter": visit},
        {"resourceType": "Provenance", "id": "prov-1", "target": [visit], "signature": [signature]},
    ]


@given(data=st.data(), dialect=st.sampled_from(GATES))
@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_good_record_spoiled_anywhere_is_refused_with_its_element_or_still_good(
    offline: Any, clinic: Any, resources: list[Resource], data: st.DataObject, dialect: Dialect
) -> None:
    marked = [{"url": "urn:x", "valueBoolean": True}]
    first = {**resources[0], "extension": marked, "meta": {"tag": [{"system": "urn:x", "code": "signed"}]}}
    everything: Any = copy.deepcopy([first, *resources[1:], *proofs()])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(member_paths(everything)))
        holder = everything
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = copy.deepcopy(data.draw(JUNK))
    offline.dialect = dialect
    encounter = everything[0] if isinstance(everything[0], dict) else {}
    record = EncounterRecord(REF, "https://ehr.example.test/fhir", encounter, tuple(everything[1:]))
    check_source([record.encounter, *record.resources])
    try:
        encounter_bundle = offline.normalize(record)
        claim = build_claim(encounter_bundle, clinic, created="2026-03-05T12:00:00+00:00", generation=1)
    except (MappingError, ClaimInvalid) as problem:
        assert all(finding.expression and finding.message for finding in problem.findings)
        assert "Testperson" not in str(problem)
    else:
        check_encounter(encounter_bundle)
        check_claim(claim)
        held = (encounter_bundle.encounter, *encounter_bundle.resources)
        assert [i.path for r in held for i in fhirkit.validate(jsonio.dumps(r)) if i.severity == "error"] == []


@given(at=st.floats(0, 1), put=st.binary(max_size=6), cut=st.integers(0, 40), path=st.sampled_from(["*", "Encounter"]))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_bytes_spoiled_on_the_way_are_refused_or_still_good(
    server: Server, reader: Any, at: float, put: bytes, cut: int, path: str
) -> None:
    def damaged(request: Request, good: bytes) -> Response:
        place = int(at * len(good))
        return Response(good[:place] + put + good[place + cut :], 200 if good else 404, media_type=FHIR)

    server.spoil = {path: damaged}
    try:
        reader.normalize(await reader.fetch_encounter(REF))
    except (AdapterError, MappingError) as problem:
        assert problem.findings
        assert getattr(problem, "code", ErrorCode.OTHER) is not ErrorCode.CREDENTIALS


def test_the_good_record_is_good_for_every_gate(offline: Any, resources: list[Resource]) -> None:
    """The mutations above begin with something that passes."""
    marked = [{"url": "urn:x", "valueBoolean": True}]
    first = {**resources[0], "extension": marked, "meta": {"tag": [{"system": "urn:x", "code": "signed"}]}}
    for offline.dialect in GATES:
        record = EncounterRecord(REF, "https://ehr.example.test/fhir", first, (*resources[1:], *proofs()))
        assert offline.normalize(record).charges
    assert json.loads(bundle([]))["entry"] == []
