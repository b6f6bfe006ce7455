"""What Practice Fusion's refusals mean (vendors practice_fusion sections 2 and 8).

Refusals come in three shapes: OperationOutcome, Kong's `{message, request_id}`, and at the token endpoint
`{subcode, message}`, which is told by its words alone: status and subcode are the same for every mistake.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from gateway.canonical.errors import AdapterError, CredentialsRejected, PermissionMissing, VendorUnavailable
from gateway.kit import tokens
from gateway.kit.http import rate_limited

VENDOR = "practice_fusion"

_BY_WORDS: Mapping[str, tuple[type[AdapterError], str]] = {
    "not granted access": (
        PermissionMissing,
        "the practice has not authorized this app: its administrator presses Authorize App in the App Marketplace",
    ),
    "permissions to requested scope": (
        PermissionMissing,
        "a scope that is asked for is not granted; only .rs scopes of the app's registration are",
    ),
}
"""Words of a message, in lower case, to what they mean; any other message is about the client."""


def token_refusal(vendor: str, response: httpx.Response) -> AdapterError:
    """The error of a refused token request. The message itself is not passed on."""
    status, body = response.status_code, tokens.json_object(response)
    if status == 429:
        return rate_limited(vendor, "token", response)
    if "error" in body or not isinstance(body.get("message"), str):
        return tokens.token_refusal(vendor, response)
    if status == 404 or status >= 500:  # Kong answers in the facade's place
        text = f"HTTP {status}: check the practice's GUID in base_url, then try again"
        return VendorUnavailable(vendor, "token", text)
    message = body["message"].lower()
    known = next((meaning for words, meaning in _BY_WORDS.items() if words in message), None)
    failure, text = known or (CredentialsRejected, "the client id or its key is not accepted")
    return failure(vendor, "token", text, vendor_code=str(body.get("subcode", ""))[:40])
