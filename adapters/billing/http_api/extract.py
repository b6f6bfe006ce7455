"""From a claim to the facts that a description names; facts that nobody named are not looked up. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Any

from adapters.billing.http_api.facts import FACTS, PRIOR, ROLE_SCOPES, Fact, Kind
from adapters.billing.http_api.template import Scope
from gateway.canonical.codes import codings
from gateway.canonical.models import PAYER_CLAIM_CONTROL_NUMBER, ClaimBundle, Resource, SubmissionReceipt
from gateway.kit.mapping import first

PAYER_NUMBER = "payer_claim_control_number"
_OF_SCOPE: Mapping[str, str] = {scope: role for role, scope in ROLE_SCOPES.items()}

_NUMBER = "#"  # an entry's own number in the claim, where entries before it were left out

Roots = dict[str, Any]
Facts = dict[str, Any]


class Extractor:
    """Looks up the facts named in `wanted` ("scope.member"), of any claim."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self._wanted: dict[str, list[tuple[str, Fact]]] = {}
        self._prior: list[str] = []
        for name in sorted(set(wanted)):
            scope, _, member = name.partition(".")
            if scope == PRIOR:
                self._prior.append(member)
            else:
                self._wanted.setdefault(scope, []).append((member, FACTS[scope][member]))
        self._all_notes = "item.note" not in set(wanted)

    def scope(
        self, bundle: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None, zone: tzinfo
    ) -> tuple[Scope, dict[str, list[Facts]]]:
        """The facts of the whole claim, and those of each entry of its lists."""
        claim = bundle.claim
        single, numbers = self._single(bundle, submission_id, prior, zone)
        loops: dict[str, list[Facts]] = {}
        for name, entries in (("item", _items), ("diagnosis", _diagnoses), ("care_team", _team)):
            if name in self._wanted:
                loops[name] = [self._facts(name, roots) for roots in entries(bundle)]
        insurance = [(entry, _insurance(bundle, entry)) for entry in claim.get("insurance", ())]
        if "coverage" in self._wanted:
            loops["coverage"] = [self._facts("coverage", roots) for _, roots in insurance]
        if "other_insurance" in self._wanted:
            others = [(n, roots) for n, (entry, roots) in enumerate(insurance) if not entry.get("focal")]
            loops["other_insurance"] = [self._facts("other_insurance", roots) | {_NUMBER: n} for n, roots in others]
        return Scope(single, numbers), loops

    def _single(
        self, bundle: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None, zone: tzinfo
    ) -> tuple[dict[str, Facts], dict[str, int]]:
        claim = bundle.claim
        sources: dict[str, Callable[[], Roots]] = {
            "claim": lambda: _claim(claim, all_notes=self._all_notes),
            "patient": lambda: {"Patient": _resolved(bundle, claim.get("patient"))},
            "billing_provider": lambda: {"BillingProvider": _resolved(bundle, claim.get("provider"))},
            "facility": lambda: {"Facility": _resolved(bundle, claim.get("facility"))},
            "accident": lambda: {"Claim": claim},
        }
        found = {name: self._facts(name, make()) for name, make in sources.items() if name in self._wanted}
        numbers: dict[str, int] = {}
        if "insurance" in self._wanted:
            found["insurance"] = self._facts("insurance", {})
        for n, entry in enumerate(claim.get("insurance", ())):
            if entry.get("focal") and "insurance" in self._wanted:
                found["insurance"], numbers["insurance"] = self._facts("insurance", _insurance(bundle, entry)), n
        for scope, role in _OF_SCOPE.items():
            if scope in self._wanted:
                number, member = _member(claim, role)
                found[scope] = self._facts(scope, {"Provider": _resolved(bundle, member.get("provider"))})
                numbers[scope] = number
        if "claim" in found:
            found["claim"] |= _computed(bundle, submission_id, zone, found["claim"])
        found[PRIOR] = self._of_prior(prior)
        return found, numbers

    def _of_prior(self, prior: SubmissionReceipt | None) -> Facts:
        ids: Facts = dict.fromkeys(self._prior, "")
        if prior is not None:
            payers_own = prior.vendor_ids.get(PAYER_CLAIM_CONTROL_NUMBER, "")
            ids |= {**prior.vendor_ids, "submission_id": prior.submission_id, PAYER_NUMBER: payers_own}
        return ids

    def _facts(self, scope: str, roots: Roots) -> Facts:
        return {member: _value(fact, roots) for member, fact in self._wanted[scope]}


def number_of(entry: Any, position: int) -> int:
    """The number in the claim, from 0, of an entry at a position of its list."""
    return int(entry.get(_NUMBER, position)) if isinstance(entry, dict) else position


def _value(fact: Fact, roots: Roots) -> Any:
    if fact.kind.many:
        found = list(_gathered(fact.source.split("."), roots))
        return found if fact.kind is Kind.INTEGERS else [_text(value) for value in found]
    value = _found(fact.source, roots)
    if value is None:
        return ""
    return value if fact.kind is Kind.INTEGER else _text(value)


def _found(path: str, roots: Roots) -> Any:
    """`first`, by a shorter way when every list on the path has one element."""
    value: Any = roots
    for step in _plain_steps(path):
        if isinstance(value, list):
            if len(value) != 1:
                return first(path, roots)
            value = value[0]
        value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return None
    return first(path, roots) if value is roots or isinstance(value, list | dict) else value


@lru_cache(maxsize=1024)
def _plain_steps(path: str) -> tuple[str, ...]:
    """The members of a path without alternatives and selections; of any other path nothing."""
    return tuple(path.split(".")) if re.fullmatch(r"\w+(\.\w+)*", path) else ()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _gathered(steps: list[str], value: Any) -> Iterator[Any]:
    """All values at a path of members; `name[0]` takes one element of a list."""
    if isinstance(value, list):
        for element in value:
            yield from _gathered(steps, element)
    elif not steps:
        yield value
    elif isinstance(value, dict):
        name, bracket, index = steps[0].partition("[")
        found = value.get(name)
        if bracket and isinstance(found, list):
            number = int(index.rstrip("]"))
            found = found[number : number + 1]
        if found is not None:
            yield from _gathered(steps[1:], found)


def _claim(claim: Resource, *, all_notes: bool) -> Roots:
    on_lines = {n for item in claim.get("item", ()) for n in item.get("informationSequence", ())}
    info = claim.get("supportingInfo", ())
    return {
        "Claim": claim,
        "diagnosis_code": list(_gathered(["diagnosis", "diagnosisCodeableConcept", "coding[0]", "code"], claim)),
        "onset": _of_category(info, "onset"),
        "hospitalized": _of_category(info, "hospitalized"),
        "patient_paid": _of_category(info, "patientPaid"),
        "claim_note": _notes(i for i in info if all_notes or i.get("sequence") not in on_lines),
    }


def _computed(bundle: ClaimBundle, submission_id: str, zone: tzinfo, wanted: Facts) -> Facts:
    """Facts that no path finds."""
    computed: Facts = {"submission_id": submission_id, "frequency": bundle.frequency.value}
    if wanted.get("created_on"):
        computed["created_on"] = _day(wanted["created_on"], zone)
    return computed


def _day(instant: str, zone: tzinfo) -> str:
    if len(instant) <= len("2026-03-04"):
        return instant
    moment = datetime.fromisoformat(instant)
    return date.isoformat((moment.astimezone(zone) if moment.tzinfo else moment).date())


def _items(bundle: ClaimBundle) -> Iterator[Roots]:
    claim = bundle.claim
    codes = {d["sequence"]: _code(d.get("diagnosisCodeableConcept")) for d in claim.get("diagnosis", ())}
    notes = {i.get("sequence"): i for i in claim.get("supportingInfo", ())}
    team = {member.get("sequence"): member for member in claim.get("careTeam", ())}
    for item in claim.get("item", ()):
        members = [team[n] for n in item.get("careTeamSequence", ()) if n in team]
        rendering: Resource = next((m for m in members if _code(m.get("role")) == "rendering"), {})
        yield {
            "item": item,
            "unit": first("item.quantity.unit", {"item": item}) or "UN",
            "line_diagnosis": [codes[n] for n in item.get("diagnosisSequence", ()) if n in codes],
            "line_note": _notes(notes[n] for n in item.get("informationSequence", ()) if n in notes),
            "LineProvider": _resolved(bundle, rendering.get("provider")),
        }


def _diagnoses(bundle: ClaimBundle) -> Iterator[Roots]:
    return ({"diagnosis": diagnosis} for diagnosis in bundle.claim.get("diagnosis", ()))


def _team(bundle: ClaimBundle) -> Iterator[Roots]:
    for member in bundle.claim.get("careTeam", ()):
        yield {"Member": member, "Provider": _resolved(bundle, member.get("provider"))}


def _insurance(bundle: ClaimBundle, entry: Resource) -> Roots:
    coverage = _resolved(bundle, entry.get("coverage"))
    payor = (coverage.get("payor") or [{}])[0]
    return {
        "Insurance": entry,
        "Coverage": coverage,
        "Payor": _resolved(bundle, payor),
        "Subscriber": _resolved(bundle, coverage.get("subscriber")),
    }


def _member(claim: Resource, role: str) -> tuple[int, Resource]:
    members = enumerate(claim.get("careTeam", ()))
    return next(((n, member) for n, member in members if _code(member.get("role")) == role), (0, {}))


def _resolved(bundle: ClaimBundle, reference: Resource | None) -> Resource:
    return bundle.find((reference or {}).get("reference")) or {}


def _of_category(info: Iterable[Resource], category: str) -> list[Resource]:
    return [i for i in info if _code(i.get("category")) == category]


def _notes(info: Iterable[Resource]) -> list[str]:
    return [i["valueString"] for i in info if _code(i.get("category")) == "info" and i.get("valueString")]


def _code(concept: Resource | None) -> str:
    return str(next((c.get("code", "") for c in codings(concept)), ""))
