"""The superbill as a source of charges: the Claim that the pipeline has put into the record, or the wait for it."""

from __future__ import annotations

from gateway.canonical.errors import SuperbillAwaited
from gateway.canonical.superbill import is_superbill
from gateway.kit.ehr_source import Known, Source


def superbill_claim(source: Source) -> Known | None:
    """The Claim that was made of the encounter's superbill, when it has come."""
    return next((k for k in source.of_type("Claim") if is_superbill(k.element.value)), None)


def await_superbill(source: Source, claim: Known | None) -> None:
    """Raise `SuperbillAwaited` where charges come in superbills alone and this encounter's is not there."""
    if claim is None and source.dialect.charge_sources == ("superbill",):
        raise SuperbillAwaited(
            "Claim",
            "the superbill of this encounter has not come, or is not ready for the biller",
            "Make the superbill ready in the EHR and export it; the gateway then goes on by itself.",
        )
