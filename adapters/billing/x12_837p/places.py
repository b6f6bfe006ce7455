"""Where the mapping's roots lie in a claim, and which canonical element goes where. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

PLACES: Mapping[str, str] = MappingProxyType(
    {
        "unit": "Claim.item.quantity.unit",
        "line_place": "Claim.item.locationCodeableConcept",
        "item_day": "Claim.item.serviced",
        "item_period": "Claim.item.serviced",
        "line_control": "Claim.item.sequence",
        "line_note": "Claim.item.informationSequence",
        "item": "Claim.item",
        "drug": "Claim.item.detail",
        "account": "Claim.identifier",
        "place": "Claim.item.locationCodeableConcept",
        "frequency": "Claim.related",
        "control_number": "Claim.related.reference.value",
        "accident": "Claim.accident",
        "accident_state": "Claim.accident.locationAddress.state",
        "authorization": "Claim.insurance.preAuthRef",
        "note": "Claim.supportingInfo.valueString",
        "onset": "Claim.supportingInfo",
        "hospitalized": "Claim.supportingInfo",
        "patient_paid": "Claim.supportingInfo",
        "submission_id": "Claim",
        "diagnosis": "Claim.diagnosis",
        "coverage": "Claim.insurance.coverage",
        "subscriber": "Claim.insurance.coverage.subscriber",
        "born": "Claim.insurance.coverage.subscriber",
        "subscriber_name": "Claim.insurance.coverage.subscriber.name",
        "subscriber_address": "Claim.insurance.coverage.subscriber.address",
        "payer": "Claim.insurance.coverage.payor",
        "payer_id": "Claim.insurance.coverage.payor.identifier",
        "payer_address": "Claim.insurance.coverage.payor.address",
        "responsibility": "Claim.insurance.sequence",
        "self_code": "Claim.insurance.coverage.relationship",
        "relationship": "Claim.insurance.coverage.relationship",
        "plan_name": "Claim.insurance.coverage.class.name",
        "insurance_type": "Claim.insurance.coverage.type",
        "filing": "Claim.insurance.coverage.type",
        "patient": "Claim.patient",
        "patient_name": "Claim.patient.name",
        "patient_address": "Claim.patient.address",
        "billing": "Claim.provider",
        "billing_address": "Claim.provider.address",
        "facility": "Claim.facility",
        "facility_address": "Claim.facility.address",
        "provider": "Claim.careTeam.provider",
        "provider_name": "Claim.careTeam.provider.name",
    }
)
"""Where each root lies in a claim."""

CARRIED: Mapping[str, str] = MappingProxyType(
    {
        "Claim.identifier": "2300 CLM01 (the patient account number; its line numbers in 2400 REF*6R)",
        "Claim.billablePeriod": "- the lines' own dates, 2400 DTP*472",
        "Claim.provider": "2000A PRV*BI, 2010AA",
        "Claim.facility": "2310C, when its address is not the billing provider's",
        "Claim.referral": "2300 REF*9F",
        "Claim.related": "2300 CLM05-3, REF*F8",
        "Claim.accident": "2300 CLM11, DTP*439",
        "Claim.careTeam.rendering": "2310B",
        "Claim.careTeam.referring": "2310A NM1*DN",
        "Claim.careTeam.supervisor": "2310D",
        "Claim.careTeam.ordering": "2420E",
        "Claim.supportingInfo.hospitalized": "2300 DTP*435, DTP*096",
        "Claim.supportingInfo.onset": "2300 DTP*431",
        "Claim.supportingInfo.info": "2300 NTE*ADD, or 2400 NTE*ADD when a line points to it",
        "Claim.supportingInfo.patientPaid": "2300 AMT*F5",
        "Claim.diagnosis": "2300 HI*ABK, ABF",
        "Claim.insurance.focal": "2000B SBR, 2010BA, 2010BB; 2000C and 2010CA when the patient is not the insured",
        "Claim.insurance.other": "2320 SBR, OI; 2330A, 2330B",
        "Claim.insurance.preAuthRef": "2300 REF*G1",
        "Claim.item.productOrService": "2400 SV101-2",
        "Claim.item.modifier": "2400 SV101-3..6",
        "Claim.item.serviced": "2400 DTP*472",
        "Claim.item.location": "2300 CLM05-1; 2400 SV105 where a line differs",
        "Claim.item.quantity": "2400 SV104, SV103 UN or MJ",
        "Claim.item.unitPrice": "- SV102 is the line charge; compared with units times price before sending",
        "Claim.item.net": "2400 SV102",
        "Claim.item.diagnosisSequence": "2400 SV107",
        "Claim.item.careTeamSequence": "2420A where a line's provider is not the claim's; 2420E",
        "Claim.item.detail": "2410 LIN*N4, CTP",
        "Claim.item.informationSequence": "2400 NTE*ADD",
        "Claim.total": "2300 CLM02",
    }
)
"""Every canonical element with its loop and segment (the JSON of Stedi and Optum has a member for each of them)."""
