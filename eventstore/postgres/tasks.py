"""Tasks in PostgreSQL: written down, taken, crossed off.

`Agenda` is what an application uses to have an event recorded or a command handled at a time. The rest is for the worker that
carries tasks out. All times are the database's, so a worker whose clock is wrong is neither early nor late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode, encode
from eventstore.errors import UsageError
from eventstore.identity import make_id
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.rows import check_stream
from eventstore.postgres.statements import load
from eventstore.postgres.transaction import OwnConnection, fetch
from eventstore.task import NOW, Kind, Task, name_command, name_event

_HERE = "eventstore.postgres"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task in this worker's hands, for the *attempts*-th time."""

    task: Task
    attempts: int


class Agenda:
    """Has things done at a time, by `eventstore processes run`: durable, once, cancellable until they begin."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def record(
        self,
        stream: str,
        event: object,
        *,
        at: datetime | None = None,
        after: timedelta = NOW,
        task_id: UUID | None = None,
        connection: OwnConnection | None = None,
    ) -> UUID:
        """Have *event* recorded at the end of *stream*, *after* the time *at* (None = now) by the database's clock.

        Gives the id, which will be the event's own; the same *task_id* again changes nothing. *connection*: written down within
        the caller's transaction.
        """
        raw = name_event(event)
        task = Task(
            task_id or make_id(), Kind.EVENT, raw.type, raw.data, raw.version, lane=check_stream(stream), due=at, after=after
        )
        return await self._write(task, connection)

    async def send(
        self,
        stream: str,
        command: object,
        *,
        at: datetime | None = None,
        after: timedelta = NOW,
        task_id: UUID | None = None,
        connection: OwnConnection | None = None,
    ) -> UUID:
        """Have *command* handled on *stream* at a time, as `record` does for an event; the id will be the command's."""
        raw = name_command(command)
        task = Task(
            task_id or make_id(), Kind.COMMAND, raw.type, raw.data, raw.version, lane=check_stream(stream), due=at, after=after
        )
        return await self._write(task, connection)

    async def cancel(self, task_id: UUID, *, connection: OwnConnection | None = None) -> bool:
        """Cancel a task that nobody has begun; False when it was begun, is done, or is not known."""
        return bool(await self._run("cancel_task", (task_id,), connection))

    async def retry(self, task_id: UUID) -> None:
        """Let a failed task be tried again. Raises UsageError when there is no failed task of this id."""
        await self._change("retry_task", task_id)

    async def skip(self, task_id: UUID) -> None:
        """Give a failed task up. Raises UsageError when there is no failed task of this id."""
        await self._change("skip_task", task_id)

    async def list(self, state: str = "waiting", most: int = 100) -> list[dict[str, Any]]:
        """Give up to *most* tasks in *state* (waiting, failed, done, cancelled), the oldest first."""
        names = ("id", "kind", "name", "state", "lane", "process", "instance", "due_at", "attempts", "reason")
        return [dict(zip(names, row, strict=True)) for row in await self._run("list_tasks", (state, most), None)]

    async def sweep(self, age: timedelta) -> int:
        """Forget tasks that were done or cancelled longer than *age* ago; gives how many."""
        async with checkout(self._engine) as connection:
            return (await connection.execute(load(_HERE, "sweep_tasks"), (age.total_seconds(),))).rowcount

    async def _write(self, task: Task, connection: OwnConnection | None) -> UUID:
        await self._run("insert_tasks", (_document([task]),), connection)
        return task.id

    async def _change(self, statement: str, task_id: UUID) -> None:
        if not await self._run(statement, (task_id,), None):
            raise UsageError(f"there is no failed task {task_id}: see `eventstore processes --failed`")

    async def _run(self, statement: str, arguments: Sequence[Any], within: OwnConnection | None) -> list[Any]:
        if within is not None:
            return await fetch(within, load(_HERE, statement), arguments)
        async with checkout(self._engine) as connection:
            return await fetch(connection, load(_HERE, statement), arguments)


async def insert_tasks(connection: Connection, tasks: Sequence[Task]) -> None:
    """Write *tasks* down within the transaction of *connection*; known ids are left alone."""
    if tasks:
        await connection.execute(load(_HERE, "insert_tasks"), (_document(tasks),))


async def claim_tasks(connection: Connection, holder: str, most: int, lease_s: float) -> list[Claimed]:
    """Take up to *most* due tasks for *lease_s* seconds, in the order in which they are due."""
    values = {"holder": holder, "most": most, "lease_s": lease_s}
    rows = await (await connection.execute(load(_HERE, "claim_tasks"), values)).fetchall()
    return [_claimed(row) for row in rows]


async def finish_tasks(connection: Connection, done: Iterable[Claimed]) -> int:
    """Cross tasks off; gives how many were still ours."""
    ended = list(done)
    values = ([each.task.id for each in ended], [each.attempts for each in ended])
    return (await connection.execute(load(_HERE, "finish_tasks"), values)).rowcount


async def fail_task(connection: Connection, claimed: Claimed, reason: str, retry_s: float | None) -> None:
    """Note that an attempt failed; the next may be in *retry_s* seconds, None = never."""
    values = {"task_id": claimed.task.id, "attempts": claimed.attempts, "reason": reason[:2_000], "retry_s": retry_s}
    await connection.execute(load(_HERE, "fail_task"), values)


async def fail_timeout(connection: Connection, task_id: UUID, reason: str) -> None:
    """Set a timeout aside, because of *reason*."""
    await connection.execute(load(_HERE, "fail_timeout"), (reason[:2_000], task_id))


def _document(tasks: Sequence[Task]) -> str:
    return encode([_facts(each) for each in tasks]).decode()


def _facts(task: Task) -> Mapping[str, Any]:
    return {
        **{name: getattr(task, name) for name in _PLAIN},
        "kind": str(task.kind),
        "after": task.after.total_seconds(),
        "metadata": dict(task.metadata),
    }


_PLAIN = (
    "id",
    "name",
    "data",
    "schema_version",
    "lane",
    "due",
    "process",
    "instance",
    "timer",
    "cause",
    "repeatable",
)


def _claimed(row: Any) -> Claimed:
    task_id, kind, name, data, schema_version, lane, process, instance, cause, metadata, repeatable, attempts = row
    task = Task(
        task_id,
        Kind(kind),
        name,
        decode(data),
        schema_version,
        lane,
        process=process,
        instance=instance,
        cause=cause,
        metadata=decode(metadata),
        repeatable=repeatable,
    )
    return Claimed(task, attempts)
