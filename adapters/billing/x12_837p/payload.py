"""A canonical claim as the part of an 837P that is its own: from its billing provider down to its last line. Pure.

The body is X12 with its levels numbered as if the claim were alone: HL*1 the billing provider, HL*2 the subscriber,
HL*3 the patient when that is another person. `interchange.enclose` puts many of them into one interchange and numbers
the levels anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from adapters.billing.x12_837p import codes, rows
from adapters.billing.x12_837p.facts import Facts, account_number, facts, person
from adapters.billing.x12_837p.limits import first_code
from adapters.billing.x12_837p.segments import Scope, element_value, write
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical.errors import MappingError
from gateway.canonical.models import ClaimBundle, Resource, SubmissionReceipt, VendorPayload
from gateway.kit.encoders import x12
from gateway.kit.mapping import first

CONTENT_TYPE = "application/vnd.x12-837p-claim"
BILLING_LEVEL = "HL*1**20*1~"
SUBSCRIBER_LEVEL = "HL*2*1*22*"
PATIENT_LEVEL = "HL*3*2*23*0~"


def build(
    bundle: ClaimBundle, submission_id: str, settings: X12Settings, prior: SubmissionReceipt | None = None
) -> VendorPayload:
    """The claim's segments. Raises `UnsupportedElement` for what an 837P cannot carry, `MappingError` for gaps."""
    found = facts(bundle, submission_id, settings, prior)
    body = "".join(
        (
            BILLING_LEVEL,
            write(rows.BILLING, found.scope(person("billing", found.billing))),
            *_levels(found),
            *_claim(found),
        )
    )
    return VendorPayload(submission_id, CONTENT_TYPE, body.encode("ascii"))


def _levels(found: Facts) -> Iterator[str]:
    """2000B with the subscriber and the payer, and 2000C when the patient is not the subscriber."""
    focal = found.focal
    scope = found.covered(focal)
    yield f"{SUBSCRIBER_LEVEL}{0 if focal.is_self else 1}~"
    yield write(rows.SUBSCRIBER, scope)
    yield write(rows.SUBSCRIBER_IS_PATIENT if focal.is_self else rows.SUBSCRIBER_IS_OTHER, scope)
    yield write(rows.PAYER, scope)
    if not focal.is_self:
        yield PATIENT_LEVEL
        yield write(rows.PATIENT, scope)
        yield write(rows.PATIENT_NAME, found.scope(person("patient", found.patient)))


def _claim(found: Facts) -> Iterator[str]:
    scope = found.scope(claim_roots(found))
    yield write(rows.CLAIM, scope)
    yield _diagnoses(found)
    for role, loop in (("referring", rows.REFERRING), ("rendering", rows.RENDERING)):
        yield from (_provider(found, loop, member) for member in found.team.get(role, ())[:1])
    facility = facility_elsewhere(found)
    if facility is not None:
        yield write(rows.FACILITY, found.scope(person("facility", facility)))
    yield from (_provider(found, rows.SUPERVISING, member) for member in found.team.get("supervisor", ()))
    for other in found.coverages[1:]:
        yield write(rows.OTHER_SUBSCRIBER, found.covered(other))
    for scope in line_scopes(found):
        yield from _line(found, scope)


def claim_roots(found: Facts) -> dict[str, Any]:
    """What the rows of loop 2300 read."""
    claim = found.claim
    on_lines = {n for item in claim["item"] for n in item.get("informationSequence", ())}
    information: dict[str, list[Resource]] = {}
    for info in claim.get("supportingInfo", ()):
        if info.get("sequence") not in on_lines:
            information.setdefault(first_code(info.get("category")), []).append(info)
    accident = claim.get("accident")
    return {
        "account": account_number(claim),
        "place": first("Claim.item[0].locationCodeableConcept.coding.code", {"Claim": claim}),
        "frequency": found.frequency,
        "control_number": found.control_number,
        "accident": accident,
        "accident_state": _accident_state(accident) if accident else None,
        "authorization": first("Claim.insurance[0].preAuthRef[0]", {"Claim": claim}),
        "submission_id": found.submission_id,
        "patient": found.patient,
        "note": "; ".join(info["valueString"] for info in information.get("info", ())),
        "onset": information.get("onset"),
        "hospitalized": information.get("hospitalized"),
        "patient_paid": information.get("patientPaid"),
    }


def _accident_state(accident: dict[str, Any]) -> str | None:
    """CLM11-4 belongs to a motor accident only."""
    if codes.accident_cause(first_code(accident.get("type"))) != "AA":
        return None
    state: str | None = (accident.get("locationAddress") or {}).get("state")
    if not state:
        raise MappingError(
            "Claim.accident.locationAddress.state", "the state of a motor accident is missing", "Complete it."
        )
    return state


def diagnosis_codes(found: Facts) -> list[str]:
    """The diagnoses in order, without dots."""
    diagnoses = found.claim["diagnosis"]
    return [
        element_value(rows.DIAGNOSIS, found.scope({"diagnosis": entry}, "Claim.diagnosis", f"Claim.diagnosis[{i}]"))
        for i, entry in enumerate(diagnoses)
    ]


def _diagnoses(found: Facts) -> str:
    principal, *others = diagnosis_codes(found)
    return x12.segment(("HI", f"ABK:{principal}", *(f"ABF:{code}" for code in others)))


def facility_elsewhere(found: Facts) -> Resource | None:
    """The service facility, unless it lies at the billing provider's own address: then 2310C is not wanted."""
    facility = found.facility
    if facility is None:
        return None
    billing, own = person("b", found.billing)["b_address"], person("f", facility)["f_address"]
    return None if billing and own and _place(billing) == _place(own) else facility


def _place(address: Mapping[str, Any]) -> tuple[str, ...]:
    lines = " ".join(address.get("line", ()))
    return (x12.text(lines), x12.text(address.get("city", "")), x12.digits(address.get("postalCode", ""))[:5])


def _provider(found: Facts, loop: rows.Loop, member: tuple[str, int, Resource]) -> str:
    where, _, practitioner = member
    return write(loop, found.scope(person("provider", practitioner), "Claim.careTeam.provider", where))


def line_scopes(found: Facts) -> Iterator[Scope]:
    """The scope of each line."""
    claim = found.claim
    notes = {info.get("sequence"): info for info in claim.get("supportingInfo", ())}
    place = first("Claim.item[0].locationCodeableConcept.coding.code", {"Claim": claim})
    for i, item in enumerate(claim["item"]):
        own_place = first("item.locationCodeableConcept.coding.code", {"item": item})
        start, end = _serviced(item, f"Claim.item[{i}]")
        roots = {
            "item": item,
            "unit": item["quantity"].get("unit") or item["quantity"].get("code") or "UN",
            "line_place": own_place if own_place != place else None,
            "item_day": None if end else start,
            "item_period": f"{x12.day(start)}-{x12.day(end)}" if end else None,
            "line_control": line_control(account_number(claim), item["sequence"]),
            "line_note": "; ".join(notes[n]["valueString"] for n in item.get("informationSequence", ())),
            "drug": next(iter(item.get("detail", ())), None),
        }
        yield found.scope(roots, "Claim.item", f"Claim.item[{i}]")


def _serviced(item: Mapping[str, Any], where: str) -> tuple[str, str | None]:
    """The first day of service, and the last one when it is another."""
    period = item.get("servicedPeriod") or {}
    start = str(item.get("servicedDate") or period.get("start") or "")[:10]
    end = str(period.get("end") or "")[:10]
    try:
        date.fromisoformat(start)
    except ValueError:
        raise MappingError(f"{where}.serviced", "the date of service is missing", "Complete it in the EHR.") from None
    return start, end if end not in ("", start) else None


def line_control(account: str, sequence: int) -> str:
    """REF*6R: it comes back in the 277CA and the 835."""
    return f"{account}L{sequence}"


def _line(found: Facts, scope: Scope) -> Iterator[str]:
    roots = scope.roots
    yield write(rows.LINE, scope)
    if roots["drug"] is not None:
        yield write(rows.DRUG, scope)
    rendering = line_provider(found, roots["item"], "rendering")
    if rendering is not None and rendering[2] is not found.team["rendering"][0][2]:
        yield _provider(found, rows.LINE_RENDERING, rendering)
    ordering = line_provider(found, roots["item"], "ordering")
    if ordering is not None:
        yield _provider(found, rows.ORDERING, ordering)


def line_provider(found: Facts, item: Mapping[str, Any], role: str) -> tuple[str, int, Resource] | None:
    """The line's own provider of a role; an ordering provider whom no line names ordered every line."""
    members = found.team.get(role, ())
    named = next((m for m in members if m[1] in item.get("careTeamSequence", ())), None)
    if named is None and role == "ordering" and members:
        pointed = any(members[0][1] in other.get("careTeamSequence", ()) for other in found.claim["item"])
        return None if pointed else members[0]
    return named
