"""GetCharges, GetEncounterDetails, and what the payer does with a charge (vendor document, sections 5.1 and 7)."""

from __future__ import annotations

from decimal import Decimal

from adapters.billing.kareo_tebra.simulator.directory import PRACTICE_ID
from adapters.billing.kareo_tebra.simulator.encounters import line_results
from adapters.billing.kareo_tebra.simulator.filters import Matcher, bounds, check_posting_span, closed
from adapters.billing.kareo_tebra.simulator.parser import Values
from adapters.billing.kareo_tebra.simulator.replies import full_row, stamp
from adapters.billing.kareo_tebra.simulator.state import Account, Encounter, Line, now

STATUS_NUMBERS = {"Draft": "1", "Submitted": "2", "Approved": "3", "Rejected": "4", "Unpayable": "5"}
"""EncounterStatus as GetEncounterDetails gives it (section 6)."""

CHARGE_STATUSES = (
    "Ready", "Pending", "Completed", "Voided", "Error - Rejection", "Error - Denial", "Error - No Response",
    "Undefined",
)  # fmt: skip
NEXT_STATUS = {"Ready": "Pending", "Pending": "Completed"}
_PAID, _BILLED = ("Completed",), ("Pending", "Completed", "Error - Rejection", "Error - Denial", "Error - No Response")
_ADJUDICATED = ("Completed", "Error - Denial")
_ALLOWED_SHARE = Decimal("0.80")
_CENT = Decimal("0.01")
_PLACES = {
    "02": "Telehealth Provided Other than in Patient's Home",
    "10": "Telehealth Provided in Patient's Home",
    "11": "Office",
    "12": "Home",
    "21": "Inpatient Hospital",
    "22": "On Campus-Outpatient Hospital",
    "23": "Emergency Room - Hospital",
    "24": "Ambulatory Surgical Center",
    "31": "Skilled Nursing Facility",
}

Charge = tuple[Encounter, Line]

CHARGES = Matcher(
    texts={
        "BatchNumber": lambda charge: (charge[0].batch_number,),
        "BilledTo": lambda charge: (_billed_to(charge[0]),),
        "CasePayerScenario": lambda charge: (charge[0].case.details.get("PayerScenario"),),
        "DiagnosisCode": lambda charge: tuple(charge[1].diagnoses),
        "EncounterStatus": lambda charge: (charge[0].status,),
        "PatientName": lambda charge: (charge[0].patient.full_name,),
        "ProcedureCode": lambda charge: (charge[1].procedure,),
        "RenderingProviderFullName": lambda charge: (charge[0].provider_name,),
        "Status": lambda charge: (_status(charge[1]),),
    },
    moments={
        "CreatedDate": lambda charge: charge[0].created,
        "LastModifiedDate": lambda charge: charge[0].modified,
        "PostingDate": lambda charge: charge[0].post_date,
        "ServiceDate": lambda charge: charge[1].start,
    },
    half_open_days=7,
    ignored=frozenset({"IncludeUnapprovedCharges"}),
)


def list_charges(account: Account, criteria: Values) -> list[Values]:
    """GetCharges: approved charges, and with IncludeUnapprovedCharges "T" the others too."""
    check_posting_span(criteria)
    everything = (criteria.get("IncludeUnapprovedCharges") or "").upper() == "T"
    charges = [
        (encounter, line)
        for encounter in _candidates(account, criteria)
        if everything or encounter.status == "Approved"
        for line in encounter.lines
    ]
    found = CHARGES.select(criteria, charges)
    return [full_row("ChargeData", _charge_row(account, encounter, line)) for encounter, line in found]


def _candidates(account: Account, criteria: Values) -> list[Encounter]:
    if criteria.get("BatchNumber"):
        return account.by_batch.get(criteria["BatchNumber"], [])
    if criteria.get("PatientName"):
        patients = account.by_name.get(criteria["PatientName"].casefold(), [])
        return [encounter for patient in patients for encounter in account.by_patient.get(patient.patient_id, [])]
    posting = closed(*bounds(criteria, "PostingDate"))
    if posting:
        days = (held for day, held in account.by_post_date.items() if posting[0] <= day <= posting[1])
        return [encounter for held in days for encounter in held]
    return list(account.encounters.values())


def _status(line: Line) -> str:
    return line.charge_status or "Undefined"


def _billed_to(encounter: Encounter) -> str:
    return "Primary Insurance" if encounter.case.policies else "Patient"


def _charge_row(account: Account, encounter: Encounter, line: Line) -> Values:
    return {
        "BatchNumber": encounter.batch_number,
        "BilledTo": _billed_to(encounter),
        "CreatedDate": stamp(encounter.created),
        "EncounterID": encounter.encounter_id,
        "EncounterStatus": encounter.status,
        "ID": line.line_id,
        "LastModifiedDate": stamp(encounter.modified),
        "PatientID": encounter.patient.patient_id,
        "PatientName": encounter.patient.full_name,
        "PostingDate": stamp(encounter.post_date),
        "PracticeName": account.directory.practice_name,
        "ProcedureCode": line.procedure,
        "RenderingProviderName": encounter.provider_name,
        "ServiceEndDate": stamp(line.end),
        "ServiceStartDate": stamp(line.start),
        "Status": _status(line),
        "UnitCharge": str(line.unit_charge),
        "Units": str(line.units),
        **{f"DiagnosisCode{slot}": code for slot, code in enumerate(line.diagnoses, 1)},
        **{f"ProcedureModifier{slot}": code for slot, code in enumerate(line.modifiers, 1)},
        **_money(encounter, line),
        **_insurance(encounter, line),
    }


def _money(encounter: Encounter, line: Line) -> Values:
    paid, adjusted = _payment(encounter, line)
    balance = line.total - paid - adjusted
    insured = bool(encounter.case.policies)
    return {
        "AdjustedCharges": str(line.total - adjusted),
        "InsuranceBalance": str(balance if insured else Decimal("0.00")),
        "PatientBalance": str(Decimal("0.00") if insured else balance),
        "Receipts": str(paid),
        "TotalBalance": str(balance),
        "TotalCharges": str(line.total),
    }


def _payment(encounter: Encounter, line: Line) -> tuple[Decimal, Decimal]:
    """What the primary payer paid and what the contract took off."""
    if line.charge_status not in _PAID:
        return Decimal("0.00"), Decimal("0.00")
    paid = (line.total * _ALLOWED_SHARE).quantize(_CENT) if encounter.case.policies else line.total
    return paid, line.total - paid


def _insurance(encounter: Encounter, line: Line) -> Values:
    columns: Values = {}
    for order, policy in zip(("Primary", "Secondary", "Tertiary"), encounter.case.policies, strict=False):
        columns[f"{order}InsuranceCompanyName"] = policy.company.name if policy.company else None
        columns[f"{order}InsurancePlanName"] = policy.plan.name if policy.plan else None
    return columns | _primary_adjudication(encounter, line) if columns else columns


def _primary_adjudication(encounter: Encounter, line: Line) -> Values:
    billed = stamp(line.billed)
    columns: Values = {"PrimaryInsuranceFirstBillDate": billed, "PrimaryInsuranceLastBillDate": billed}
    if line.charge_status not in _ADJUDICATED:
        return columns
    paid, adjusted = _payment(encounter, line)
    return columns | {
        "PrimaryInsuranceAdjudicationDate": stamp(line.adjudicated),
        "PrimaryInsuranceInsuranceAllowed": str(paid),
        "PrimaryInsuranceInsuranceContractAdjustment": str(adjusted),
        "PrimaryInsuranceInsuranceContractAdjustmentReason": "45" if adjusted else line.reason,
        "PrimaryInsuranceInsuranceDeductible": "0.00",
        "PrimaryInsuranceInsurancePayment": str(paid),
    }


def move_charges(encounter: Encounter, status: str | None, reason: str | None) -> None:
    """Give an approved encounter's charges a status, or each its next one when `status` is None."""
    moment = now()
    for line in encounter.lines:
        line.charge_status = status or NEXT_STATUS.get(line.charge_status or "", line.charge_status)
        line.reason = reason
        if line.charge_status in _BILLED:
            line.billed = line.billed or moment
        if line.charge_status in _ADJUDICATED:
            line.adjudicated = moment
    encounter.modified = moment


def encounter_details(account: Account, criteria: Values) -> list[Values]:
    """GetEncounterDetails of one EncounterID."""
    encounter = account.encounters.get(criteria.get("EncounterID") or "")
    practice = criteria.get("Practice")
    if encounter is None or (practice and not account.practice_matches(practice)):
        return []
    return [full_row("EncounterDetailsData", _details_row(account, encounter))]


def _details_row(account: Account, encounter: Encounter) -> Values:
    patient, case = encounter.patient, encounter.case
    location = account.directory.locations[encounter.location_id]
    return {
        "BatchNumber": encounter.batch_number,
        "CaseID": case.case_id,
        "CaseName": case.details.get("CaseName"),
        "CasePayerScenario": case.details.get("PayerScenario"),
        "CreatedDate": stamp(encounter.created),
        "EncounterID": encounter.encounter_id,
        "EncounterStatus": STATUS_NUMBERS[encounter.status],
        "LastModifiedDate": stamp(encounter.modified),
        "PatientFirstName": patient.details.get("FirstName"),
        "PatientID": patient.patient_id,
        "PatientLastName": patient.details.get("LastName"),
        "PlaceOfServiceCode": encounter.place_of_service,
        "PlaceOfServiceName": _PLACES.get(encounter.place_of_service),
        "PostDate": stamp(encounter.post_date),
        "PracticeID": PRACTICE_ID,
        "PracticeName": account.directory.practice_name,
        "RenderingProvider": encounter.provider_name,
        "ServiceEndDate": stamp(encounter.end),
        "ServiceLines": line_results(encounter),
        "ServiceLocationID": encounter.location_id,
        "ServiceLocationName": location["Name"],
        "ServiceStartDate": stamp(encounter.start),
    }
