"""Who carries tasks out: takes what is due, does it, crosses it off.

A task is not done in the transaction that takes it: a worker may die anywhere, and somebody else does it again. For an event and a
command that is the same as once, because the event's id is the task's and the events of a command have ids that follow from it.
For a call to the outside it is at least once (with the same key each time), or at most once where the task says so. Nothing is begun
when the lease may be over: by then somebody else has done it, or a person has given it up.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import Any

from eventstore.backoff import jitter_s
from eventstore.envelope import NewEvent, RawEvent
from eventstore.errors import OutcomeUnknown, TimedOut, UsageError
from eventstore.event import registry
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.postgres.store import PostgresEventStore
from eventstore.postgres.tasks import Agenda, Claimed, claim_tasks, fail_task, finish_tasks
from eventstore.postgres.transaction import is_passing
from eventstore.process.owner import pause
from eventstore.process.program import Processes
from eventstore.repository import Repository
from eventstore.settings import ProcessSettings
from eventstore.task import Kind, Task, commands

log = logging.getLogger(__name__)
_SWEEP_S = 3_600.0


class Worker:
    """Carries out what *program*'s processes and the application's Agenda want done. Any number may run at once."""

    def __init__(self, store: PostgresEventStore, program: Processes, settings: ProcessSettings, name: str) -> None:
        self._store = store
        self._program = program
        self._settings = settings
        self._name = name
        self._swept = 0.0
        snapshots = PostgresSnapshots(store.engine)
        made = {id(each): Repository(store, each, snapshots=snapshots) for each in program.routes.values()}
        self._repositories = {name: made[id(each)] for name, each in program.routes.items()}

    async def step(self) -> int:
        """Take what is due and carry it out; gives how many tasks were taken."""
        settings = self._settings
        until = asyncio.get_running_loop().time() + settings.lease_s * 0.8
        async with checkout(self._store.engine) as connection:
            claimed = await claim_tasks(connection, self._name, settings.batch_tasks, settings.lease_s)
        if not claimed:
            return 0
        reach("task.claimed")
        outcomes = await asyncio.gather(*(self._try(each, until) for each in claimed))
        reach("task.carried_out")
        await self._cross(claimed, outcomes)
        reach("task.crossed_off")
        return len(claimed)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set; what is in hand is finished first."""
        delay = self._settings.poll_s
        while not stop.is_set():
            if time.monotonic() - self._swept > _SWEEP_S:
                self._swept = time.monotonic()
                await Agenda(self._store.engine).sweep(timedelta(seconds=self._settings.keep_s))
            delay = self._settings.poll_s if await self.step() else min(delay * 1.5, self._settings.idle_poll_s)
            await pause(stop, delay)
        await self.settle()

    async def settle(self) -> None:
        """Wait for snapshots that are still being written."""
        for each in {id(each): each for each in self._repositories.values()}.values():
            await each.settle()

    async def _try(self, claimed: Claimed, until: float) -> Exception | None:
        """Carry one task out by *until*; gives what went wrong. A call is crossed off at once, since doing it again is felt."""
        task = claimed.task
        try:
            if not task.repeatable and claimed.attempts > 1:
                raise OutcomeUnknown
            if asyncio.get_running_loop().time() > until:
                raise TimedOut("this worker slept through its lease and did not begin it")
            async with asyncio.timeout_at(until):
                await self._carry_out(task)
        except Exception as error:
            return error
        if task.kind is Kind.CALL:
            await self._finish([claimed])
        return None

    async def _carry_out(self, task: Task) -> None:
        if task.kind is Kind.EVENT:
            new = NewEvent(_read_event(task), id=task.id, metadata=task.metadata)
            await self._store.append(_lane(task), [new])
        elif task.kind is Kind.COMMAND:
            command = commands.named(task.name).decode(task.data, task.schema_version)
            repository = self._repositories.get(task.name)
            if repository is None:
                raise UsageError(f"no decider handles the command {task.name!r}: add it by Processes.route")
            await repository.handle(_lane(task), command, command_id=task.id, metadata=task.metadata)
        else:
            caller = self._program.callers.get(task.name)
            if caller is None:
                raise UsageError(f"nothing carries out calls named {task.name!r}: declare it by Processes.caller")
            await caller(task.data, task.id)

    async def _cross(self, claimed: list[Claimed], outcomes: list[Exception | None]) -> None:
        done = [each for each, error in zip(claimed, outcomes, strict=True) if error is None and each.task.kind is not Kind.CALL]
        if done:
            await self._finish(done)
        for each, error in zip(claimed, outcomes, strict=True):
            if error is not None:
                await self._fail(each, error)

    async def _finish(self, done: list[Claimed]) -> None:
        async with checkout(self._store.engine) as connection:
            await finish_tasks(connection, done)

    async def _fail(self, claimed: Claimed, error: Exception) -> None:
        """Let a task be tried again later, or set it aside; while the database does not answer nothing is counted."""
        if is_passing(error):
            raise error
        last = claimed.attempts >= self._settings.attempts or not claimed.task.repeatable
        wait = None if last else jitter_s(claimed.attempts, first=0.05, most=self._settings.retry_s)
        reason = f"{type(error).__name__}: {error}"
        log.warning("%s %s (%s), attempt %d: %s", claimed.task.kind, claimed.task.name, claimed.task.id, claimed.attempts, reason)
        async with checkout(self._store.engine) as connection:
            await fail_task(connection, claimed, reason, wait)


def _read_event(task: Task) -> Any:
    """Give the event of a task, as an instance of its class where that is known here, so that it is written as any other."""
    known = {each.name for each in registry}
    if task.name not in known:
        return RawEvent(task.name, task.data, task.schema_version)
    return registry.named(task.name).decode(task.data, task.schema_version)


def _lane(task: Task) -> str:
    if task.lane is None:
        raise UsageError(f"task {task.id} names no stream")
    return task.lane
