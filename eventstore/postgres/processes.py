"""Where processes are, in PostgreSQL: one owner at a time, fenced by epoch, and everything of a turn in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode
from eventstore.errors import Fenced, UsageError
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.statements import load
from eventstore.postgres.tasks import insert_tasks
from eventstore.stream import Position
from eventstore.task import Task

_HERE = "eventstore.postgres"


class Standing(NamedTuple):
    """A process in our hands: the *epoch* that our writes must carry, and the *position* up to which it has reacted."""

    name: str
    epoch: int
    position: Position


class Timeout(NamedTuple):
    """A timeout that is due."""

    id: UUID
    instance: str
    timer: str
    name: str
    schema_version: int
    data: Any
    metadata: dict[str, Any]
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Written:
    """What a turn leaves behind: *states* as (instance, JSON, completed), *tasks*, *timers* to cancel as (instance, name or None)."""

    states: Sequence[tuple[str, str, bool]]
    tasks: Sequence[Task]
    timers: Sequence[tuple[str, str | None]]
    timeouts: Sequence[UUID]


async def claim_process(connection: Connection, name: str, owner: str, start: Position, lease_s: float) -> Standing | None:
    """Become the owner of *name*, which begins after *start* when it never ran; None while somebody else's lease holds."""
    values = {"name": name, "owner": owner, "xid": start.xid, "sequence": start.sequence, "lease_s": lease_s}
    row = await (await connection.execute(load(_HERE, "claim_process"), values)).fetchone()
    return Standing(name, row[0], Position(row[1], row[2])) if row else None


async def advance_process(connection: Connection, standing: Standing, position: Position, lease_s: float) -> Standing:
    """Move the checkpoint to *position* within the open transaction, whose row lock keeps others out until it commits.

    Raises Fenced when the process has another owner by now.
    """
    values = {
        "name": standing.name,
        "epoch": standing.epoch,
        "xid": position.xid,
        "sequence": position.sequence,
        "from_xid": standing.position.xid,
        "from_sequence": standing.position.sequence,
        "lease_s": lease_s,
    }
    if (await connection.execute(load(_HERE, "advance_process"), values)).rowcount != 1:
        raise Fenced(f"process {standing.name!r} has another owner now; nothing of this one's batch was written")
    return standing._replace(position=position)


async def block_process(connection: Connection, standing: Standing, reason: str, blocked: Position, lease_s: float) -> None:
    """Say that the process stands still before the event at *blocked*, and why."""
    values = {
        "name": standing.name,
        "epoch": standing.epoch,
        "reason": reason[:2_000],
        "blocked": str(blocked),
        "lease_s": lease_s,
    }
    await connection.execute(load(_HERE, "block_process"), values)


async def release_process(connection: Connection, standing: Standing) -> None:
    """Give the process back before the lease runs out."""
    await connection.execute(load(_HERE, "release_process"), (standing.name, standing.epoch))


async def read_instances(connection: Connection, process: str, names: Iterable[str]) -> dict[str, tuple[str, bool]]:
    """Give state (JSON) and completion of those of *names* that exist."""
    rows = await (await connection.execute(load(_HERE, "read_instances"), (process, list(names)))).fetchall()
    return {name: (state, completed) for name, state, completed in rows}


async def has_timeouts(connection: Connection, process: str) -> datetime | None:
    """Give the time by the database's clock if a timeout of *process* is due; None = none is."""
    row = await (await connection.execute(load(_HERE, "has_timeouts"), (process,))).fetchone()
    return row[0] if row else None


async def due_timeouts(connection: Connection, process: str, moment: datetime, most: int) -> list[Timeout]:
    """Give up to *most* timeouts of *process* that were due at *moment* by the database's clock, and lock them."""
    rows = await (await connection.execute(load(_HERE, "due_timeouts"), (process, moment, most))).fetchall()
    return [
        Timeout(task_id, instance, timer, name, version, decode(data), decode(metadata), due_at)
        for task_id, instance, timer, name, version, data, metadata, due_at in rows
    ]


async def write_turn(connection: Connection, process: str, written: Written) -> None:
    """Write what a turn left behind within the open transaction: old timers go before new ones of the same name come."""
    if written.timeouts:
        await connection.execute(load(_HERE, "end_timeouts"), (list(written.timeouts),))
    if written.timers:
        values = {"process": process, "instances": [i for i, _ in written.timers], "timers": [t for _, t in written.timers]}
        await connection.execute(load(_HERE, "cancel_timers"), values)
    await insert_tasks(connection, written.tasks)
    if written.states:
        names, states, completed = zip(*written.states, strict=True)
        values = {"process": process, "instances": list(names), "states": list(states), "completed": list(completed)}
        await connection.execute(load(_HERE, "write_instances"), values)


async def list_processes(engine: AsyncEngine) -> list[dict[str, Any]]:
    """Give every process that ever ran: owner, whether it is *held* now, position, why it stands still, what waits for it."""
    names = ("name", "owner", "epoch", "held", "position", "reason", "instances", "waiting", "failed")
    async with checkout(engine) as connection:
        rows = await (await connection.execute(load(_HERE, "list_processes"))).fetchall()
    return [dict(zip(names, (*row[:4], str(Position(row[4], row[5])), *row[6:]), strict=True)) for row in rows]


async def skip_event(engine: AsyncEngine, process: str) -> Position:
    """Let *process* pass over the event that it stands still before. Raises UsageError when it does not stand still."""
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "skip_event"), (process,))).fetchone()
    if row is None:
        raise UsageError(f"process {process!r} does not stand still before an event: see `eventstore processes`")
    return Position(row[0], row[1])
