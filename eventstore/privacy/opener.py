"""Opening what was read: the keys of a batch are fetched at once, then each event's data is opened without waiting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventstore.privacy.keyring import Keyring
from eventstore.privacy.marker import REDACTED
from eventstore.privacy.seal import find_headers, mask, open_all, open_value


class Opener:
    """Opens sealed values with the keys of *keyring*; without one, they read as SEALED.

    *lost* grows by one with every value that was found redacted, so that a caller can tell whether an event lost something.
    """

    def __init__(self, keyring: Keyring | None) -> None:
        self._keyring = keyring
        self.lost = 0

    async def prepare(self, documents: Iterable[bytes | str | None]) -> None:
        """Fetch the keys that JSON *documents* need; a no-op for documents that hold nothing sealed. Raises PreconditionFailed."""
        if self._keyring is not None and (headers := find_headers(documents)):
            await self._keyring.fetch(headers)

    def open(self, data: Any, event_id: object) -> Any:
        """Open *data* of the event, in place, and give it. `prepare` must have seen it. Raises PreconditionFailed when tampered with."""
        if self._keyring is None:
            return mask(data)
        return open_all(data, lambda text, path: self.open_one(text, event_id, path))

    def open_one(self, text: str, event_id: object, path: str) -> Any:
        """Open one sealed text that lies at *path* of the event."""
        cipher = None if self._keyring is None else self._keyring.cipher(text[:24])
        if cipher is None:
            self.lost += 1
            return REDACTED
        return open_value(text, cipher, event_id, path)
