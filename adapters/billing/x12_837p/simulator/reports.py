"""277CAs as JSON, one transaction an event: what the report and polling routes of Stedi and Optum show (section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapters.billing.x12_837p.simulator.account import Account, Event
from adapters.billing.x12_837p.simulator.statuses import CLEARINGHOUSE_NAME

Json = dict[str, Any]


def events_of(account: Account, channel: str) -> list[Event]:
    """What there is to tell over one channel, oldest first."""
    return [event for event in account.events if event.entry.channel == channel]


def transaction_id(event: Event) -> str:
    """The id of the transaction that tells an event."""
    return f"277-{event.number:06}"


def find(events: Sequence[Event], wanted: str) -> Event | None:
    """The event of a transaction id."""
    return next((event for event in events if transaction_id(event) == wanted), None)


def report(event: Event, day: str) -> Json:
    """The 277CA; `day` is CCYYMMDD. Its path is transactions, payers, claimStatusTransactions, ... claims."""
    claim = event.entry.claim
    if event.level == "payer":
        source = {"organizationName": claim.payer_name, "payerIdentification": claim.payer_id}
        source["entityIdentifierCode"] = "PR"
    else:
        source = {"organizationName": CLEARINGHOUSE_NAME, "entityIdentifierCode": "AY"}
    patient = {"lastName": claim.patient.family, "firstName": claim.patient.given, "memberId": claim.member_id}
    detail = {"subscriber": patient, "claims": [{"claimStatus": _status(event, day)}]}
    provider = {"organizationName": claim.billing.name, "npi": claim.billing.npi}
    batch = {"claimTransactionBatchNumber": event.entry.batch}
    details = {"serviceProvider": provider, "patientClaimStatusDetails": [detail]}
    payer = {**source, "claimStatusTransactions": [{**batch, "claimStatusDetails": [details]}]}
    header = {"controlNumber": "0001", "referenceIdentification": transaction_id(event), "payers": [payer]}
    return {"transactions": [header]}


def _status(event: Event, day: str) -> Json:
    entry = event.entry
    statuses = [
        {
            "healthCareClaimStatusCategoryCode": status.category,
            "statusCode": status.code,
            **({"entityIdentifierCode": status.entity} if status.entity else {}),
            "statusCodeValue": f"Claim of {entry.claim.patient.family}",
        }
        for status in event.statuses
    ]
    found = {
        "patientAccountNumber": entry.claim.account,
        "referencedTransactionTraceNumber": entry.claim.account,
        "clearinghouseTraceNumber": entry.vendor_id,
        "claimServiceDate": entry.claim.lines[0].first_day,
        "informationClaimStatuses": [
            {
                "statusInformationEffectiveDate": day,
                "totalClaimChargeAmount": str(entry.claim.total),
                "informationStatuses": statuses,
            }
        ],
    }
    if entry.payer_control and event.level == "payer":
        found["tradingPartnerClaimNumber"] = entry.payer_control
    return found
