"""The part of `EhrContract` about what becomes of the record: pure, no network but once. Imported by tests only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any, ClassVar

import fhirkit
import pytest

from gateway.canonical import codes, jsonio
from gateway.canonical.errors import MappingError
from gateway.canonical.models import EncounterBundle, EncounterRecord, reference_of
from gateway.kit.contract_ehr_frame import EhrContractFrame
from gateway.kit.contract_encounter import ExpectedLine, without
from gateway.kit.ehr_references import references_at
from gateway.ports.ehr import EhrAdapter


def floats_in(value: Any, path: str = "") -> Iterator[str]:
    """Where a binary fraction stands."""
    if isinstance(value, float):
        yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for name, member in members:
        yield from floats_in(member, f"{path}.{name}")


class MappingContract(EhrContractFrame):
    """Inherited through `gateway.kit.contract_ehr.EhrContract`."""

    references: ClassVar[tuple[str, ...]] = (
        "subject",
        "patient",
        "beneficiary",
        "subscriber",
        "payor",
        "encounter",
        "serviceProvider",
        "participant.individual",
        "location.location",
        "diagnosis.condition",
        "performer.actor",
    )

    def test_the_bundle_is_valid_and_closed(self, bundle: EncounterBundle) -> None:
        """Every resource is valid R4, every reference resolves inside, every role names a resource."""
        everything = (bundle.encounter, *bundle.resources)
        assert [i.path for r in everything for i in fhirkit.validate(jsonio.dumps(r)) if i.severity == "error"] == []
        named = [reference for r in everything for path in self.references for reference in references_at(r, path)]
        assert named
        assert [r for r in (*named, *bundle.roles.values()) if bundle.find(r) is None] == []
        assert len({reference_of(r) for r in everything}) == len(everything)

    def test_billing_facts_are_unchanged(self, bundle: EncounterBundle) -> None:
        """Diagnosis order, modifiers, units, prices, pointers, authorization, place, member ids, referring provider."""
        wanted = self.expected
        assert bundle.diagnosis_codes == wanted.diagnosis_codes
        assert tuple(
            ExpectedLine(c.code, c.modifiers, c.quantity, c.unit_price, c.diagnosis_codes) for c in bundle.charges
        ) == (wanted.lines)
        assert bundle.prior_authorization == wanted.prior_authorization
        assert bundle.location_code == wanted.location_code
        assert tuple(c.get("subscriberId") for c in bundle.of_type("Coverage")) == wanted.member_ids
        referring = bundle.find(bundle.roles["referring_provider"])
        assert referring is not None
        assert codes.identifier(referring, codes.NPI) == wanted.referring_npi

    def test_a_missing_required_element_is_named(self, ehr: EhrAdapter, record: EncounterRecord) -> None:
        """The biller is told which element of which resource, and what to do."""
        for required in self.required:
            with pytest.raises(MappingError) as raised:
                ehr.normalize(without(record, required.record_type, required.element))
            finding = raised.value.findings[0]
            assert finding.expression.startswith(required.expression), (required, finding.expression)
            assert finding.message and finding.fix

    def test_charges_are_decimals(self, bundle: EncounterBundle) -> None:
        """Money is decimal all the way; a charge without a price has none, and not zero."""
        assert {type(line.quantity) for line in bundle.charges} == {Decimal}
        assert {type(line.unit_price) for line in bundle.charges} <= {Decimal, type(None)}

    async def test_nothing_is_ever_a_float(self, ehr: EhrAdapter) -> None:
        """Neither in what the EHR has sent, nor in what was made of it."""
        fetched = await ehr.fetch_encounter(self.ref())
        read = [fetched.encounter, *fetched.resources]
        assert list(floats_in(read)) == []
        assert list(floats_in(asdict(ehr.normalize(fetched)))) == []
