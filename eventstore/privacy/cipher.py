"""AES-256-GCM, and the one door of `cryptography`, which is an extra: an app without personal data needs none of it."""

from __future__ import annotations

import os
from typing import Any, Protocol

from eventstore.errors import PreconditionFailed, UsageError

KEY_BYTES = 32
NONCE_BYTES = 12
_BLOCK = 16


class Cipher(Protocol):
    """A key ready for use."""

    def encrypt(self, nonce: Any, data: Any, associated_data: Any, /) -> bytes: ...  # noqa: D102
    def decrypt(self, nonce: Any, data: Any, associated_data: Any, /) -> bytes: ...  # noqa: D102


def make_key() -> bytes:
    """Make a random key of 256 bits."""
    return os.urandom(KEY_BYTES)


def make_cipher(key: bytes) -> Cipher:
    """Make *key* ready. Raises UsageError when the extra is not installed."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise UsageError("personal data needs the library cryptography: pip install 'refold[privacy]'") from None
    return AESGCM(key)


def encrypt(cipher: Cipher, plain: bytes, bound: bytes) -> bytes:
    """Encrypt under a fresh nonce, which comes first in the result; *bound* must be given again to decrypt.

    The plain bytes are padded with spaces to a multiple of 16, so that lengths tell little; JSON does not see them.
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain + b" " * (-len(plain) % _BLOCK), bound)


def decrypt(cipher: Cipher, sealed: bytes, bound: bytes) -> bytes:
    """Decrypt. Raises PreconditionFailed when the bytes, the key or *bound* are not those of the encryption."""
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except Exception as error:
        raise PreconditionFailed(
            f"a sealed value of {len(sealed)} bytes does not open ({type(error).__name__}): it was changed, moved to another event or "
            "field, or sealed with another key. Look at the key table and at REFOLD_PRIVACY_MASTER_KEYS."
        ) from None
