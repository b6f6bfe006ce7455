"""Who may call, and how often (vendor document, sections 2, 3.1 and 4)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from adapters.billing.kareo_tebra.simulator.parser import Values
from adapters.billing.kareo_tebra.simulator.replies import Refused, security_block
from adapters.billing.kareo_tebra.simulator.types import OPERATIONS

DEFAULT_CREDENTIALS = {"customer_key": "ck-demo", "user": "api@example.test", "password": "pw-demo"}
BAD_LOGIN = "Invalid user name and/or password"

_NAMED_GAPS = {
    "GetPatient": 250,
    "GetPractices": 500,
    "GetProviders": 500,
    "GetServiceLocations": 500,
    "GetProcedureCodes": 500,
    "GetEncounterDetails": 500,
    "GetPatients": 1000,
    "GetCharges": 1000,
    "GetExternalVendors": 1000,
    "UpdatePatient": 1000,
    "GetThrottles": 5000,
}
_PREFIX_GAPS = {"Create": 500, "Update": 500}


def vendor_gap(operation: str) -> int:
    """The vendor's minimum gap between two calls of an operation in milliseconds; 0 where none is documented."""
    if operation in _NAMED_GAPS:
        return _NAMED_GAPS[operation]
    return next((gap for prefix, gap in _PREFIX_GAPS.items() if operation.startswith(prefix)), 0)


def bad_login() -> Refused:
    """The reply to a wrong user or password."""
    return Refused(
        security_block(
            Authenticated=False, Authorized=False, CustomerId="0", SecurityResult=BAD_LOGIN, SecurityResultSuccess=False
        )
    )


@dataclass
class Gate:
    """Checks the credentials of each call and keeps the gaps. `pace` scales the gaps; 0 takes them away.

    `credentials` may carry `permissions_missing`: operations, separated by commas, that the user may not call.
    """

    credentials: dict[str, str]
    pace: float
    throttled: int = 0
    _last_call: dict[str, float] = field(default_factory=dict)

    def gap_milliseconds(self, operation: str) -> int:
        """The enforced gap, rounded up to whole milliseconds."""
        return math.ceil(vendor_gap(operation) * self.pace)

    def throttles(self) -> list[Values]:
        """The rows of GetThrottles."""
        gaps = {operation: self.gap_milliseconds(operation) for operation in OPERATIONS if vendor_gap(operation)}
        return [{"Endpoint": operation, "ThrottleTimeMs": str(gap)} for operation, gap in gaps.items()]

    def authorize(self, operation: str, header: Values) -> None:
        """Raise Refused unless the header's key, user and password are right and the user may call this."""
        known = DEFAULT_CREDENTIALS | self.credentials
        if header.get("Password") != known["password"] or header.get("User") != known["user"]:
            raise bad_login()
        if header.get("CustomerKey") != known["customer_key"]:
            raise Refused(
                security_block(
                    Authorized=False,
                    CustomerId="0",
                    CustomerKeyValid=False,
                    SecurityResult="Invalid customer key",
                    SecurityResultSuccess=False,
                )
            )
        if operation in known.get("permissions_missing", "").split(","):
            raise Refused(
                security_block(
                    Authorized=False,
                    PermissionsMissing=operation,
                    SecurityResult="Permission denied",
                    SecurityResultSuccess=False,
                )
            )

    def admits(self, operation: str) -> bool:
        """Whether the gap since the last admitted call has passed; a gap of exactly the limit has not."""
        gap = self.gap_milliseconds(operation)
        moment = time.monotonic()
        last = self._last_call.get(operation)
        if gap and last is not None and (moment - last) * 1000 <= gap:
            self.throttled += 1
            return False
        self._last_call[operation] = moment
        return True
