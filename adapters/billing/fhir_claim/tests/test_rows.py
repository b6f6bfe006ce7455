"""The rows are the mapping: what is in a Bundle and not in the canonical claim is the target of a row."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from adapters.billing.fhir_claim import ADAPTER
from adapters.billing.fhir_claim.payload import build
from adapters.billing.fhir_claim.settings import FhirClaimSettings
from gateway.canonical import jsonio
from gateway.canonical.models import Resource
from gateway.kit.contract_support import leaf_names
from gateway.kit.samples import sample

HERE = pathlib.Path(__file__).parent
GOLDEN = sorted(HERE.glob("golden*/*.payload.json"))
ENTRY = [title for title in ADAPTER.rows if title.startswith("Bundle.entry")]
CLAIM, RELATED = "Claim (changed or added)", "Claim.related (the claim on file)"
ANOTHER, REFERENCES = "Another resource (transaction only, added)", "References (in every resource)"
PARAMETERS = "Parameters (only with submit_body parameters)"
IN_NO_BUNDLE = {
    f"{REFERENCES}: identifier": "no resource of the samples refers to one that does not travel; see test_payload",
}


def targets(*titles: str, place: str = "") -> set[str]:
    return {f"{place}{row.target}" for title in titles for row in ADAPTER.rows[title]}


def unmapped(found: set[str], made: set[str]) -> set[str]:
    """The paths that are neither a target nor below one."""
    return {path for path in found if not any(f"{path}.".startswith((f"{t}.", f"{t}[")) for t in made)}


def holders(resource: Resource) -> set[str]:
    """The paths of the elements that hold a literal reference."""
    return {path.removesuffix(".reference") for path in leaf_names(resource) if path.endswith(".reference")}


def added(sent: Resource, canonical: Resource) -> set[str]:
    """What an entry's resource has beside the canonical one."""
    is_claim = canonical["resourceType"] == "Claim"
    made = targets(CLAIM) | targets(RELATED, place="related[].") if is_claim else targets(ANOTHER)
    for holder in holders(canonical):
        made |= targets(REFERENCES, place=f"{holder}.")
    return unmapped(set(leaf_names(sent)) - set(leaf_names(canonical)), made)


def unknown(body: dict[str, Any], canonical: list[Resource]) -> set[str]:
    """Every member of a Bundle that no row makes and that the claim does not hold."""
    outer = {name: value for name, value in body.items() if name != "entry"}  # the list itself
    left = unmapped(set(leaf_names(outer)), targets("Bundle"))
    for entry, resource in zip(body["entry"], canonical, strict=True):
        around = {name: value for name, value in entry.items() if name != "resource"}
        left |= unmapped(set(leaf_names(around)), targets(*ENTRY)) | added(entry["resource"], resource)
    return left


def canonical_of(file: pathlib.Path) -> list[Resource]:
    claim = sample(file.name.partition(".")[0])
    return [claim.claim, *claim.resources.values()]


def idle(title: str, found: set[str], place: str = "") -> set[str]:
    """The rows of a table that make nothing of what was found."""
    made = targets(title, place=place)
    seen = {t for t in made if any(f"{path}.".startswith((f"{t}.", f"{t}[")) for path in found)}
    return {f"{title}: {target.removeprefix(place)}" for target in made - seen}


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_member_of_a_bundle_is_of_the_claim_or_the_target_of_a_row(file: pathlib.Path) -> None:
    assert unknown(jsonio.loads(file.read_bytes()), canonical_of(file)) == set()


def test_every_row_makes_a_member_of_some_bundle(
    settings: FhirClaimSettings, transaction_settings: FhirClaimSettings
) -> None:
    """Of a golden one, or of one under the settings that the table's title names."""
    create = transaction_settings.model_copy(update={"supporting": "create"})
    parameters = settings.model_copy(update={"submit_body": "parameters"})
    wrapped, created = (
        jsonio.loads(build(sample("office_visit"), "GW1", each, "clinic").body) for each in (parameters, create)
    )
    bundles = [*(jsonio.loads(file.read_bytes()) for file in GOLDEN), created]
    entries = [entry for body in bundles for entry in body["entry"]]
    of_claims = {path for body in bundles for path in leaf_names(body["entry"][0]["resource"])}
    of_others = {path for body in bundles for entry in body["entry"][1:] for path in leaf_names(entry["resource"])}
    nothing = idle("Bundle", {path for body in bundles for path in leaf_names(body)})
    nothing |= idle(PARAMETERS, set(leaf_names(wrapped)))
    for title in ENTRY:
        nothing |= idle(title, {path for entry in entries for path in leaf_names(entry)})
    nothing |= idle(CLAIM, of_claims) | idle(RELATED, of_claims, "related[].") | idle(ANOTHER, of_others)
    references = {path.rpartition(".")[2] for path in of_claims | of_others if path.endswith(".reference")}
    nothing |= idle(REFERENCES, references)
    assert nothing == set(IN_NO_BUNDLE)


def test_a_member_without_a_row_is_found() -> None:
    """On the Bundle, on an entry, in the Claim and in another resource."""
    file = next(file for file in GOLDEN if "office_visit" in file.name)
    body = jsonio.loads(file.read_bytes())
    body["language"] = "en"
    body["entry"][0]["search"] = {"mode": "match"}
    body["entry"][0]["resource"]["fundsReserve"] = {"text": "provider"}
    body["entry"][1]["resource"]["implicitRules"] = "urn:x"
    assert unknown(body, canonical_of(file)) == {"language", "search.mode", "fundsReserve.text", "implicitRules"}
