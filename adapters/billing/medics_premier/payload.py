"""A canonical claim as the messages that `submit` sends. Pure.

The body is text: first what tells of the patient (an ADT message, or the JSON data of the ADS API v4, or nothing), then
the DFT. Each HL7 segment, and the JSON, ends with a carriage return; a part begins with `MSH|` or with `{`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from adapters.billing.medics_premier import demographics, parties, paths
from adapters.billing.medics_premier.layout import Layout
from adapters.billing.medics_premier.limits import first_code, on_lines, refuse_unsupported
from adapters.billing.medics_premier.parties import Roots
from adapters.billing.medics_premier.rows import PAYMENT_ROWS
from adapters.billing.medics_premier.settings import MedicsPremierSettings
from gateway.canonical.codes import CPT, codings
from gateway.canonical.errors import MappingError, UnsupportedElement
from gateway.canonical.models import ClaimBundle, Resource, VendorPayload
from gateway.kit.encoders import hl7
from gateway.kit.mapping import Row, apply

CONTENT_TYPE = "application/hl7-v2"
SUBMISSION_ID_LENGTH = 17  # the longest control id is 20 characters, the longest suffix is "-50"
ADT_SUFFIX, DFT_SUFFIX = "-A", "-D"
CODECS = {"ASCII": "ascii", "8859/1": "latin-1", "UNICODE UTF-8": "utf-8"}
_SUBMISSION_ID = re.compile(rf"[A-Za-z0-9-]{{1,{SUBMISSION_ID_LENGTH}}}")


def build(
    bundle: ClaimBundle, submission_id: str, settings: MedicsPremierSettings, layout: Layout, zone: tzinfo
) -> VendorPayload:
    """The messages of a claim; `zone` is the clinic's, for the time of the messages (`Claim.created`).

    Raises `UnsupportedElement` for what they cannot carry and `MappingError` for what they need and is missing.
    """
    if not _SUBMISSION_ID.fullmatch(submission_id):
        raise ValueError(f"a submission id of 1 to {SUBMISSION_ID_LENGTH} letters, digits and dashes fits MSH-10")
    refuse_unsupported(bundle, layout, amounts=settings.amounts)
    writer = _Writer(bundle, submission_id, settings, layout, zone)
    body = writer.patient() + writer.dft()
    fields = {"control_ids": [f"{submission_id}{ADT_SUFFIX}", f"{submission_id}{DFT_SUFFIX}"]}
    return VendorPayload(submission_id, CONTENT_TYPE, body.encode(), fields)


def site_root(settings: MedicsPremierSettings) -> dict[str, str | None]:
    """The root `site`: the connection's own words."""
    commit = settings.acknowledgment == "commit"
    return {
        "sending_application": settings.sending_application,
        "sending_facility": settings.sending_facility,
        "receiving_application": settings.receiving_application,
        "receiving_facility": settings.receiving_facility,
        "processing_id": settings.processing_id,
        "accept_acknowledgment": "AL" if commit else None,
        "application_acknowledgment": "NE" if commit else None,
        "mrn_authority": settings.mrn_authority or settings.sending_facility,
        "payment_code": settings.payment_code,
    }


class _Writer:
    """The segments of one claim; those that the ADT and the DFT share are written once."""

    def __init__(
        self, bundle: ClaimBundle, submission_id: str, settings: MedicsPremierSettings, layout: Layout, zone: tzinfo
    ) -> None:
        self._bundle, self._id, self._settings, self._layout = bundle, submission_id, settings, layout
        claim = bundle.claim
        self._time = _created(claim, zone)
        self._patient = parties.resolve(bundle, claim.get("patient"), "Claim.patient")
        self._team = parties.CareTeam(bundle, settings)
        self._covers = list(parties.coverages(bundle, self._patient, settings))
        self._diagnosis_codes = self._codes()
        self._information = {info.get("sequence"): info for info in claim.get("supportingInfo", ())}
        self._roots: Roots = {
            "Claim": claim,
            "Patient": self._patient,
            "Encounter": _encounter(bundle),
            "site": site_root(settings),
            "literal": layout.literals,
            "name": parties.official_name(self._patient),
            "attending": self._team.of_claim("rendering"),
            "referring": self._team.of_claim("referring"),
            "supervisor": self._team.of_claim("supervisor"),
            "place": parties.place(bundle, settings),
            "message": {"set_id": "1", "posted_on": self._time[:8]},
            **{root: self._of_kind(kind) for kind, root in _INFORMATION_ROOTS.items()},
            "notes": _notes(i for i in claim.get("supportingInfo", ()) if i.get("sequence") not in on_lines(claim)),
        }
        self._visit = [self._segment("PID"), self._segment("PV1")]
        self._money = [*self._guarantor(), *self._insurance(), *self._accident()]

    def patient(self) -> str:
        """What tells of the patient before the charges."""
        if self._settings.demographics == "none":
            return ""
        return self._adt() if self._settings.demographics == "adt" else self._demographics()

    def _adt(self) -> str:
        """ADT^A04 or A08: the patient, the visit, who pays."""
        event = self._settings.adt_event
        return self._message("ADT", event, "ADT_A01", ADT_SUFFIX, [*self._visit, *self._money])

    def _demographics(self) -> str:
        """The data of the ADS API v4 about the patient, as JSON."""
        roots = {**self._roots, **self._covers[0], **(self._guarantor_roots() or {})}
        return demographics.data(roots, self._covers).decode() + hl7.SEGMENT_END

    def dft(self) -> str:
        """The charges: P03 has the diagnoses and who pays after them, P11 before."""
        claim, event = self._bundle.claim, self._settings.trigger_event
        if not claim.get("item"):
            raise MappingError("Claim.item", "a claim needs at least one line")
        lines = [text for i, item in enumerate(claim["item"]) for text in self._line(i, item)] + self._payment()
        diagnoses = self._diagnoses(self._diagnosis_codes) if self._settings.diagnosis_groups == "per_claim" else []
        own = [self._segment(name) for name in self._layout.claim_segments]
        around = [*diagnoses, *self._money, *own]
        content = [*lines, *around] if event == "P03" else [*around, *lines]
        return self._message("DFT", event, f"DFT_{event}", DFT_SUFFIX, [*self._visit, *content])

    def _message(self, kind: str, event: str, structure: str, suffix: str, content: list[str]) -> str:
        is_ascii = all(map(str.isascii, content))
        header = {
            "type": kind,
            "event": event,
            "structure": structure,
            "control_id": f"{self._id}{suffix}",
            "time": self._time,
            "version": self._settings.hl7_version,
            "charset": None if is_ascii else self._settings.character_set,
        }
        start = [self._segment(name, message=header) for name in ("MSH", "EVN")]
        return hl7.message([*start, *filter(None, content)])

    def _line(self, index: int, item: Resource) -> list[str]:
        known = self._diagnosis_codes
        sequences = item.get("diagnosisSequence", ())
        if any(number not in known for number in sequences):
            where = f"Claim.item[{index}].diagnosisSequence"
            raise MappingError(where, "the line points to a diagnosis that the claim lacks")
        own = {number: known[number] for number in sequences}
        roots: Roots = {
            "item": item,
            "line": {"id": self._transaction(item["sequence"]), "number": str(index + 1), "submission": self._id},
            "procedure": self._procedure(item.get("productOrService")),
            "modifiers": tuple(self._modifier(modifier) for modifier in item.get("modifier", ())) or None,
            "diagnoses": tuple((code, self._settings.labels.icd10) for code in own.values()) or None,
            "rendering": self._team.of_line("rendering", item),
            "ordering": self._team.of_line("ordering", item),
            "drug": self._drug(item),
            "line_note": _notes(self._information.get(n, {}) for n in item.get("informationSequence", ())),
        }
        note = [self._segment("NTE", index, **roots)] if roots["line_note"] and self._layout.rows["NTE"] else []
        extra = [self._segment(name, index, **roots) for name in self._layout.line_segments]
        grouped = self._diagnoses(own) if self._settings.diagnosis_groups == "per_line" else []
        return [self._segment("FT1", index, **roots), *note, *extra, *grouped]

    def _payment(self) -> list[str]:
        paid = (self._roots["patient_paid"] or {}).get("valueQuantity", {}).get("value")
        if not paid or not self._settings.payment_code:
            return []
        number = str(len(self._bundle.claim["item"]) + 1)
        line = {"id": self._transaction("P"), "number": number, "submission": self._id}
        return [self._written("FT1", PAYMENT_ROWS, {**self._roots, "line": line}, 0)]

    def _transaction(self, suffix: int | str) -> str:
        """FT1-2: the submission id and the line, cut here from the left where a receiver would cut the line away."""
        return f"{self._id[-(self._settings.transaction_id_length - 3) :]}-{suffix}"

    def _codes(self) -> dict[int, str]:
        found = {
            entry["sequence"]: first_code(entry.get("diagnosisCodeableConcept"))
            for entry in self._bundle.claim.get("diagnosis", ())
        }
        return found if self._settings.diagnosis_dots else {n: code.replace(".", "") for n, code in found.items()}

    def _diagnoses(self, known: Mapping[int, str]) -> list[str]:
        day = self._bundle.claim.get("billablePeriod", {}).get("start")
        common = {"label": self._settings.labels.icd10, "type": "F", "date": day}
        ranks = {sequence: str(rank) for rank, sequence in enumerate(self._diagnosis_codes, start=1)}
        entries = [
            {"number": str(i), "rank": ranks[sequence], "code": code, **common}
            for i, (sequence, code) in enumerate(known.items(), start=1)
        ]
        return [self._segment("DG1", i, diagnosis=entry) for i, entry in enumerate(entries)]

    def _guarantor_roots(self) -> Roots | None:
        return parties.guarantor(self._patient, self._covers[0], self._settings)

    def _guarantor(self) -> list[str]:
        roots = self._guarantor_roots()
        return [] if roots is None else [self._segment("GT1", **roots)]

    def _insurance(self) -> list[str]:
        return [self._segment("IN1", i, **roots) for i, roots in enumerate(self._covers)]

    def _accident(self) -> list[str]:
        return [self._segment("ACC")] if "accident" in self._bundle.claim else []

    def _procedure(self, concept: Resource | None) -> Roots | None:
        coding = next(iter(codings(concept)), None)
        if coding is None:
            return None
        labels = self._settings.labels
        return {"code": coding.get("code"), "label": labels.cpt if coding.get("system") == CPT else labels.hcpcs}

    def _modifier(self, concept: Resource) -> tuple[str, str]:
        found = self._procedure(concept) or {}
        return (str(found.get("code", "")), str(found.get("label", "")))

    def _drug(self, item: Resource) -> Roots | None:
        drug = next(iter(item.get("detail", ())), None)
        if drug is None:
            return None
        quantity = drug.get("quantity", {})
        return {
            "code": first_code(drug.get("productOrService")),
            "label": self._settings.labels.ndc,
            "quantity": quantity.get("value"),
            "unit": quantity.get("code") or quantity.get("unit"),
        }

    def _of_kind(self, kind: str) -> Resource | None:
        return next((i for i in self._information.values() if first_code(i.get("category")) == kind), None)

    def _segment(self, name: str, index: int = 0, **roots: Any) -> str:
        known = {**self._roots, **roots}
        absent = frozenset(root for root in _OPTIONAL_ROOTS if known.get(root) is None)
        return self._written(name, self._layout.without(name, absent), known, index)

    def _written(self, name: str, rows: Iterable[Row], roots: Roots, index: int) -> str:
        try:
            values = apply(rows, roots)
        except MappingError as problem:
            finding = problem.findings[0]
            raise MappingError(paths.fhir_path(finding.expression, index), finding.message, finding.fix) from None
        text = hl7.segment(name, values)
        if not text.isascii():
            self._must_fit(name, values, index)
        return text if len(text) > len(name) else ""

    def _must_fit(self, name: str, values: Mapping[str, hl7.Value], index: int) -> None:
        """Nothing is replaced by question marks: a letter outside the agreed character set holds the claim."""
        codec = CODECS[self._settings.character_set]
        for target, value in values.items():
            if str(value).encode(codec, "replace").decode(codec) != str(value):
                at = hl7.address(target)
                raise UnsupportedElement(
                    self._layout.path_of(name, at.field, at.component, index + 1),
                    f"a letter is not in the character set {self._settings.character_set} of the connection",
                    "Agree character_set UNICODE UTF-8 with ADS, or enter this claim in MedicsPremier by hand.",
                )


_OPTIONAL_ROOTS = (
    "referring",
    "supervisor",
    "ordering",
    "drug",
    "line_note",
    "modifiers",
    "notes",
    "onset",
    "hospitalized",
    "patient_paid",
)
_INFORMATION_ROOTS = {"hospitalized": "hospitalized", "onset": "onset", "patientPaid": "patient_paid"}


def _created(claim: Resource, zone: tzinfo) -> str:
    created: str | None = claim.get("created")
    if created is None:
        raise MappingError("Claim.created", "the messages need a time")
    instant = datetime.fromisoformat(created)
    return (instant.astimezone(zone) if instant.tzinfo else instant).strftime("%Y%m%d%H%M%S")


def _encounter(bundle: ClaimBundle) -> Resource | None:
    references = (e.get("reference") for item in bundle.claim.get("item", ()) for e in item.get("encounter", ()))
    return next((found for found in map(bundle.find, references) if found is not None), None)


def _notes(information: Iterable[Resource]) -> str | None:
    texts = [i["valueString"] for i in information if first_code(i.get("category")) == "info" and "valueString" in i]
    return "; ".join(texts) or None
