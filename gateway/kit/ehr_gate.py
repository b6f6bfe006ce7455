"""The sign-off gate: an encounter is billed when its status says so and, where asked for, a signature proves it.

What the gate looks at is read with the encounter (`search_for`) and judged in `normalize` (`require_signed`): pure.
Source: shared vendors generic_smart_fhir section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.canonical.errors import MappingError, NotSignedOff
from gateway.kit.ehr_element import Element, code_values
from gateway.kit.ehr_fetch import DOCUMENTS, Search
from gateway.kit.ehr_signoff import SignOff, SignOffRule
from gateway.kit.ehr_source import Known, Source

SIGN_VISIT = "Sign the encounter in the EHR; the gateway then picks it up by itself."
SIGN_NOTE = "Sign the visit's note in the EHR; the gateway then picks the visit up by itself."

SEARCHES: Mapping[SignOff, Search] = {
    # the note itself is no billing data: it is dropped as soon as it has been read
    SignOff.DOCUMENT: DOCUMENTS,
    SignOff.COMPOSITION: Search("Composition", "encounter", needed=True, without=("section", "text", "contained")),
    SignOff.PROVENANCE: Search("Provenance", "target", typed=True, needed=True, without=("text", "contained")),
}
"""What is read beside the encounter, by where the proof is; a status, an extension or a tag is in the encounter."""


@dataclass(frozen=True, slots=True)
class _Proof:
    """How one kind of proof is judged, the element that is named when it is missing, and the words for it."""

    holds: Callable[[Source, SignOffRule], bool]
    expression: str
    missing: str
    fix: str = SIGN_NOTE


def search_for(rule: SignOffRule) -> tuple[Search, ...]:
    """The searches that the rule needs with every encounter: one, or none."""
    return (SEARCHES[rule.by],) if rule.by in SEARCHES else ()


def require_signed(source: Source) -> None:
    """Raise `NotSignedOff` for an encounter that may still be signed, unannounced; `MappingError` for one whose
    signing will be announced."""
    rule = source.dialect.signoff
    if source.encounter.element.text("status") not in source.dialect.signed_statuses:
        watched = source.dialect.watch_unsigned or rule.by is not SignOff.STATUS
        failure = NotSignedOff if watched else MappingError
        raise failure("Encounter.status", "the encounter is not signed off, so it is not billed yet", SIGN_VISIT)
    proof = _PROOFS.get(rule.by)
    if proof is not None and not proof.holds(source, rule):
        raise NotSignedOff(proof.expression, proof.missing, proof.fix)


def _document(source: Source, rule: SignOffRule) -> bool:
    """A current DocumentReference of this encounter whose document is final."""
    return any(
        known.element.text("docStatus") in rule.accepted
        and known.element.text("status") == "current"
        and _is_counted(known.element, rule)
        and _names_encounter(_context(known), "encounter", known, source)
        for known in source.of_type("DocumentReference")
    )


def _composition(source: Source, rule: SignOffRule) -> bool:
    """A Composition of this encounter that is final."""
    return any(
        known.element.text("status") in rule.accepted
        and _is_counted(known.element, rule)
        and source.resolve(known.element.child("encounter"), known) is source.encounter
        for known in source.of_type("Composition")
    )


def _provenance(source: Source, rule: SignOffRule) -> bool:
    """A signed Provenance of this encounter whose signature or signer is an author's or a verifier's."""
    return any(
        bool(_signers(known.element) & {value.lower() for value in rule.accepted})
        and _names_encounter(known.element, "target", known, source)
        for known in source.of_type("Provenance")
    )


def _signers(provenance: Element) -> set[str]:
    """Codes of the signatures' types and the agents' roles; none when nothing is signed."""
    signatures = provenance.children("signature")
    if not signatures:
        return set()
    types = [code for signature in signatures for coding in signature.children("type") if (code := coding.text("code"))]
    agents = [kind for agent in provenance.children("agent") if (kind := agent.child("type"))]
    return {code.lower() for code in types}.union(*(code_values(kind) for kind in agents))


def _extension(source: Source, rule: SignOffRule) -> bool:
    """The vendor's own extension on the Encounter, with one of the values."""
    held = [e for e in source.encounter.element.children("extension") if e.text("url") == rule.url]
    return any(not rule.accepted or _value_of(extension) in rule.accepted for extension in held)


def _value_of(extension: Element) -> str:
    """`value[x]` as text: a code, a string, true or false, or the first coding's code."""
    for name, value in extension.value.items():
        if name in ("valueCoding", "valueCodeableConcept"):
            concept = Element({"coding": [value]}, extension.path) if name == "valueCoding" else extension.child(name)
            return next((code for c in (concept.children("coding") if concept else ()) if (code := c.text("code"))), "")
        if name.startswith("value"):
            return str(value).lower() if isinstance(value, bool) else str(value)
    return ""


def _tag(source: Source, rule: SignOffRule) -> bool:
    """A tag on the Encounter, of the system and with one of the codes."""
    meta = source.encounter.element.child("meta")
    tags = meta.children("tag") if meta else []
    own = [tag.text("code") for tag in tags if not rule.url or tag.text("system") == rule.url]
    return any(not rule.accepted or code in rule.accepted for code in own)


def _is_counted(document: Element, rule: SignOffRule) -> bool:
    kind = document.child("type")
    wanted = {code.lower() for code in rule.document_types}
    return not wanted or (kind is not None and bool(code_values(kind) & wanted))


def _context(known: Known) -> Element | None:
    return known.element.child("context")


def _names_encounter(owner: Element | None, name: str, known: Known, source: Source) -> bool:
    """Whether a repeated reference names this encounter: some servers answer with other visits' documents as well."""
    references = owner.children(name) if owner else []
    return any(source.resolve(reference, known) is source.encounter for reference in references)


_UNSIGNED_NOTE = "the visit is closed in the EHR, but its note is not signed, so it is not billed yet"
_PROOFS: Mapping[SignOff, _Proof] = {
    SignOff.DOCUMENT: _Proof(_document, "DocumentReference.docStatus", _UNSIGNED_NOTE),
    SignOff.COMPOSITION: _Proof(_composition, "Composition.status", _UNSIGNED_NOTE),
    SignOff.PROVENANCE: _Proof(
        _provenance, "Provenance.signature", "the visit is closed in the EHR, but nobody has signed it yet"
    ),
    SignOff.EXTENSION: _Proof(
        _extension, "Encounter.extension", "the visit is closed in the EHR, but it is not marked as signed", SIGN_VISIT
    ),
    SignOff.TAG: _Proof(
        _tag, "Encounter.meta.tag", "the visit is closed in the EHR, but it is not tagged as signed", SIGN_VISIT
    ),
}
