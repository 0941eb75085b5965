"""The ledger of effects: what is to be done is written down in the transaction that applies the event, and crossed off afterwards.

Each effect has a vector of its own, per projection: the first offset that counts, frozen when the effect is met for the first time, and
the next one to be written down. Only the generation that the pointer names moves it, behind the fence of its checkpoint, and only where
nothing lies between; what does (after a swap to a generation that is further) is read from the log again by `backfill`. So the vector says
which events are in the ledger, whichever generation put them there: none twice, none left out, and a build none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from eventstore.codec import encode
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from eventstore.source import Record
from projections.control.checkpoint import Partition
from projections.control.parking import Patience, read_headers, write_headers
from projections.declaration.effect import Effect

PACKAGE = "projections"


class Errand(NamedTuple):
    """An effect that an event has, to be written down."""

    effect: str
    event_id: UUID
    record: Record


@dataclass(frozen=True, slots=True)
class Claimed:
    """An effect in this process's hands, for the *attempts*-th time; implements `eventstore.source.Record`."""

    effect: str
    event_id: UUID
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    attempts: int


class Dispatch:
    """The ledger of one projection, as one generation of it writes there."""

    def __init__(self, projection: str, effects: Iterable[Effect], generation: int) -> None:
        self.projection = projection
        self.names = sorted(each.name for each in effects)
        self._mine = {"projection": projection, "effects": self.names, "generation": generation}

    async def begin(self, connection: Connection, effect: str, start: Mapping[Partition, int]) -> None:
        """Freeze the first offsets of *effect*; those that it has already stay."""
        await connection.execute(load(PACKAGE, "begin_effect"), {**self._mine, "effect": effect, **_columns(start)})

    async def read_vectors(self, connection: Connection) -> dict[str, dict[Partition, int]] | None:
        """Give the next offset of each effect that has begun; None = another generation is live, which moves them."""
        rows = await (await connection.execute(load(PACKAGE, "read_effect_vectors"), self._mine)).fetchall()
        found: dict[str, dict[Partition, int]] = {}
        for effect, topic, partition, offset in rows:
            if effect is not None:
                found.setdefault(effect, {})[topic, partition] = offset
        return found if rows else None

    async def record(self, connection: Connection, moves: Mapping[Partition, tuple[int, int]], errands: Sequence[Errand]) -> int:
        """Write *errands* down in the caller's transaction, which holds the checkpoint, and give how many are new.

        *moves*: from and up to which offset the log was looked through for them.
        """
        values = {
            **self._mine,
            **_columns({each: start for each, (start, _) in moves.items()}),
            "until": [moves[each][1] for each in sorted(moves)],
        }
        await connection.execute(load(PACKAGE, "move_effects"), values)
        return await self.add(connection, errands)

    async def add(self, connection: Connection, errands: Sequence[Errand]) -> int:
        """Write *errands* down that lie between the first and the next offset of their effects, in the caller's transaction."""
        if not errands:
            return 0
        records = [each.record for each in errands]
        values = {
            **self._mine,
            "names": [each.effect for each in errands],
            "ids": [each.event_id for each in errands],
            "topics": [each.topic for each in records],
            "partitions": [each.partition for each in records],
            "offsets": [each.offset for each in records],
            "timestamps": [each.timestamp for each in records],
            "keys": [each.key for each in records],
            "values": [each.value for each in records],
            "headers": [encode(write_headers(each.headers)).decode() for each in records],
        }
        return (await connection.execute(load(PACKAGE, "insert_effects"), values)).rowcount

    async def claim(self, connection: Connection, holder: str, most: int, lease_s: float) -> list[Claimed]:
        """Take up to *most* due effects for *lease_s* seconds, the first of each key; none while another generation is live."""
        values = {**self._mine, "holder": holder, "most": most, "lease_s": lease_s}
        rows = await (await connection.execute(load(PACKAGE, "claim_effects"), values)).fetchall()
        return [_claimed(row) for row in sorted(rows, key=lambda row: row[-1])]

    async def finish(self, connection: Connection, done: Claimed, outcome: Any) -> bool:
        """Cross *done* off; False = its lease had run out and somebody else has it."""
        values = {**self._name(done), "outcome": Jsonb(outcome, dumps=lambda each: encode(each).decode())}
        return (await connection.execute(load(PACKAGE, "finish_effect"), values)).rowcount > 0

    async def fail(self, connection: Connection, failed: Claimed, reason: str, patience: Patience) -> bool:
        """Note that an attempt failed; True = it is dead, since the last attempt is over."""
        retry_s = patience.wait_s(failed.attempts - 1) if failed.attempts < patience.attempts else None
        values = {**self._name(failed), "reason": reason[:2000].replace("\0", "\\0"), "retry_s": retry_s}
        await connection.execute(load(PACKAGE, "fail_effect"), values)
        return retry_s is None

    async def sweep(self, connection: Connection, age_s: float) -> int:
        """Forget effects that were carried out or skipped more than *age_s* seconds ago; their vectors keep them from coming again."""
        values = {"projection": self.projection, "age_s": age_s}
        return (await connection.execute(load(PACKAGE, "sweep_effects"), values)).rowcount

    def _name(self, claimed: Claimed) -> dict[str, Any]:
        return {
            "projection": self.projection,
            "effect": claimed.effect,
            "event_id": claimed.event_id,
            "attempts": claimed.attempts,
        }


async def list_effects(connection: Connection, projection: str | None, states: Sequence[str], most: int) -> list[dict[str, Any]]:
    """List effects in *states*, the oldest first, without payloads."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(load(PACKAGE, "list_effects"), {"projection": projection, "states": list(states), "most": most})
        return await cursor.fetchall()


async def settle_effects(
    connection: Connection, projection: str, state: str, event_id: UUID | None, effect: str | None
) -> list[dict[str, Any]]:
    """Let what failed be due at once, or what is dead be skipped; give those that were. None = any event, any effect."""
    async with connection.cursor(row_factory=dict_row) as cursor:
        values = {"projection": projection, "state": state, "event_id": event_id, "effect": effect}
        await cursor.execute(load(PACKAGE, "settle_effects"), values)
        return await cursor.fetchall()


def _columns(offsets: Mapping[Partition, int]) -> dict[str, list[Any]]:
    wanted = sorted(offsets)
    return {
        "topics": [topic for topic, _ in wanted],
        "partitions": [partition for _, partition in wanted],
        "offsets": [offsets[each] for each in wanted],
    }


def _claimed(row: Sequence[Any]) -> Claimed:
    effect, event_id, topic, partition, offset, timestamp, key, value, headers, attempts, _ = row
    plain = None if key is None else bytes(key)
    return Claimed(effect, event_id, topic, partition, offset, timestamp, plain, bytes(value), read_headers(headers), attempts)
