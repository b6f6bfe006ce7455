"""Many claims in one interchange: envelope, submitter, receiver, and levels numbered through (section 1). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from adapters.billing.x12_837p.payload import BILLING_LEVEL, PATIENT_LEVEL, SUBSCRIBER_LEVEL
from adapters.billing.x12_837p.settings import X12Settings
from gateway.canonical.clinic import ClinicFacts
from gateway.canonical.errors import ConfigurationError
from gateway.canonical.models import VendorPayload
from gateway.kit.encoders import x12

CONTENT_TYPE = "application/edi-x12"
VERSION = "005010X222A1"
LONGEST_NAME = 60
MOST_CLAIMS = 5000  # per transaction set
BATCH_PREFIX = "GW"
_SUBSCRIBER_MARK = f"~{SUBSCRIBER_LEVEL}"


def submitter(settings: X12Settings, clinic: ClinicFacts) -> tuple[str, str]:
    """Name and telephone number of the submitter (1000A); raises `ConfigurationError` when there is no number."""
    biller = clinic.billing_provider
    phone = settings.contact_phone or x12.digits(biller.phone)[-10:]
    if len(phone) != 10:
        remedy = "Set contact_phone, or complete the billing provider's phone in gateway.yaml."
        raise ConfigurationError("x12_837p", "the submitter (1000A) needs a telephone number of ten digits.", remedy)
    name = x12.text(settings.submitter_name or biller.name)
    if len(name) > LONGEST_NAME:
        remedy = f"Set submitter_name, with at most {LONGEST_NAME} characters."
        raise ConfigurationError("x12_837p", "the submitter's name (1000A) is too long.", remedy)
    return name, phone


class Writer:
    """Writes the interchanges of one connection."""

    def __init__(self, settings: X12Settings, clinic: ClinicFacts, connection: str) -> None:
        stem = f"837P-{clinic.clinic_id}-{connection}"  # clinics may share one mailbox
        self._stem = re.sub(r"[^A-Za-z0-9-]+", "-", stem)
        self._offset = settings.control_number_offset
        self._zone = clinic.timezone
        self._suffix = settings.file_suffix
        self._envelope = x12.Envelope(
            sender=settings.submitter_id,
            receiver=settings.receiver_id,
            functional_id="HC",
            version=VERSION,
            sender_qualifier=settings.submitter_qualifier,
            receiver_qualifier=settings.receiver_qualifier,
            usage=settings.usage,
            request_ta1=settings.request_ta1,
        )
        receiver = x12.text(settings.receiver_name or settings.receiver_id)
        name, phone = submitter(settings, clinic)
        contact = x12.text(settings.contact_name)
        self._parties = (
            x12.segment(("NM1", "41", "2", name, "", "", "", "", "46", x12.exact(settings.submitter_id)))
            + x12.segment(("PER", "IC", contact, "TE", phone))
            + x12.segment(("NM1", "40", "2", receiver, "", "", "", "", "46", x12.exact(settings.receiver_id)))
        )

    def enclose(self, payloads: Sequence[VendorPayload], control_number: int, made_at: datetime) -> VendorPayload:
        """The interchange of built claims, dated at the clinic; equal arguments give equal bytes."""
        number_sent = control_number + self._offset
        if not payloads or not (control_number > 0 and number_sent < 10**9):
            raise ValueError("an interchange needs claims and a control number of at most nine digits")
        local = made_at.astimezone(self._zone)
        bodies = [payload.body.decode("ascii") for payload in payloads]
        sets = [
            self._transaction_set(bodies[start : start + MOST_CLAIMS], number, number_sent, local)
            for number, start in enumerate(range(0, len(bodies), MOST_CLAIMS), start=1)
        ]
        content = self._envelope.interchange(number_sent, local, sets)
        fields = {"file": f"{self._stem}-{number_sent:09d}{self._suffix}", "claims": len(payloads)}
        return VendorPayload(f"{control_number:09d}", CONTENT_TYPE, content.encode("ascii"), fields)

    def _transaction_set(self, bodies: Sequence[str], number: int, control_number: int, local: datetime) -> str:
        batch = batch_id(control_number) + (f"-{number}" if number > 1 else "")
        heading = x12.segment(("BHT", "0019", "00", batch, f"{local:%Y%m%d}", f"{local:%H%M}", "CH"))
        levels = "".join(_levels(bodies))
        return x12.transaction_set("837", f"{number:04d}", VERSION, f"{heading}{self._parties}{levels}")


def batch_id(control_number: int) -> str:
    """BHT03, which the 277CA gives back."""
    return f"{BATCH_PREFIX}{control_number:09d}"


def control_number_of(batch: str) -> str:
    """The control number (nine digits) that a batch id was made from, or empty."""
    digits = batch.removeprefix(BATCH_PREFIX)[:9]
    return digits if batch.startswith(BATCH_PREFIX) and len(digits) == 9 and digits.isdigit() else ""


def _levels(bodies: Sequence[str]) -> Iterator[str]:
    """The claims under one level per billing provider, in order of first appearance."""
    by_provider: dict[str, list[str]] = {}
    for body in bodies:
        provider, _, claim = body.partition(_SUBSCRIBER_MARK)
        by_provider.setdefault(provider.removeprefix(BILLING_LEVEL), []).append(claim)
    level = 0
    for provider, claims in by_provider.items():
        level += 1
        above = level
        yield f"HL*{above}**20*1~{provider}~"
        for claim in claims:
            level += 1
            subscriber = level
            rest = claim
            if claim.startswith("1"):  # HL04: a patient's level follows
                level += 1
                rest = claim.replace(PATIENT_LEVEL, f"HL*{level}*{subscriber}*23*0~", 1)
            yield f"HL*{subscriber}*{above}*22*{rest}"
