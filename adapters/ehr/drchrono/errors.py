"""What DrChrono's refusals mean. Source: vendor document section 3 (status codes, errors)."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from gateway.canonical import jsonio
from gateway.kit.errors import AdapterError, PermissionMissing, UnexpectedResponse
from gateway.kit.json_api import by_status

VENDOR = "drchrono"
GATES: Mapping[str, str] = {
    "appointments": "scope calendar; permissions for scheduling and clinical notes",
    "clinical_notes": "scope clinical; the permission for clinical notes",
    "line_items": "scope billing; permissions for billing and to show the billing tab",
    "line_item_deletions": "scope billing; permissions for billing and to show the billing tab",
    "claim_billing_notes": "scope billing:write; permissions for billing and to show the billing tab",
    "patients": "scope patients; the permission to manage patients",
    "patient_authorizations": "scope patients; the permission to manage patients",
    "doctors": "scope user",
    "doctor_options": "scope settings",
    "offices": "scope settings",
    "users": "scope user",
}
"""What the consenting user needs, by the first step of the path (section 2, two gates)."""
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,60}")


def refusal(operation: str, response: httpx.Response) -> AdapterError:
    """The error of an answer that is no success; of a 400 only the names of the fields, as texts may repeat values."""
    kind = operation.partition(":")[2]
    if response.status_code == 400:
        fields = ", ".join(_fields(response)) or "no field named"
        return UnexpectedResponse(VENDOR, operation, f"the request is not accepted ({fields})", vendor_code="400")
    if response.status_code == 403:
        text = f"the consent does not allow this; it needs: {GATES.get(kind, 'more than it has')}"
        return PermissionMissing(VENDOR, operation, text, vendor_code="403")
    return by_status(VENDOR, operation, response)


def _fields(response: httpx.Response) -> list[str]:
    try:
        body = jsonio.loads(response.content)
    except jsonio.NotJson:
        return []
    return [name for name in body if _FIELD.fullmatch(str(name))] if isinstance(body, dict) else []
