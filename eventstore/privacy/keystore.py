"""Where the keys of subjects are kept, and the master keys that wrap them, without which the keys' table opens nothing."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol
from uuid import UUID

from eventstore.errors import PreconditionFailed, UsageError
from eventstore.privacy.cipher import KEY_BYTES, Cipher, decrypt, encrypt, make_cipher, make_key
from eventstore.settings import PrivacySettings


class SubjectKey(NamedTuple):
    """The key of one subject: its *id*, and the *key* itself, None once the subject was forgotten."""

    id: UUID
    key: bytes | None


class KeyStore(Protocol):
    """Keeps a key a subject. PostgreSQL is the one that ships; a key service of your own can answer instead."""

    async def claim(self, subjects: Collection[str]) -> Mapping[str, SubjectKey]:
        """Give the key of each subject, made now for those that had none. A forgotten subject's key stays None for ever."""
        ...

    async def find(self, ids: Collection[UUID]) -> Mapping[UUID, SubjectKey]:
        """Give the keys with these ids, forgotten ones too; those that were never here are left out."""
        ...

    async def look(self, subject: str) -> UUID | None:
        """Give the id of a subject's key, forgotten or not; None = it never had one. Makes none."""
        ...

    async def destroy(self, subject: str) -> UUID | None:
        """Destroy the key of *subject* with every copy that the store holds, and give its id; None = there never was one.

        Safe to repeat.
        """
        ...


class MasterKeys:
    """The keys that wrap keys, by name; the first wraps, all of them unwrap."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._ciphers: dict[str, Cipher] = {name: make_cipher(key) for name, key in keys.items()}
        self.current = next(iter(keys))

    def __contains__(self, name: str) -> bool:
        return name in self._ciphers

    def wrap(self, key: bytes, bound: str) -> bytes:
        """Wrap *key* under the current master key, bound to what it belongs to."""
        return encrypt(self._ciphers[self.current], key, bound.encode())

    def unwrap(self, name: str, wrapped: bytes, bound: str) -> bytes:
        """Unwrap what `wrap` made under master key *name*. Raises PreconditionFailed for an unknown name, and for other bytes."""
        if name not in self._ciphers:
            raise PreconditionFailed(
                f"a subject's key is wrapped under master key {name!r}, which is not among REFOLD_PRIVACY_MASTER_KEYS "
                f"({', '.join(self._ciphers)}): add it, or every event sealed under it stays unreadable here"
            )
        return decrypt(self._ciphers[name], wrapped, bound.encode())


def read_masters(settings: PrivacySettings) -> MasterKeys | None:
    """Read the master keys of *settings*; None = this process may not see personal data. Raises UsageError for a malformed one."""
    given = settings.master_keys.get_secret_value() if settings.master_keys else ""
    if settings.master_key_file:
        try:
            given = ",".join([given, *settings.master_key_file.read_text("utf-8").split()])
        except OSError as error:
            raise UsageError(f"REFOLD_PRIVACY_MASTER_KEY_FILE {settings.master_key_file}: {error.strerror or error}") from error
    keys = dict(_read_master(each) for each in given.replace(" ", "").split(",") if each)
    return MasterKeys(keys) if keys else None


def make_master(name: str) -> str:
    """Make a new master key in the form that the settings take."""
    return f"{name}:{b64encode(make_key()).decode()}"


def _read_master(text: str) -> tuple[str, bytes]:
    name, _, encoded = text.partition(":")
    try:
        key = b64decode(encoded, validate=True)
    except NotBase64:
        key = b""
    if not name or len(key) != KEY_BYTES:
        raise UsageError(
            f"master key {name[:16]!r} is not NAME:BASE64 of {KEY_BYTES} bytes: make one with `eventstore keys --new NAME`"
        )
    return name, key
