"""The sealed form of a value, and where in an event's data such values lie. Pure, given ciphers.

A sealed value is `{"$sealed": TEXT}`: 24 characters that name the key (its *header*), then nonce and ciphertext in base64. What is
encrypted is the value's JSON; event id, header and path are bound to it, so that no value can be moved to another event or field
unnoticed. `{"$sealed": null}` is a value that was redacted before it was recorded.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from typing import Any, Final
from uuid import UUID

from eventstore.codec import encode, loads
from eventstore.errors import UsageError
from eventstore.privacy.cipher import Cipher, decrypt, encrypt
from eventstore.privacy.declaration import EACH, Path
from eventstore.privacy.marker import REDACTED, SEALED

MARK: Final = "$sealed"
_FORM: Final = b"\x01\x00"
_HEADER_LENGTH: Final = 24
_IN_BYTES = re.compile(rb'"\$sealed": ?"([A-Za-z0-9+/]{24})')
_IN_TEXT = re.compile(r'"\$sealed": ?"([A-Za-z0-9+/]{24})')
Opening = Callable[[str, str], Any]
"""Opens a sealed text found at a path."""


def name_header(key: UUID) -> str:
    """Write a key's id as the header of what it seals."""
    return b2a_base64(_FORM + key.bytes, newline=False).decode()


def read_header(header: str) -> UUID:
    """Read the key's id from a header. Raises UsageError for a form that this release does not know."""
    found = a2b_base64(header)
    if not found.startswith(_FORM):
        raise UsageError(f"sealed values of form {found[:2].hex()} are newer than this release: deploy the newer code first")
    return UUID(bytes=found[2:])


def find_headers(documents: Iterable[bytes | str | None]) -> set[str]:
    """Give the headers of all sealed values in JSON *documents*, without reading them as JSON."""
    found: set[str] = set()
    for each in documents:
        if isinstance(each, str):
            found.update(_IN_TEXT.findall(each))
        elif each:
            found.update(map(bytes.decode, _IN_BYTES.findall(each)))
    return found


def seal_value(value: Any, cipher: Cipher, header: str, event_id: object, path: str) -> dict[str, Any]:
    """Seal one JSON-able *value*. Raises UsageError for a NUL character, which no table could hold once it is opened."""
    text = encode(value)
    if b"\\u0000" in text:
        raise UsageError(f"event {event_id} has a NUL character (\\u0000) in {path}, which PostgreSQL cannot store: remove it")
    return {MARK: header + b2a_base64(encrypt(cipher, text, _bind(event_id, header, path)), newline=False).decode()}


def open_value(text: str, cipher: Cipher, event_id: object, path: str) -> Any:
    """Open what `seal_value` wrote under MARK. Raises PreconditionFailed when it was tampered with."""
    header = text[:_HEADER_LENGTH]
    return loads(decrypt(cipher, a2b_base64(text[_HEADER_LENGTH:]), _bind(event_id, header, path)))


def seal_paths(data: Any, paths: Iterable[Path], seal: Callable[[Any, str], Any]) -> Any:
    """Replace what lies at *paths* of *data*, in place, by what *seal* makes of value and concrete path; None and sealed ones stay."""
    for path in paths:
        data = _seal_at(data, path, "", seal)
    return data


def open_all(data: Any, opened: Opening, path: str = "") -> Any:
    """Replace every sealed value in *data*, in place, by what *opened* gives for it."""
    if type(data) is dict:
        fields: dict[str, Any] = data  # pyright: ignore[reportUnknownVariableType]
        if MARK in fields:
            return REDACTED if fields[MARK] is None else opened(fields[MARK], path)
        for name, value in fields.items():
            if type(value) is dict or type(value) is list:
                fields[name] = open_all(value, opened, f"{path}/{name}")
    elif type(data) is list:
        items: list[Any] = data  # pyright: ignore[reportUnknownVariableType]
        for index, value in enumerate(items):
            items[index] = open_all(value, opened, f"{path}/{index}")
    return data  # pyright: ignore[reportUnknownVariableType]


def mask(data: Any) -> Any:
    """Give *data* with every sealed value read as SEALED, for a process that has no keys."""
    return open_all(data, _refuse)


def is_sealed(value: Any) -> bool:
    """Say whether *value* is in the sealed form."""
    return type(value) is dict and MARK in value


def _refuse(_text: str, _path: str) -> Any:
    return SEALED


def _bind(event_id: object, header: str, path: str) -> bytes:
    return f"{event_id}|{header}|{path}".encode()


def _seal_at(data: Any, path: Path, above: str, seal: Callable[[Any, str], Any]) -> Any:
    if not path:
        if data is None or is_sealed(data):
            return data
        if data == SEALED:
            raise UsageError(f"the field {above} was read as [sealed] and can't be recorded: this process has no keys")
        return {MARK: None} if data == REDACTED else seal(data, above)
    head, rest = path[0], path[1:]
    if head == EACH and isinstance(data, list):
        data[:] = [_seal_at(each, rest, f"{above}/{index}", seal) for index, each in enumerate(data)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    elif isinstance(data, dict) and not is_sealed(data):
        for name in list(data) if head == EACH else [head] if head in data else []:  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            data[name] = _seal_at(data[name], rest, f"{above}/{name}", seal)
    return data  # pyright: ignore[reportUnknownVariableType]
