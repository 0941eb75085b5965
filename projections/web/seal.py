"""Tokens that only this app can have made: text and a keyed digest of it (HMAC-SHA-256, 128 bits), with a key that no client has. Pure.

A token tells no secret and opens nothing, but it makes a request wait. Whoever may invent one can have requests wait for writes that
there never were, each as long as the app allows. With a key such a token is told before anything is waited for or opened.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

MARK = "~"
_SIZE = 16


class Seal:
    """Seals with the first of *keys* and knows what any of them sealed, so that a key can be changed; without keys, text is as it is."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        self._keys = [each.encode() for each in keys]

    @classmethod
    def of(cls, keys: str | None) -> Seal:
        """Read *keys* as a setting holds them, separated by commas."""
        return cls([each.strip() for each in (keys or "").split(",") if each.strip()])

    def write(self, text: str) -> str:
        """Give *text* sealed; an empty one stays empty."""
        return f"{text}{MARK}{_digest(self._keys[0], text)}" if self._keys and text else text

    def read(self, text: str) -> str:
        """Give what `write` sealed. Raises ValueError for anything else."""
        if not self._keys or not text:
            return text
        plain, _, given = text.rpartition(MARK)
        found = [hmac.compare_digest(_digest(each, plain).encode(), given.encode(errors="replace")) for each in self._keys]
        if not any(found):
            raise ValueError("it is none that this app gave out")
        return plain


UNSEALED: Final = Seal()


def _digest(key: bytes, text: str) -> str:
    made = hmac.digest(key, b"refold-token:" + text.encode(errors="replace"), hashlib.sha256)[:_SIZE]
    return urlsafe_b64encode(made).decode().rstrip("=")
