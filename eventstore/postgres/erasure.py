"""Forgetting a person: the key first, then the events that tell everybody.

Snapshots of the streams go as well: they are states that were folded in the open. In between it waits until no process believes the
key any more. The events come last on purpose: whatever was opened before lies before them in its stream, so that no row can be written
with plaintext after its handler was told. Broken off anywhere, the same call goes on: the key is gone already, and the events have ids
that are made of key and stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

from eventstore.codec import decode
from eventstore.envelope import NewEvent
from eventstore.errors import PreconditionFailed
from eventstore.forgotten import SubjectForgotten
from eventstore.postgres.engine import checkout
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.postgres.statements import load
from eventstore.postgres.store import PostgresEventStore
from eventstore.privacy.keyring import Keyring
from eventstore.privacy.marker import is_redacted
from eventstore.privacy.opener import Opener
from eventstore.privacy.seal import find_headers, open_all
from eventstore.tenant import split

_HERE: Final = "eventstore.postgres"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sealed:
    """One stored event that is sealed with a subject's key."""

    id: str
    type: str
    data: Any


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: the *key* that is gone (None = there never was one), the sealed *events* and their *streams*."""

    subject: str
    key: UUID | None
    events: int
    streams: list[str]


async def forget(store: PostgresEventStore, subject: str, tell: Tell) -> Erased:
    """Destroy the key of *subject* (with its tenant: `@acme/customer-7`) and record SubjectForgotten in its streams.

    Safe to repeat. Raises PreconditionFailed without master keys.
    """
    keyring = require_keyring(store)
    key = await keyring.store.destroy(subject)
    keyring.drop()
    if key is None:
        return Erased(subject, None, 0, [])
    tell(f"the key of {subject} is gone; waiting {keyring.cache_s:g} s until no process holds it any more")
    await asyncio.sleep(keyring.cache_s)
    streams = await find_streams(store, key)
    snapshots = PostgresSnapshots(store.engine)
    for stream in streams:
        await snapshots.drop(stream)
        told = SubjectForgotten(split(subject)[1])
        await store.append(stream, [NewEvent(told, id=uuid5(key, stream))])
    return Erased(subject, key, sum(streams.values()), list(streams))


async def find_streams(store: PostgresEventStore, key: UUID) -> dict[str, int]:
    """Give every stream that holds events sealed with *key*, and how many."""
    async with checkout(store.engine) as connection:
        return dict(await (await connection.execute(load(_HERE, "subject_streams"), (str(key),))).fetchall())


async def find_sealed(store: PostgresEventStore, key: UUID) -> list[Sealed]:
    """Give every event that is sealed with *key*."""
    async with checkout(store.engine) as connection:
        rows = await (await connection.execute(load(_HERE, "subject_events"), (str(key),))).fetchall()
    return [Sealed(each[0], each[1], each[3]) for each in rows]


async def read_plain(store: PostgresEventStore, subject: str) -> set[str]:
    """Give the texts that are sealed for *subject* while its key still exists; empty for one who was forgotten or never known."""
    keyring = require_keyring(store)
    known = await keyring.store.look(subject)
    texts: set[str] = set()
    if known is None:
        return texts
    sealed = await find_sealed(store, known)
    headers = find_headers(each.data for each in sealed)
    await keyring.fetch(headers)
    opener = Opener(keyring)
    for each in sealed:
        fields = decode(each.data)
        open_all(fields, _collect(opener, each.id, texts))
    return texts


def require_keyring(store: PostgresEventStore) -> Keyring:
    """Give the store's keyring. Raises PreconditionFailed without one."""
    if store.keyring is None:
        raise PreconditionFailed("no master key is configured: set REFOLD_PRIVACY_MASTER_KEYS or REFOLD_PRIVACY_MASTER_KEY_FILE")
    return store.keyring


def _collect(opener: Opener, event_id: str, texts: set[str]) -> Callable[[str, str], Any]:
    def opened(text: str, path: str) -> Any:
        value = opener.open_one(text, event_id, path)
        texts.update([] if is_redacted(value) else _texts(value))
        return value

    return opened


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]  # pyright: ignore[reportUnknownVariableType]
    return [] if value is None or isinstance(value, bool) else [str(value)]
