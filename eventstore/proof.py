"""Proof that a person was forgotten: the key is gone, nothing opens, and what was known of the person is nowhere in the open.

The texts to look for are read before the key is destroyed and live in this process only. What lies outside of reach is named: backups,
other databases, servers' logs.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from eventstore.codec import decode
from eventstore.errors import RefoldError
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_partitions
from eventstore.log.consumer import LogError
from eventstore.postgres.erasure import Erased, find_sealed, require_keyring
from eventstore.postgres.search import Search, Table, pick_needles, search_tables
from eventstore.postgres.store import PostgresEventStore
from eventstore.privacy.marker import is_redacted
from eventstore.privacy.opener import Opener
from eventstore.privacy.seal import find_headers, open_all
from eventstore.settings import KafkaSettings

Tell = Callable[[str], None]
BEYOND: Final = (
    "backups and replicas of the key table still hold the wrapped key: let them expire, or rotate to a new master key and destroy the old",
    "server logs, exports, caches and other databases were not looked at",
)
_STATES: Final = ("process_instance", "task", "snapshot")
_STEP_S = 0.2


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for: *texts* of the person; *common* ones are others' too (a city) and not looked for; whether in the log as well."""

    texts: Collection[str]
    common: Collection[str] = ()
    log: bool = True
    wait_s: float = 10.0


@dataclass(slots=True)
class Proof:
    """What was shown, and what stands against it."""

    key_gone: bool
    events: int
    opened: int
    texts: int
    too_short: int
    tables: int = 0
    records: int | None = None
    left: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    not_searched: list[str] = field(default_factory=list[str])
    beyond: list[str] = field(default_factory=lambda: list(BEYOND))

    @property
    def holds(self) -> bool:
        """True when the key is gone, nothing opens, and all that was to be searched was, and holds nothing."""
        return self.key_gone and not self.opened and not self.left and not self.not_searched


async def prove(store: PostgresEventStore, erased: Erased, wanted: Wanted, kafka: KafkaSettings, tell: Tell) -> Proof:
    """Prove that the subject of *erased* is forgotten. Reads all tables and the whole events topic.

    Read models are given `wait_s` seconds to fold what they were told.
    """
    texts = [each for each in wanted.texts if each not in wanted.common]
    needles = pick_needles(texts)
    keyring = require_keyring(store)
    keyring.drop()
    key = await keyring.store.look(erased.subject)
    gone = key is None or (await keyring.store.find([key]))[key].key is None
    events, opened = await _try_open(store, erased) if gone else (erased.events, erased.events)
    proof = Proof(gone, events, opened, len(needles), len(set(texts)) - len(needles))
    if not needles:
        return proof
    tell(f"looking for {len(needles)} texts in every table" + (" and in the log" if wanted.log else ""))
    search = await _search(store, needles, wanted.wait_s)
    proof.tables = search.searched
    proof.left = [{"where": ".".join(table), "rows": rows, "advice": _advise(table)} for table, rows in search.found.items()]
    proof.not_searched = [f"{'.'.join(table)}: {why}" for table, why in search.refused.items()]
    if wanted.log:
        await _search_log(proof, needles, kafka)
    return proof


async def _try_open(store: PostgresEventStore, erased: Erased) -> tuple[int, int]:
    """Give how many events are sealed with the key, and how many values of them open all the same."""
    if erased.key is None:
        return 0, 0
    keyring, sealed, opened = require_keyring(store), await find_sealed(store, erased.key), 0
    opener = Opener(keyring)
    await keyring.fetch(find_headers(each.data for each in sealed))
    for each in sealed:
        values: list[Any] = []
        open_all(
            decode(each.data), lambda text, path, id_=each.id, values=values: values.append(opener.open_one(text, id_, path))
        )
        opened += sum(not is_redacted(value) for value in values)
    return len(sealed), opened


async def _search(store: PostgresEventStore, needles: set[str], wait_s: float) -> Search:
    search = await search_tables(store.engine, needles)
    until = time.monotonic() + wait_s
    while search.found and any(map(_is_read_model, search.found)) and time.monotonic() < until:
        await asyncio.sleep(_STEP_S)
        again = await search_tables(store.engine, needles, list(search.found))
        search = Search(search.searched, again.found, search.refused)
    return search


async def _search_log(proof: Proof, needles: set[str], kafka: KafkaSettings) -> None:
    """Look for *needles* in every record of the events topic."""
    pattern = re.compile(b"|".join(re.escape(each.encode()) for each in sorted(needles)))
    topic = kafka.events_topic
    try:
        partitions = [(topic, each) for each in range((await find_partitions(kafka, [topic]))[topic])]
        first, end = await find_bounds(kafka, partitions)
        reader = AssignedReader(kafka, f"{topic}.proof")
        try:
            await reader.open(first)
            proof.records, found = await _read_log(reader, end, pattern)
        finally:
            await reader.close()
    except (RefoldError, LogError, OSError) as error:
        proof.not_searched.append(f"topic {topic}: {error}")
        return
    if found:
        proof.left.append(
            {"where": f"topic {topic}", "rows": found, "advice": "these were recorded before the field was Personal"}
        )


async def _read_log(reader: AssignedReader, end: Mapping[tuple[str, int], int], pattern: re.Pattern[bytes]) -> tuple[int, int]:
    records = found = 0
    while any(offset > seen.get(each, 0) for seen in [await reader.seen()] for each, offset in end.items()):
        for batch in (await reader.poll(_STEP_S)).values():
            records += len(batch)
            found += sum(bool(pattern.search(each.value or b"")) for each in batch)
    return records, found


def _is_read_model(table: Table) -> bool:
    return table[0].startswith("rm_")


def _advise(table: Table) -> str:
    if _is_read_model(table):
        return (
            "its handlers did not redact these rows, or no worker feeds it: replay the projection, which redacts all, then "
            "`replay gc` drops the old generation; or the text is another person's too: say so with --common"
        )
    if table[0] == "eventstore" and table[1] in _STATES:
        return "the state of a process or what it still has to do keeps it: let the process handle SubjectForgotten, or sweep what is done"
    if table[0] == "eventstore":
        return (
            "recorded in the open, before the field was Personal or under another field: events are never changed, see the docs"
        )
    return "this table is not of refold: erase it there, or say with --common that the text is not the person's alone"
