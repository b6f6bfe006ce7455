"""The service behind the transport: one call is parsed, authorized, paced, handled and answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.billing.kareo_tebra.simulator.charges import encounter_details, list_charges
from adapters.billing.kareo_tebra.simulator.directory import DEFAULT_DIRECTORY, load_directory
from adapters.billing.kareo_tebra.simulator.encounters import create_encounter, update_status
from adapters.billing.kareo_tebra.simulator.gate import Gate
from adapters.billing.kareo_tebra.simulator.parser import SoapFault, Values, null_reference, parse_request
from adapters.billing.kareo_tebra.simulator.patients import (
    create_patient,
    register_vendor,
    update_external_ids,
    update_patient,
    update_primary_case,
)
from adapters.billing.kareo_tebra.simulator.reads import directory_read, get_patient, list_patients
from adapters.billing.kareo_tebra.simulator.replies import (
    CUSTOMER_ID,
    THROTTLED,
    BusinessError,
    Refused,
    business_error,
    empty_row,
    fault,
    refused,
    result,
)
from adapters.billing.kareo_tebra.simulator.state import Account
from adapters.billing.kareo_tebra.simulator.types import LISTINGS
from gateway.kit.simulator import SimulatorOptions

Reply = tuple[int, bytes]
"""The HTTP status and the XML of an answer."""

_LISTS: dict[str, Callable[[Account, Values], list[Values]]] = {
    "GetPractices": directory_read("GetPractices"),
    "GetProviders": directory_read("GetProviders"),
    "GetServiceLocations": directory_read("GetServiceLocations"),
    "GetProcedureCodes": directory_read("GetProcedureCodes"),
    "GetPatients": list_patients,
    "GetEncounterDetails": encounter_details,
    "GetCharges": list_charges,
}

_OTHERS: dict[str, Callable[[Account, Values], Values]] = {
    "CreatePatient": create_patient,
    "UpdatePatient": update_patient,
    "UpdatePatientsExternalID": update_external_ids,
    "UpdatePrimaryPatientCase": update_primary_case,
    "RegisterExternalVendor": register_vendor,
    "CreateEncounter": create_encounter,
    "UpdateEncounterStatus": update_status,
    "GetCustomerIdFromKey": lambda account, request: {"CustomerId": CUSTOMER_ID},
}


class Service:
    """One simulated account and the operations on it.

    `options.data` may carry `projection`: "empty" (the default: a list read with toggles in `Fields` answers one row
    with no values) or "toggles" (it answers the columns that were asked for), as section 5 saw both.
    """

    def __init__(self, options: SimulatorOptions) -> None:
        data: dict[str, Any] = options.data or DEFAULT_DIRECTORY
        self.account = Account(load_directory(data))
        self.gate = Gate(options.credentials, options.pace)
        self._projection = data.get("projection", "empty")

    def call(self, operation: str, body: bytes) -> Reply:
        """Answer one SOAP message, and save what it saves."""
        try:
            request = parse_request(operation, body)
            self.gate.authorize(operation, request["RequestHeader"] or {})
            if not self.gate.admits(operation):
                return 200, business_error(operation, THROTTLED)
            return 200, result(operation, self._handle(operation, request))
        except SoapFault as problem:
            return 500, fault(problem)
        except Refused as problem:
            return 200, refused(operation, problem.security)
        except BusinessError as problem:
            return 200, business_error(operation, str(problem))

    def _handle(self, operation: str, request: Values) -> Values:
        if operation in _LISTS:
            return self._list(operation, request)
        if operation == "GetPatient":
            return get_patient(self.account, _criteria(request))
        if operation == "GetThrottles":
            return {"Throttles": self.gate.throttles()}
        if operation == "GetExternalVendors":
            return {"ExternalVendors": _vendors(self.account)}
        return _OTHERS[operation](self.account, request)

    def _list(self, operation: str, request: Values) -> Values:
        listing = LISTINGS[operation]
        found = _LISTS[operation](self.account, _criteria(request))
        nothing = [empty_row(listing.row, listing.key)]
        fields = request.get("Fields") or {}
        wanted = {name for name, value in fields.items() if (value or "").strip().lower() == "true"}
        if wanted and self._projection == "empty":
            return {listing.wrapper: nothing}
        if wanted:
            found = [{name: value for name, value in row.items() if name in wanted} for row in found]
        return {listing.wrapper: found or nothing}


def _criteria(request: Values) -> Values:
    criteria = request.get("Filter")
    if criteria is None:
        raise null_reference()
    return dict(criteria)


def _vendors(account: Account) -> list[Values]:
    rows = [{"ExternalVendorID": vendor, "ExternalVendorName": name} for vendor, name in account.vendors.items()]
    return rows or [empty_row("ExternalVendorData", "ExternalVendorID")]
