"""The X12 adapter against the contract of all billing adapters, by each of its deliveries."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from adapters.billing.x12_837p import ADAPTER
from gateway.canonical import jsonio
from gateway.canonical.models import ClaimBundle, SubmissionReceipt, SubmissionState, VendorPayload
from gateway.kit.contract_billing import BillingContract, SentLine
from gateway.kit.contract_frame import MADE_AT
from gateway.kit.simulator import FaultKind
from gateway.ports.billing import BillingAdapter, BillingAdapterInfo, BillingCapability

HERE = pathlib.Path(__file__).parent
SFTP_FAULTS = frozenset(
    {
        FaultKind.RESET,
        FaultKind.RESET_AFTER_SAVE,
        FaultKind.TIMEOUT,
        FaultKind.TIMEOUT_AFTER_SAVE,
        FaultKind.SAVE_AFTER_TIMEOUT,
        FaultKind.UNAUTHORIZED,
    }
)
"""An SFTP server has no statuses, no quotas in its answers and no bodies that could be garbage."""


def without(*capabilities: BillingCapability) -> BillingAdapterInfo:
    """The fact sheet of a delivery that cannot do what another can."""
    return dataclasses.replace(ADAPTER, capabilities=ADAPTER.capabilities - set(capabilities))


UNKNOWN_STATUS = (
    f"ISA*00*{' ' * 10}*00*{' ' * 10}*ZZ*{'CLRHOUSE':15}*ZZ*{'GWSUBMIT':15}*260305*0801*^*00501*000000009*0*T*:~"
    "GS*HN*CLRHOUSE*GWSUBMIT*20260305*0801*9*X*005010X214~ST*277*0001*005010X214~BHT*0085*08*X1*20260305*0801*TH~"
    "HL*1**20*1~NM1*PR*2*SAMPLE HEALTH PLAN*****PI*60054~TRN*1*C1~DTP*050*D8*20260304~DTP*009*D8*20260305~"
    "HL*2*1*21*1~NM1*41*2*LAKESIDE DERMATOLOGY*****46*GWSUBMIT~TRN*2*GW000000101~STC*A1:19*20260305*WQ*265~"
    "HL*3*2*19*1~NM1*85*2*LAKESIDE DERMATOLOGY*****XX*1234567893~TRN*1*0~STC*A1:19**WQ*265~"
    "HL*4*3*PT~NM1*QC*1*DOE*JANE****MI*XYZ123456789~TRN*2*GSAMPLE000101~STC*Z9:9999*20260305*WQ*265~"
    "SE*17*0001~GE*1*9~IEA*1*000000009~"
)
"""A payer's 277CA with a status category that X12 does not have."""


class Delivered(BillingContract):
    """What the deliveries share: the simulator's settings, and its ledger."""

    __test__ = False
    delivery: ClassVar[str]
    secret: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _running(self, sandbox: Any) -> None:
        self._sandbox = sandbox

    @pytest.fixture
    def simulator_url(self, sandbox: Any) -> str:
        return str(sandbox.url)

    def settings_for(self, url: str) -> dict[str, Any]:
        settings: dict[str, Any] = self._sandbox.settings(self.delivery)
        return settings if url == self._sandbox.url else self.moved(settings, url)

    def moved(self, settings: dict[str, Any], url: str) -> dict[str, Any]:
        channel = {k: v.replace(self._sandbox.url, url) for k, v in settings[self.delivery].items()}
        return {**settings, self.delivery: channel}

    def wrong_credentials(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, self.delivery: {**settings[self.delivery], self.secret: "not the secret"}}

    def secrets(self, url: str) -> list[str]:
        return [self.settings_for(url)[self.delivery][self.secret]]

    def saved(self, ledger: dict[str, Any], submission_id: str) -> int:
        return sum(claim["submission_id"] == submission_id for claim in ledger["claims"])

    def state_of_unknown_word(self, adapter: BillingAdapter) -> SubmissionState | None:
        (outcome,) = (o for o in adapter.parse_outcome(UNKNOWN_STATUS.encode()) if o.account_number)
        return outcome.evidence.state


class Batched(Delivered):
    """Deliveries of whole interchanges; the golden files show one around a single claim."""

    golden = HERE / "golden"
    golden_suffix = "x12"

    def built(
        self, adapter: BillingAdapter, claim: ClaimBundle, submission_id: str, prior: SubmissionReceipt | None = None
    ) -> VendorPayload:
        """An interchange is named by its control number; the contract names each by its only claim."""
        return dataclasses.replace(super().built(adapter, claim, submission_id, prior), submission_id=submission_id)

    @pytest.fixture(autouse=True)
    def _showing(self, writer: Any) -> None:
        self._writer = writer

    def shown(self, payload: VendorPayload) -> bytes:
        return bytes(self._writer.enclose([payload], 101, MADE_AT).body.replace(b"~", b"~\n"))

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        diagnoses: list[str] = []
        lines: list[SentLine] = []
        for segment in payload.body.decode().split("~"):
            name, *elements = segment.split("*")
            if name == "HI":
                diagnoses = [_dotted(element.split(":")[1]) for element in elements]
            elif name == "SV1":
                _, procedure, *modifiers = elements[0].split(":")
                quantity, charge = Decimal(elements[3]), Decimal(elements[1])
                pointed = tuple(diagnoses[int(pointer) - 1] for pointer in elements[6].split(":"))
                lines.append(SentLine(procedure, tuple(modifiers), pointed, quantity, charge / quantity))
        return lines


class TestSftp(Batched):
    __test__ = True
    info = without(BillingCapability.FIND_SUBMISSION)
    delivery, secret = "sftp", "password"
    create_operation = "put"
    receipt_state = SubmissionState.SENT
    operation_faults = SFTP_FAULTS

    def moved(self, settings: dict[str, Any], url: str) -> dict[str, Any]:
        return {**settings, "sftp": {**settings["sftp"], "port": urlsplit(url).port}}


class OneByOne(Delivered):
    """Deliveries of single claims as JSON."""

    golden = HERE / "golden_json"

    def shown(self, payload: VendorPayload) -> bytes:
        return json.dumps(json.loads(payload.body), indent=1).encode() + b"\n"

    def lines(self, payload: VendorPayload) -> list[SentLine]:
        claim = jsonio.loads(payload.body)["claimInformation"]
        diagnoses = [_dotted(entry["diagnosisCode"]) for entry in claim["healthCareCodeInformation"]]
        return [_line(line["professionalService"], diagnoses) for line in claim["serviceLines"]]


class TestStedi(OneByOne):
    __test__ = True
    info = without(BillingCapability.FIND_SUBMISSION, BillingCapability.BATCH)
    delivery, secret = "stedi", "api_key"
    create_operation = "submission"


class TestOptum(OneByOne):
    __test__ = True
    info = without(BillingCapability.FIND_SUBMISSION, BillingCapability.BATCH, BillingCapability.REPEAT)
    delivery, secret = "optum", "client_secret"
    create_operation, read_operation = "optum-submission", "token"
    golden = HERE / "golden_optum"


class TestClaimMd(Batched):
    __test__ = True
    info = without(BillingCapability.REPEAT)
    delivery, secret = "claim_md", "account_key"
    create_operation = "upload"
    receipt_state = SubmissionState.RECEIVED


def _line(service: dict[str, Any], diagnoses: list[str]) -> SentLine:
    quantity, charge = Decimal(service["serviceUnitCount"]), Decimal(service["lineItemChargeAmount"])
    pointers = service["compositeDiagnosisCodePointers"]["diagnosisCodePointers"]
    pointed = tuple(diagnoses[int(pointer) - 1] for pointer in pointers)
    modifiers = tuple(service.get("procedureModifiers", ()))
    return SentLine(service["procedureCode"], modifiers, pointed, quantity, charge / quantity)


def _dotted(code: str) -> str:
    return code if len(code) <= 3 else f"{code[:3]}.{code[3:]}"
