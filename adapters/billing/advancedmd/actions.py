"""The actions that the adapter uses, each with the class that AdvancedMD wants for it (sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LOGIN = "login"
ADD_INSURANCE = "addinsurance"
ADD_PATIENT = "addpatient"
ADD_RESPONSIBLE_PARTY = "addrespparty"
ADD_VISIT = "addvisit"
GET_CHARGE = "getchargedetaildata"
GET_DEMOGRAPHIC = "getdemographic"
GET_HISTORY = "gettxhistory"
GET_SETUP = "getschedulersetup"
GET_VISITS = "getdatevisits"
LOOKUP_CARRIER = "lookupcarrier"
LOOKUP_DIAGNOSIS = "lookupdiagcode"
LOOKUP_MODIFIER = "lookupmodcode"
LOOKUP_PATIENT = "lookuppatient"
LOOKUP_PROCEDURE = "lookupproccode"
LOOKUP_PROFILE = "lookupprofile"
LOOKUP_RESPONSIBLE_PARTY = "lookuprespparty"
POST_CHARGES = "updvisitwithquickcharges"
SAVE_CHARGES = "savecharges"

CLASSES: Mapping[str, str] = MappingProxyType(
    {
        ADD_RESPONSIBLE_PARTY: "demographics",
        ADD_VISIT: "chargeentry",
        GET_CHARGE: "demographics",
        GET_DEMOGRAPHIC: "demographics",
        GET_HISTORY: "demographics",
        GET_SETUP: "masterfiles",
        POST_CHARGES: "onlinechargeslips",
        SAVE_CHARGES: "onlinechargeslips",
    }
)
"""Action to its class; every other action has the class `api`."""

CREATES_CLAIM = frozenset({POST_CHARGES, SAVE_CHARGES})
"""The actions whose lost answer leaves a claim in doubt."""

WRITES = CREATES_CLAIM | {ADD_INSURANCE, ADD_PATIENT, ADD_RESPONSIBLE_PARTY, ADD_VISIT}
