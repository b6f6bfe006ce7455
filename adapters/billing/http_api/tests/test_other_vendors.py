"""Two vendors that have nothing in common with the example: XML under a signature, and a form under a key."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
from lxml import etree

from adapters.billing.http_api.adapter import HttpApi
from adapters.billing.http_api.settings import HttpApiSettings
from adapters.billing.http_api.tests.other_vendors import formly, northbill
from gateway.canonical.errors import ClaimRejected, CredentialsRejected, MappingError, UnsupportedElement
from gateway.canonical.models import SubmissionState
from gateway.kit.contract_support import contract_context, simulator_running
from gateway.kit.samples import SAMPLES, sample

HERE = pathlib.Path(__file__).parent / "descriptions"


@pytest.fixture(scope="module")
def northbill_url() -> Iterator[str]:
    with simulator_running(northbill, credentials={"signing_key": "sk"}) as url:
        yield f"{url}/nb"


@pytest.fixture(scope="module")
def formly_url() -> Iterator[str]:
    with simulator_running(formly, credentials={"api_key": "k9"}) as url:
        yield url


async def _opened(url: str, name: str, **secrets: str) -> AsyncIterator[HttpApi]:
    settings = {"base_url": url, "description": (HERE / f"{name}.yaml").read_text(), "timeout_seconds": 2, **secrets}
    adapter = HttpApi(HttpApiSettings.model_validate(settings), contract_context())
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def north(northbill_url: str) -> AsyncIterator[HttpApi]:
    async for adapter in _opened(northbill_url, "northbill", key_id="k-1", signing_key="sk"):
        yield adapter


@pytest.fixture
async def form(formly_url: str) -> AsyncIterator[HttpApi]:
    async for adapter in _opened(formly_url, "formly", api_key="k9"):
        yield adapter


async def test_xml_under_a_signature(north: HttpApi) -> None:
    payload = north.build(sample("child_of_subscriber"), "GW1")
    assert payload.fields["path"] == "/claims.asmx?account=GSAMPLE000301"
    claim = etree.fromstring(payload.body)
    assert (claim.get("ref"), claim.get("kind"), claim.findtext("Cents")) == ("GW1", "NEW", "12000")
    assert claim.findtext("Patient/Name") == "Tannenbaum^Milo"
    assert claim.find("Dates").get("from") == "03/03/2026"
    assert [dx.get("p") for dx in claim.iterfind("Line/Dx")] == ["1"]
    receipt = await north.submit(payload)
    assert receipt.state is SubmissionState.ACCEPTED
    assert receipt.vendor_ids == {"number": "N1", "batch": "B7"}
    found = await north.find_submission("GW1", payload)
    assert found is not None
    assert found.vendor_ids == {"number": "N1"}
    assert await north.find_submission("GW2", payload) is None
    assert all(line.ok for line in await north.probe())


async def test_an_error_in_xml_names_the_element(north: HttpApi) -> None:
    with pytest.raises(ClaimRejected) as refusal:
        await north.submit(north.build(sample("office_visit"), "GW3"))
    (finding,) = refusal.value.findings
    assert (finding.edit, finding.expression) == ("northbill-E-11", "Claim.item[1].productOrService.coding.code")


async def test_a_replacement_has_its_own_request(north: HttpApi) -> None:
    receipt = await north.submit(north.build(sample("child_of_subscriber"), "GW4"))
    payload = north.build(sample("replacement"), "GW5", receipt)
    assert (payload.fields["method"], payload.fields["path"]) == (
        "PUT",
        f"/claims.asmx?number={receipt.vendor_ids['number']}",
    )
    with pytest.raises(MappingError):
        north.build(sample("replacement"), "GW5", replace(receipt, vendor_ids={"batch": "B7"}))


async def test_a_wrong_signing_key(northbill_url: str) -> None:
    async for adapter in _opened(northbill_url, "northbill", key_id="k-1", signing_key="other"):
        with pytest.raises(CredentialsRejected):
            await adapter.submit(adapter.build(sample("child_of_subscriber"), "GW6"))


HELD = {
    "two_payers": "Claim.insurance[1]",
    "period_with_line_note": "Claim.supportingInfo[0]",
    "twelve_diagnoses": "Claim.diagnosis[3]",
    "injected_drug": "Claim.item[1].detail",
    "auto_accident": "Claim.supportingInfo[0]",
    "referred_and_authorized": "Claim.referral",
    "inpatient_two_renderers": "Claim.supportingInfo[0]",
}


@pytest.mark.parametrize("name", SAMPLES)
async def test_what_northbill_cannot_carry_is_held(north: HttpApi, name: str) -> None:
    claim = sample(name)
    if name in HELD:
        with pytest.raises(UnsupportedElement) as refusal:
            north.build(claim, "GW1")
        assert refusal.value.findings[0].expression == HELD[name]
    elif name != "replacement":
        etree.fromstring(north.build(claim, "GW1").body)


async def test_a_form_under_a_key(form: HttpApi) -> None:
    payload = form.build(sample("office_visit"), "GW1")
    assert payload.content_type == "application/x-www-form-urlencoded"
    assert b"line%5B0%5D%5Bptr%5D=1%2C2" in payload.body
    assert form.repeatable_seconds == 1800
    first = await form.submit(payload)
    assert (first.state, first.vendor_ids) == (SubmissionState.RECEIVED, {"ticket": "1"})
    assert (await form.submit(payload)).vendor_ids == first.vendor_ids


async def test_an_error_under_http_200(form: HttpApi) -> None:
    with pytest.raises(ClaimRejected) as refusal:
        await form.submit(form.build(sample("twelve_diagnoses"), "GW2"))
    (finding,) = refusal.value.findings
    assert (finding.edit, finding.expression) == ("formly-12", "Claim.item[1].productOrService.coding.code")
