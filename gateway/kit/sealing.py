"""Seals a small secret with a key derived from another one that the connection already holds.

A session token that all workers share lies in Postgres; sealed with the connection's own password it is of no use to
somebody who only reads the database. AES-256-GCM, key by HKDF-SHA256 (RFC 5869).
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE_BYTES = 12


def seal(value: bytes, secret: str, purpose: str) -> bytes:
    """The sealed value; `purpose` keeps values of different uses apart."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_key(secret, purpose)).encrypt(nonce, value, purpose.encode())


def unseal(sealed: bytes, secret: str, purpose: str) -> bytes | None:
    """The value, or None when it was sealed with another secret (a changed password) or tampered with."""
    try:
        return AESGCM(_key(secret, purpose)).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError):
        return None


def _key(secret: str, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, None, f"fhir-billing-gateway/{purpose}".encode()).derive(secret.encode())
