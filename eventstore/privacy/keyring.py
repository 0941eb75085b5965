"""The keys that a process holds for a while, so that sealing and opening ask the key store once a batch instead of once a field.

A key is believed for `cache_s` seconds and then asked for again: that long after a subject was forgotten, no process opens anything of
it any more. That a key is gone is believed for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from eventstore.errors import ForgottenSubject, PreconditionFailed
from eventstore.privacy.cipher import Cipher, make_cipher
from eventstore.privacy.keystore import KeyStore, SubjectKey
from eventstore.privacy.seal import name_header, read_header


class _Held(NamedTuple):
    """A key in use (None = forgotten) and until when it is believed."""

    header: str
    cipher: Cipher | None
    until: float


class Keyring:
    """Keys from *store*, each for at most *cache_s* seconds, at most *cache_keys* of them beside those in use."""

    def __init__(
        self, store: KeyStore, *, cache_s: float = 10.0, cache_keys: int = 50_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.store = store
        self.cache_s = cache_s
        self._most = cache_keys
        self._clock = clock
        self._by_header: dict[str, _Held] = {}
        self._by_subject: dict[str, _Held] = {}

    async def fetch(self, headers: Iterable[str]) -> None:
        """Make the keys with these headers ready for `cipher`. Raises PreconditionFailed for a key that the store never had."""
        wanted, now = set(headers), self._clock()
        while missing := self._find_missing(self._by_header, wanted, now):
            found = await self.store.find([read_header(each) for each in missing])
            for header in missing:
                key = found.get(read_header(header))
                if key is None:
                    raise PreconditionFailed(
                        f"key {read_header(header)} is not in the key store, though events are sealed with it: this process looks at "
                        "another key store than the writers, or the key table was restored to an earlier state. Look at "
                        "REFOLD_PRIVACY_DSN."
                    )
                self._by_header[header] = _hold(key, now + self.cache_s)

    def cipher(self, header: str) -> Cipher | None:
        """Give a key that was fetched; None = its subject was forgotten."""
        return self._by_header[header].cipher

    async def claim(self, subjects: Iterable[str]) -> None:
        """Make the keys of *subjects* ready for `sealing`, new ones too."""
        wanted, now = set(subjects), self._clock()
        while missing := self._find_missing(self._by_subject, wanted, now):
            for subject, key in (await self.store.claim(missing)).items():
                self._by_subject[subject] = _hold(key, now + self.cache_s)

    def sealing(self, subject: str) -> tuple[str, Cipher]:
        """Give header and key to seal with for a subject that was claimed. Raises ForgottenSubject."""
        held = self._by_subject[subject]
        if held.cipher is None:
            raise ForgottenSubject(
                f"subject {subject!r} was forgotten, so no personal data of it can be recorded any more: record it under a new subject, "
                "or without the personal fields",
                subject=subject,
            )
        return held.header, held.cipher

    def drop(self) -> None:
        """Forget all keys held; the next use asks again."""
        self._by_header.clear()
        self._by_subject.clear()

    def _find_missing(self, held: dict[str, _Held], wanted: set[str], now: float) -> list[str]:
        """Give what must be asked for; asked again after each answer, since other tasks may have made room meanwhile."""
        missing = [each for each in wanted if each not in held or held[each].until <= now]
        if len(held) + len(missing) > self._most:
            for each in [each for each in held if each not in wanted]:
                del held[each]
        return missing


def _hold(key: SubjectKey, until: float) -> _Held:
    header = name_header(key.id)
    return _Held(header, None, float("inf")) if key.key is None else _Held(header, make_cipher(key.key), until)
