"""The sign-off gate: what counts as a signature, what does not, and what the biller is told."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from adapters.ehr.smart_fhir import ADAPTER
from gateway.canonical.errors import ErrorCode, MappingError, NotSignedOff, Retry, UnexpectedResponse
from gateway.canonical.models import EncounterRecord, EncounterRef, Resource
from gateway.kit.contract_support import Simulator
from gateway.kit.ehr_gate import search_for
from gateway.kit.ehr_signoff import DEFAULT_VALUES, SignOff, SignOffRule

REF = EncounterRef("enc-1", "Encounter/enc-1")
VISIT = {"reference": "Encounter/enc-1"}
OTHER_VISIT = {"reference": "Encounter/enc-2"}
ASTM = "urn:iso-astm:E1762-95:2013"
FLAG = "https://ehr.example.test/signed"


def note(**more: Any) -> Resource:
    held = {"status": "current", "docStatus": "final", "context": {"encounter": [VISIT]}}
    return {"resourceType": "DocumentReference", "id": "doc-1", **held, **more}


def composition(**more: Any) -> Resource:
    return {"resourceType": "Composition", "id": "comp-1", "status": "final", "encounter": VISIT, **more}


def provenance(code: str = "1.2.840.10065.1.12.1.1", **more: Any) -> Resource:
    signature = {"type": [{"system": ASTM, "code": code}], "when": "2026-03-04T03:10:00Z"}
    return {"resourceType": "Provenance", "id": "prov-1", "target": [VISIT], "signature": [signature], **more}


def kind(code: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": "http://loinc.org", "code": code}]}}


def flagged(**value: Any) -> dict[str, Any]:
    return {"extension": [{"url": FLAG, **value}]}


def tagged(code: str, system: str = FLAG) -> dict[str, Any]:
    return {"meta": {"tag": [{"system": system, "code": code}]}}


def judged(offline: Any, record: EncounterRecord, rule: SignOffRule, *proofs: Resource, **encounter: Any) -> bool:
    """Whether the gate opens; a closed one says something to a biller."""
    offline.dialect = replace(offline.dialect, signoff=rule)
    held = replace(record, encounter={**record.encounter, **encounter}, resources=(*record.resources, *proofs))
    try:
        offline.normalize(held)
    except NotSignedOff as problem:
        finding = problem.findings[0]
        assert problem.retry is Retry.WATCH
        assert finding.message.startswith("The visit is closed in the EHR, but ")
        assert finding.fix.startswith("Sign the ")
        return False
    return True


DOCUMENT = SignOffRule(SignOff.DOCUMENT)
NOTES_ONLY = SignOffRule(SignOff.DOCUMENT, document_types=("11506-3",))
COMPOSITION = SignOffRule(SignOff.COMPOSITION)
PROVENANCE = SignOffRule(SignOff.PROVENANCE)
EXTENSION = SignOffRule(SignOff.EXTENSION, url=FLAG)
LOCKED = SignOffRule(SignOff.EXTENSION, values=("locked", "true"), url=FLAG)
TAG = SignOffRule(SignOff.TAG, url=FLAG, values=("signed",))
AUTHOR = {"agent": [{"type": {"coding": [{"code": "Author"}]}}]}
NURSE = {"agent": [{"type": {"coding": [{"code": "enterer"}]}}]}

CASES: dict[str, tuple[SignOffRule, tuple[Resource, ...], Mapping[str, Any], bool]] = {
    "the status alone": (SignOffRule(), (), {}, True),
    "no document at all": (DOCUMENT, (), {}, False),
    "a final document": (DOCUMENT, (note(),), {}, True),
    "an amended document": (DOCUMENT, (note(docStatus="amended"),), {}, True),
    "a preliminary document": (DOCUMENT, (note(docStatus="preliminary"),), {}, False),
    "a document of unknown state": (DOCUMENT, (note(docStatus=None),), {}, False),
    "a final one beside a preliminary one": (DOCUMENT, (note(docStatus="preliminary"), note(id="doc-2")), {}, True),
    "a document entered in error": (DOCUMENT, (note(status="entered-in-error"),), {}, False),
    "a document of another visit": (DOCUMENT, (note(context={"encounter": [OTHER_VISIT]}),), {}, False),
    "a document of no visit": (DOCUMENT, (note(context=None),), {}, False),
    "a document of the wanted type": (NOTES_ONLY, (note(**kind("11506-3")),), {}, True),
    "a document of another type": (NOTES_ONLY, (note(**kind("34133-9")),), {}, False),
    "a document without a type": (NOTES_ONLY, (note(),), {}, False),
    "a state of one's own": (SignOffRule(SignOff.DOCUMENT, ("signed",)), (note(docStatus="signed"),), {}, True),
    "a final composition": (COMPOSITION, (composition(),), {}, True),
    "a preliminary composition": (COMPOSITION, (composition(status="preliminary"),), {}, False),
    "a composition of another visit": (COMPOSITION, (composition(encounter=OTHER_VISIT),), {}, False),
    "an author's signature": (PROVENANCE, (provenance(),), {}, True),
    "a verification signature": (PROVENANCE, (provenance("1.2.840.10065.1.12.1.5"),), {}, True),
    "a witness's signature": (PROVENANCE, (provenance("1.2.840.10065.1.12.1.7"),), {}, False),
    "any signature of an author": (PROVENANCE, (provenance("other", **AUTHOR),), {}, True),
    "any signature of somebody else": (PROVENANCE, (provenance("other", **NURSE),), {}, False),
    "an author who did not sign": (PROVENANCE, (provenance(signature=[], **AUTHOR),), {}, False),
    "a signature under another visit": (PROVENANCE, (provenance(target=[OTHER_VISIT]),), {}, False),
    "the extension": (EXTENSION, (), flagged(valueBoolean=True), True),
    "no extension": (EXTENSION, (), {}, False),
    "another extension": (EXTENSION, (), {"extension": [{"url": "urn:x", "valueBoolean": True}]}, False),
    "the extension's code": (LOCKED, (), flagged(valueCode="locked"), True),
    "the extension's coding": (LOCKED, (), flagged(valueCoding={"code": "locked"}), True),
    "the extension's concept": (LOCKED, (), flagged(valueCodeableConcept={"coding": [{"code": "locked"}]}), True),
    "the extension's yes": (LOCKED, (), flagged(valueBoolean=True), True),
    "the extension's no": (LOCKED, (), flagged(valueBoolean=False), False),
    "the extension's other code": (LOCKED, (), flagged(valueCode="open"), False),
    "the extension without a value": (LOCKED, (), {"extension": [{"url": FLAG}]}, False),
    "the tag": (TAG, (), tagged("signed"), True),
    "another tag": (TAG, (), tagged("open"), False),
    "the tag of another system": (TAG, (), tagged("signed", "urn:x"), False),
    "a tag by its code alone": (SignOffRule(SignOff.TAG, ("signed",)), (), tagged("signed", "urn:x"), True),
}


@pytest.mark.parametrize("name", list(CASES))
def test_what_counts_as_signed(offline: Any, record: EncounterRecord, name: str) -> None:
    rule, proofs, encounter, opens = CASES[name]
    assert judged(offline, record, rule, *copy.deepcopy(proofs), **encounter) is opens


@pytest.mark.parametrize("by", list(SignOff))
def test_no_proof_replaces_the_status(offline: Any, record: EncounterRecord, by: SignOff) -> None:
    offline.dialect = replace(offline.dialect, signoff=SignOffRule(by, url=FLAG))
    open_visit = {**record.encounter, "status": "in-progress", **flagged(valueBoolean=True), **tagged("signed")}
    proofs = (note(), composition(), provenance())
    with pytest.raises(MappingError) as raised:
        offline.normalize(replace(record, encounter=open_visit, resources=(*record.resources, *proofs)))
    assert raised.value.findings[0].expression == "Encounter.status"
    assert isinstance(raised.value, NotSignedOff) is (by is not SignOff.STATUS)


def test_every_kind_has_its_usual_values() -> None:
    assert set(DEFAULT_VALUES) == set(SignOff)


def test_a_proof_outside_the_encounter_is_searched_for() -> None:
    searched = {by: [search.resource_type for search in search_for(SignOffRule(by))] for by in SignOff}
    assert searched == {
        SignOff.STATUS: [],
        SignOff.DOCUMENT: ["DocumentReference"],
        SignOff.COMPOSITION: ["Composition"],
        SignOff.PROVENANCE: ["Provenance"],
        SignOff.EXTENSION: [],
        SignOff.TAG: [],
    }


class TestReading:
    """Over real HTTP: the gate's search goes with the others."""

    async def test_the_note_itself_is_not_kept(self, settings: Any, context: Any, simulator: Simulator) -> None:
        content = [{"attachment": {"contentType": "text/plain", "data": "U3ludGhldGlj"}}]
        body = {"resources": [note(content=content, text={"status": "generated", "div": "<div>x</div>"})]}
        simulator.client.post("/_sim/data", json=body).raise_for_status()
        adapter = ADAPTER.open(ADAPTER.settings(**settings, signoff="document"), context)
        try:
            record = await adapter.fetch_encounter(REF)
            assert adapter.normalize(record).charges
        finally:
            await adapter.aclose()
        (held,) = [r for r in record.resources if r["resourceType"] == "DocumentReference"]
        assert {"content", "text"}.isdisjoint(held)

    async def test_the_scope_that_it_needs_is_asked_for(self, settings: Any, context: Any) -> None:
        adapter = ADAPTER.open(ADAPTER.settings(**settings, signoff="provenance"), context)
        try:
            assert "system/Provenance.rs" in adapter.tokens.scopes
        finally:
            await adapter.aclose()

    async def test_a_server_without_the_search_never_counts_as_signed(self, context: Any, playing: Any) -> None:
        with playing("generic", refused_parameters="Provenance.target") as (_, other):
            adapter = ADAPTER.open(ADAPTER.settings(**other, signoff="provenance"), context)
            try:
                with pytest.raises(UnexpectedResponse) as raised:
                    await adapter.fetch_encounter(REF)
            finally:
                await adapter.aclose()
        assert raised.value.code is ErrorCode.UNSUPPORTED
