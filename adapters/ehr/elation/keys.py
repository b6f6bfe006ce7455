"""The public keys with which Elation signs its notifications: Ed25519 over the raw body.

Each subscription has its own `signing_pub_key`. Whoever subscribes keeps it in the shared values, where the gateway's
other processes find it. Source: vendors generic_smart_fhir section 4.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from contextlib import suppress

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from gateway.canonical import jsonio
from gateway.ports.context import SharedValues

SHARED = "signing-keys"
LOOK_AGAIN_SECONDS = 10.0
_RAW_BYTES = 32


def public_key(text: str) -> Ed25519PublicKey:
    """An Ed25519 key in PEM, or in base64 of its 32 bytes or of its DER form; raises `ValueError` for another text."""
    try:
        if text.lstrip().startswith("-----BEGIN"):
            key = load_pem_public_key(text.encode())
        else:
            held = b64decode(text, validate=True)
            key = Ed25519PublicKey.from_public_bytes(held) if len(held) == _RAW_BYTES else load_der_public_key(held)
    except ValueError:
        raise ValueError("is not an Ed25519 public key (PEM or base64)") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("is a public key, but not one of Ed25519")
    return key


class SigningKeys:
    """The keys of one connection: those of the settings, else those that were learned.

    A process that has not subscribed itself reads the shared values after the first signature that it does not know:
    it refuses that delivery, and knows the key at the next.
    """

    def __init__(
        self, pinned: Iterable[str], shared: SharedValues, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = {text: public_key(text) for text in pinned}
        self._pinned, self._shared, self._clock = bool(self._keys), shared, clock
        self._look_at = 0.0
        self._look: asyncio.Task[None] | None = None

    def verifies(self, body: bytes, signature: str) -> bool:
        """Whether one of the keys made this signature (base64) of the body."""
        try:
            made = b64decode(signature, validate=True)
        except ValueError:
            return False
        if any(_verifies(key, made, body) for key in self._keys.values()):
            return True
        if not self._pinned:
            self._look_soon()
        return False

    async def learn(self, texts: Iterable[str]) -> None:
        """Keep the keys of the subscriptions, here and for the other processes."""
        self._take(texts)
        await self._shared.put(SHARED, jsonio.dumps(sorted(self._keys)))

    async def look(self) -> None:
        """Take the keys that another process has learned."""
        held = await self._shared.get(SHARED)
        self._take(jsonio.loads(held) if held else ())

    async def aclose(self) -> None:
        """Stop looking."""
        if self._look is not None:
            self._look.cancel()

    def _take(self, texts: Iterable[str]) -> None:
        if not self._pinned:
            self._keys = {text: public_key(text) for text in texts}

    def _look_soon(self) -> None:
        """Look in the background, seldom: whoever sends forgeries must not keep Postgres busy."""
        if self._clock() < self._look_at:
            return
        with suppress(RuntimeError):  # outside of an event loop nobody can look
            loop = asyncio.get_running_loop()
            self._look_at = self._clock() + LOOK_AGAIN_SECONDS
            self._look = loop.create_task(self.look())


def _verifies(key: Ed25519PublicKey, signature: bytes, body: bytes) -> bool:
    try:
        key.verify(signature, body)
    except InvalidSignature:
        return False
    return True
