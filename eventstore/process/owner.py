"""Who runs one process: owns it by a lease, reads the store in order, and commits turn after turn.

Checkpoint, states, tasks and timers of a turn commit in one transaction, which begins by moving the checkpoint under our epoch:
an owner that slept through its lease writes nothing. Timeouts are taken when there are no more events to read, so an event that
could be read before a timeout fell due is reacted to first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from eventstore.backoff import jitter_s
from eventstore.envelope import Envelope
from eventstore.errors import Fenced, HeldElsewhere, ProcessStuck
from eventstore.event import registry
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.processes import (
    Standing,
    Timeout,
    Written,
    advance_process,
    block_process,
    claim_process,
    due_timeouts,
    has_timeouts,
    read_instances,
    release_process,
    write_turn,
)
from eventstore.postgres.store import PostgresEventStore
from eventstore.postgres.tasks import fail_timeout
from eventstore.process.process import Process
from eventstore.process.turn import Instance, Stimulus, Turn
from eventstore.sealer import describe_error
from eventstore.settings import ProcessSettings
from eventstore.stream import START
from eventstore.task import commands

log = logging.getLogger(__name__)


class _Failed(Exception):
    """The stimulus of this *index* raised *error*; the turn is spoilt."""

    def __init__(self, index: int, error: Exception) -> None:
        super().__init__(index)
        self.index = index
        self.error = error


class Owner:
    """Runs *process* over *store* as *name* (unique among workers)."""

    def __init__(self, store: PostgresEventStore, process: Process[Any, Any], settings: ProcessSettings, name: str) -> None:
        self.process = process
        self._store = store
        self._settings = settings
        self._name = name
        self._standing: Standing | None = None
        self._renewed = 0.0
        self._fails = 0
        self._states: TypeAdapter[Any] = TypeAdapter(process.shape)
        self._wanted = process.wanted

    async def claim(self) -> bool:
        """Become the owner, or stay it; False while somebody else is."""
        if self._standing is None:
            start = await self._store.head() if self.process.start == "now" else START
            async with checkout(self._store.engine) as connection:
                self._standing = await claim_process(connection, self.process.name, self._name, start, self._settings.lease_s)
            self._renewed = time.monotonic()
        return self._standing is not None

    async def release(self) -> None:
        """Give the process back."""
        standing, self._standing = self._standing, None
        if standing:
            async with checkout(self._store.engine) as connection:
                await release_process(connection, standing)

    async def step(self) -> int:
        """Take the next batch; gives how many events and timeouts were read, 0 = nothing to do.

        Raises HeldElsewhere when somebody else owns the process, Fenced when somebody took it over, ProcessStuck when the next event can't
        be reacted to.
        """
        if not await self.claim() or self._standing is None:
            raise HeldElsewhere(f"process {self.process.name!r} is run by somebody else: see `eventstore processes`")
        limit = self._settings.batch_events
        standing = self._standing
        page = await self._read_page(standing)
        reach("process.read")
        due: datetime | None = None
        if len(page) < limit:
            async with checkout(self._store.engine) as connection:
                due = await has_timeouts(connection, self.process.name)
        if due:
            page = await self._read_page(standing)  # what came before it was due, and after the first look
            due = due if len(page) < limit else None
        if not page and not due and time.monotonic() - self._renewed < self._settings.lease_s / 3:
            return 0
        return await self._take(standing, page, due)

    async def _read_page(self, standing: Standing) -> list[Envelope[Any]]:
        limit = self._settings.batch_events
        return [each async for each in self._store.read_all(standing.position, limit, decoded=False)]

    async def _take(self, standing: Standing, page: Sequence[Envelope[Any]], due: datetime | None) -> int:
        """Commit the batch with the timeouts that were *due* then, or as much of it as can be reacted to."""
        try:
            taken = await self._commit(standing, page, due)
        except Fenced:
            self._standing = None
            raise
        except _Failed as failed:
            if failed.index == 0 or not page:
                await self._stop(standing, page[0], failed.error)
            return await self._take(standing, page[: failed.index], None)
        self._fails, self._renewed = 0, time.monotonic()
        return taken

    async def _commit(self, standing: Standing, page: Sequence[Envelope[Any]], moment: datetime | None) -> int:
        process, settings = self.process, self._settings
        position = page[-1].position if page else standing.position
        async with checkout(self._store.engine) as connection:
            async with connection.transaction():
                after = await advance_process(connection, standing, position, settings.lease_s)
                stimuli = self._read(page)
                due = await due_timeouts(connection, process.name, moment, settings.batch_events) if moment else []
                names = {each.instance for _, each in stimuli} | {each.instance for each in due}
                turn = Turn(process, await self._load(connection, names))
                _run_all(turn, stimuli)
                poison = self._wake(turn, due)
                await write_turn(
                    connection, process.name, self._written(turn, [each.id for each in due if each.id not in poison])
                )
                for each, reason in poison.items():
                    await fail_timeout(connection, each, reason)
                reach("process.before_commit")
            reach("process.after_commit")
        self._standing = after
        return len(page) + len(due)

    def _read(self, page: Sequence[Envelope[Any]]) -> list[tuple[int, Stimulus]]:
        """Decode what this process reads and find whom it concerns; each with its index in the page."""
        stimuli: list[tuple[int, Stimulus]] = []
        for index, each in enumerate(page):
            if each.type not in self._wanted:
                continue
            try:
                event = registry.named(each.type).decode(each.data, each.schema_version)
                instance = self.process.key(event, each.stream) if self.process.key else each.stream
            except Exception as error:
                raise _Failed(index, error) from error
            if instance is not None:
                stimuli.append((index, Stimulus(each.id, instance, event, each.recorded_at, each.metadata)))
        return stimuli

    def _wake(self, turn: Turn, due: Sequence[Timeout]) -> dict[Any, str]:
        """Let instances react to timeouts; one that raises is set aside, and its instance is as it was before."""
        poison: dict[Any, str] = {}
        for each in due:
            before = self._pack(turn, each.instance)
            marks = len(turn.tasks), dict(turn.timers), set(turn.touched)
            try:
                message = commands.named(each.name).decode(each.data, each.schema_version)
                turn.take(Stimulus(each.id, each.instance, message, each.due_at, each.metadata, each.timer))
            except Exception as error:
                poison[each.id] = f"{type(error).__name__}: {error}"
                turn.instances[each.instance] = self._unpack(*before)
                del turn.tasks[marks[0] :]
                turn.timers, turn.touched = marks[1], marks[2]
        return poison

    async def _load(self, connection: Connection, names: set[str]) -> dict[str, Instance]:
        found = await read_instances(connection, self.process.name, sorted(names)) if names else {}
        return {name: self._unpack(state, completed) for name, (state, completed) in found.items()}

    def _pack(self, turn: Turn, name: str) -> tuple[str, bool]:
        instance = turn.instances.setdefault(name, Instance(self.process.initial(name)))
        return self._states.dump_json(instance.state).decode(), instance.completed

    def _unpack(self, state: str, completed: bool) -> Instance:
        return Instance(self._states.validate_json(state), completed)

    def _written(self, turn: Turn, timeouts: Sequence[Any]) -> Written:
        timers = [timer for timer in turn.timers.values() if timer is not None]
        gone: list[tuple[str, str | None]] = [*turn.timers, *((name, None) for name in turn.ended())]
        states = [(name, *self._pack(turn, name)) for name in sorted(turn.touched)]
        return Written(states, [*turn.tasks, *timers], gone, timeouts)

    async def _stop(self, standing: Standing, event: Envelope[Any], error: Exception) -> None:
        """Stand still before *event*: say so where people look, wait, and let it be tried again."""
        self._fails += 1
        reason = f"{event.type} {event.stream}/{event.version} ({event.id}): {describe_error(error, event.type)}"
        async with checkout(self._store.engine) as connection:
            await block_process(connection, standing, reason, event.position, self._settings.lease_s)
        self._standing = None  # skipping the event moves the checkpoint
        raise ProcessStuck(
            f"process {self.process.name!r} stands still before {reason}. Mend the code, or pass over the event with "
            f"`eventstore processes --skip {self.process.name}`",
            process=self.process.name,
            event=str(event.id),
            position=str(event.position),
        ) from error

    async def run(self, stop: asyncio.Event) -> None:
        """Take batch after batch until *stop* is set; the one in hand is finished first. Failures are waited out and told."""
        delay = self._settings.poll_s
        while not stop.is_set():
            try:
                delay = self._settings.poll_s if await self.step() else min(delay * 1.5, self._settings.idle_poll_s)
            except HeldElsewhere:
                delay = min(1.0, self._settings.lease_s / 3)
            except Fenced as error:
                log.warning("%s", error)
            except ProcessStuck as error:
                log.warning("%s", error)
                delay = max(0.05, jitter_s(self._fails, first=0.1, most=self._settings.lease_s / 2))
            await pause(stop, delay)
        await self.release()


def _run_all(turn: Turn, stimuli: Sequence[tuple[int, Stimulus]]) -> None:
    for index, each in stimuli:
        try:
            turn.take(each)
        except Exception as error:
            raise _Failed(index, error) from error


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait for *seconds*, or until *stop* is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
