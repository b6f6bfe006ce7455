"""The headers of the ADS JSON API v4 (vendor document section 3). Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

ACCEPT = "application/api.myadsc.com+json;version=4"
DigestStyle = Literal["hex", "binary"]


def signed_headers(
    body: bytes, path: str, secret: str, when: datetime, *, user_agent: str, style: DigestStyle = "hex"
) -> dict[str, str]:
    """The headers of one POST of `body` to `path`, at an instant in UTC.

    `Content-MD5` and `APIAuth` are base64 of the hex digest, or with `style` binary of the digest's bytes.
    """
    stamp = format_datetime(when, usegmt=True)
    content_md5 = _encoded(hashlib.md5(body, usedforsecurity=False), style)
    canonical = f"{content_md5},{path},{stamp}"
    signature = hmac.new(secret.encode(), canonical.encode(), hashlib.sha256)
    return {
        "Accept": ACCEPT,
        "Content-Type": "application/json",
        "User-agent": user_agent,
        "Request-Timestamp": stamp,
        "Content-MD5": content_md5,
        "APIAuth": _encoded(signature, style),
    }


def _encoded(digest: hashlib._Hash | hmac.HMAC, style: DigestStyle) -> str:
    return base64.b64encode(digest.digest() if style == "binary" else digest.hexdigest().encode()).decode()
