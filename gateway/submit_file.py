"""`gateway submit FILE... --dry-run`: exactly what a billing system would be sent for canonical claims in files.

Nothing is sent, stored or audited. A claim that is to be sent goes through the pipeline, which sends each once and
records it; there is no way around it here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.canonical.claim_file import read_claim
from gateway.canonical.errors import ConfigurationError, MappingError, UnsupportedElement
from gateway.canonical.findings import Finding, holds
from gateway.canonical.identifiers import submission_id
from gateway.canonical.jsonio import NotJson
from gateway.canonical.models import (
    ClaimBundle,
    ClaimFrequency,
    Evidence,
    SubmissionReceipt,
    SubmissionState,
    VendorPayload,
)
from gateway.canonical.validation import check_claim
from gateway.dry_connection import DryConnection, dry_connection
from gateway.edits import run_edits
from gateway.ports.billing import BillingAdapter, BillingCapability
from gateway.ports.context import utc_now

CONTROL_NUMBER = 1
_CAPABILITY = {
    ClaimFrequency.REPLACEMENT: BillingCapability.CORRECT,
    ClaimFrequency.VOID: BillingCapability.VOID,
}

Claims = Mapping[Path, ClaimBundle]
Prior = Mapping[str, str]
"""The vendor's ids of the claim on file that is replaced or voided, by name."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """Each file's findings, and what would be sent when none of them holds its claim."""

    findings: Mapping[Path, tuple[Finding, ...]]
    payloads: tuple[VendorPayload, ...]

    @property
    def held(self) -> bool:
        """Whether a claim would be held for a person."""
        return any(holds(found) for found in self.findings.values())


def show_dry_run(
    files: Sequence[Path], billing: str, config: Path | None, connection: str, prior: Sequence[str]
) -> int:
    """Payloads to standard output, everything else to standard error; 0, or 1 when a claim would be held.

    Raises `ConfigurationError` for files that hold no claim, and for a connection that there is not.
    """
    claims = {file: claim_in(file) for file in files}
    ids = _prior_ids(prior)
    with dry_connection(billing, config, connection, next(iter(claims.values()))) as link:
        _say(f"with the {link.origin}; nothing is sent")
        result = asyncio.run(dry_run(claims, link, ids))
    for file, findings in result.findings.items():
        _show_findings(file, findings)
    if result.held:
        _say("held: nothing would be sent until this is corrected")
        return 1
    for number, payload in enumerate(result.payloads):
        _say(f"{payload.submission_id}: {payload.content_type}, {len(payload.body)} bytes")
        sys.stdout.buffer.write(payload.body if number == 0 else b"\n" + payload.body)
    sys.stdout.buffer.flush()
    return 0


async def dry_run(claims: Claims, link: DryConnection, prior: Prior) -> DryRun:
    """Check and build each claim; enclosed together under control number 1 where the connection batches."""
    adapter = link.open()
    findings: dict[Path, tuple[Finding, ...]] = {}
    payloads: list[VendorPayload] = []
    try:
        for file, claim in claims.items():
            findings[file] = _checked(claim, link)
            try:
                payloads += [] if holds(findings[file]) else [_built(adapter, link, file, claim, prior)]
            except (MappingError, UnsupportedElement) as refusal:
                findings[file] += refusal.findings
        result = DryRun(findings, tuple(payloads))
        return result if result.held else DryRun(findings, tuple(_transmissions(adapter, payloads)))
    finally:
        await adapter.aclose()


def claim_in(file: Path) -> ClaimBundle:
    """The claim of a file; raises `ConfigurationError` with the element and the remedy, never with a value."""
    try:
        return read_claim(file.read_bytes())
    except OSError as problem:
        raise ConfigurationError(str(file), f"cannot be read ({problem.strerror}).", "Check the path.") from None
    except NotJson as problem:
        remedy = "Give a FHIR Bundle in JSON that holds one Claim and what it references."
        raise ConfigurationError(str(file), f"is {problem}.", remedy) from None
    except MappingError as problem:
        finding = problem.findings[0]
        raise ConfigurationError(f"{file} {finding.expression}", finding.message, finding.fix) from None


def _checked(claim: ClaimBundle, link: DryConnection) -> tuple[Finding, ...]:
    """The profile's findings; the edits' too where the claim has the form that they rely on."""
    found = check_claim(claim)
    return found if holds(found) else (*found, *run_edits(claim, link.clinic.local_date(utc_now())))


def _built(adapter: BillingAdapter, link: DryConnection, file: Path, claim: ClaimBundle, prior: Prior) -> VendorPayload:
    own = submission_id(link.clinic.clinic_id, link.name, claim.claim["id"])
    needs_prior = _CAPABILITY.get(claim.frequency) in link.info.capabilities
    if needs_prior and not prior:
        remedy = "Give the vendor's ids of that claim: --prior NAME=VALUE, e.g. --prior PayerClaimControlNumber=X1."
        raise ConfigurationError(str(file), "replaces or voids a claim on file, which must be named.", remedy)
    return adapter.build(claim, own, _receipt(claim, link, prior) if needs_prior else None)


def _receipt(claim: ClaimBundle, link: DryConnection, prior: Prior) -> SubmissionReceipt:
    """The receipt that the claim on file would have."""
    named = next((related.get("claim", {}).get("reference", "") for related in claim.claim["related"]), "")
    before = submission_id(link.clinic.clinic_id, link.name, named.removeprefix("Claim/"))
    return SubmissionReceipt(before, Evidence(SubmissionState.ACCEPTED, "dry run", utc_now()), prior)


def _transmissions(adapter: BillingAdapter, payloads: Sequence[VendorPayload]) -> Iterator[VendorPayload]:
    """As the claims would travel: each alone, or together as the connection batches."""
    if adapter.batch is None:
        yield from payloads
        return
    most = adapter.batch.most
    groups = [payloads[start : start + most] for start in range(0, len(payloads), most)]
    yield from (adapter.enclose(group, number, utc_now()) for number, group in enumerate(groups, CONTROL_NUMBER))


def _prior_ids(given: Sequence[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in given]
    if any(not name or not value for name, _, value in pairs):
        raise ConfigurationError("--prior", "is not NAME=VALUE.", "For example --prior PayerClaimControlNumber=X1.")
    return {name: value for name, _, value in pairs}


def _show_findings(file: Path, findings: Sequence[Finding]) -> None:
    for finding in findings:
        _say(f"{file}: {finding.severity.value}: {finding.expression}: {finding.message}")
        if finding.fix:
            _say(f"  {finding.fix}")


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201
