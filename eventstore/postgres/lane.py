"""Group append: concurrent appends of one process share a transaction and a round trip, and none of them waits for others to come.

While a group is under way, what arrives queues; the next group takes it. So a lone append goes at once, and under load groups grow
by themselves. Lanes that are free share what waits, if there is enough of it: so the server has a group while this process makes the
next one ready. What an append promises does not change: it returns when it is committed, with an outcome of its own. A group whose
outcome is unknown is sent again whole, under the same event ids; one that the server refuses as a whole, or that meets a lock
which somebody holds, is taken apart, so that only the member at fault fails or waits. A caller that is cancelled while it waits
takes its append along; one whose group is under way does not disturb the others, and its append may be recorded.
Source: docs/explanation/group-append.md.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import RefoldError, Unreachable
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, Loan, unreachable
from eventstore.postgres.group import Limits, choose, compose
from eventstore.postgres.refusals import backoff_s, is_lost, is_repeatable, translate
from eventstore.postgres.request import Answer, Request
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings
from eventstore.stream import Token

_HERE = "eventstore.postgres"
HELD = "55P03"
"""SQLSTATE of a lock that was not free in time."""


class Waiting(NamedTuple):
    """An append and who waits for it."""

    request: Request
    outcome: asyncio.Future[list[Token]]


class Lanes:
    """Sends appends to the server, in groups, over a few connections that are taken from the pool while there is work."""

    def __init__(self, engine: AsyncEngine, settings: PostgresSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._limits = Limits.of(settings)
        self._waiting: list[Waiting] = []
        self._lanes: set[asyncio.Task[None]] = set()
        self._starting = False
        self._under_way = 0  # groups that were sent and are not answered yet
        self._apart: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()  # streams that somebody apart waits for
        self._room = asyncio.Semaphore(max(1, settings.pool_size - settings.group_lanes))
        self._scarce = settings.pool_size <= settings.group_lanes  # who keeps a connection would shut readers out

    async def record(self, request: Request) -> list[Token]:
        """Record *request* beside others and give its tokens, one a part, once they are committed. Raises what it alone earned."""
        outcome: asyncio.Future[list[Token]] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(request, outcome))
        self._start()
        return await outcome

    async def close(self) -> None:
        """Return when nothing is under way any more."""
        while running := self._lanes | self._apart:
            await asyncio.wait(running)

    def _start(self) -> None:
        if self._waiting and not self._starting and len(self._lanes) < self._settings.group_lanes:
            self._starting = True
            lane = asyncio.create_task(self._run(), name="refold append lane")
            self._lanes.add(lane)

    async def _run(self) -> None:
        """Carry group after group until nothing waits."""
        group: list[Waiting] = []
        loan = Loan(self._engine)
        try:
            while group := self._take():
                self._under_way += 1
                try:
                    await self._carry(group, self._settings.group_patience_s, loan)
                finally:
                    self._under_way -= 1
                if self._scarce:
                    await loan.aclose()
                await asyncio.sleep(0)  # whoever was answered may have the next append ready
        except BaseException as error:  # cancelled from outside (the loop ends), or a mistake of ours: nobody is left waiting
            _fail(group, error)
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:  # before anybody else runs, so that an append that comes now finds a free lane
            lane = asyncio.current_task()
            assert lane is not None
            self._lanes.discard(lane)
            self._starting = False
            await self._leave(loan)
        self._start()

    async def _leave(self, loan: Loan) -> None:
        """Give a connection back, and let `close` wait for that."""
        lane = asyncio.current_task()
        assert lane is not None
        self._apart.add(lane)
        try:
            await loan.aclose()
        finally:
            self._apart.discard(lane)

    def _take(self) -> list[Waiting]:
        self._starting = False
        self._waiting = [each for each in self._waiting if not each.outcome.done()]
        limits = self._limits.shared(len(self._waiting), self._settings.group_lanes - self._under_way)
        chosen = choose([each.request for each in self._waiting], limits, self._held)
        group = [self._waiting[index] for index in chosen]
        taken = set(chosen)
        self._waiting = [each for index, each in enumerate(self._waiting) if index not in taken]
        self._start()
        return group

    async def _carry(self, group: Sequence[Waiting], patience_s: float | None, loan: Loan) -> None:
        """Send *group* until its outcome is known, and tell everybody theirs; take it apart where one would harm the others."""
        for attempt in range(1, self._settings.append_attempts + 1):
            try:
                rows = await send_group(await loan.take(), [each.request for each in group], patience_s)
            except psycopg.Error as error:
                await loan.aclose()
                if _is_shared(error, group, attempt) or (patience_s is not None and error.sqlstate == HELD):
                    self._part(group)
                    return
                failure, again = self._translate(error, group[0].request), is_repeatable(error)
            except Unreachable as error:  # before anything was sent there is nothing to wonder about
                failure, again = (unknown(error), True) if attempt > 1 else (error, False)
            else:
                reach("append.after_commit")
                _settle(group, rows)
                return
            if not again or attempt == self._settings.append_attempts:
                _fail(group, failure)
                return
            await asyncio.sleep(backoff_s(attempt))

    def _part(self, group: Sequence[Waiting]) -> None:
        """Let every member of *group* go on by itself, so that the lane is free; one behind another of its stream waits again."""
        behind: list[Waiting] = []
        for each in group:
            if any(self._held[part.stream] for part in each.request.parts):
                behind.append(each)
                continue
            alone = asyncio.create_task(self._carry_alone(each), name="refold append")
            self._apart.add(alone)
            self._held.update([part.stream for part in each.request.parts])
            each.outcome.add_done_callback(lambda outcome, alone=alone: outcome.cancelled() and alone.cancel())
        self._waiting = behind + self._waiting

    async def _carry_alone(self, waiting: Waiting) -> None:
        try:
            async with self._room, aclosing(Loan(self._engine)) as loan:
                await self._carry([waiting], None, loan)
        except Exception as error:
            _fail([waiting], error)
        finally:
            alone = asyncio.current_task()
            assert alone is not None
            self._apart.discard(alone)
            self._held -= Counter([part.stream for part in waiting.request.parts])
            self._start()

    def _translate(self, error: psycopg.Error, request: Request) -> Exception:
        found = unknown(unreachable(self._settings, error)) if is_lost(error) else translate_refusal(error, request)
        if found is not error:
            found.__cause__ = error
        return found


async def send_group(connection: Connection, requests: Sequence[Request], patience_s: float | None) -> list[list[Answer]]:
    """Ask the server to record *requests*, in one round trip, and give the answers of each.

    Raises psycopg.errors.LockNotAvailable when a lock that one of them needs is held for *patience_s* seconds.
    """
    cursor = connection.cursor(binary=True)
    await cursor.execute(load(_HERE, "append"), arguments_of(requests, patience_s))
    left: Iterator[Answer] = iter(await cursor.fetchall())
    return [[next(left) for _ in request.parts] for request in requests]


def arguments_of(requests: Sequence[Request], patience_s: float | None = None) -> tuple[object, ...]:
    """Give the parameters of `append.sql`; without *patience_s* the connection's own lock_timeout holds."""
    return (None if patience_s is None else f"{max(1, round(patience_s * 1000))}ms", *compose(requests))


def translate_refusal(error: psycopg.Error, request: Request) -> Exception:
    """Say what *error* means for *request*, in our words where there are some."""
    stream, expected, _ = request.parts[0]
    return translate(error, stream, expected) or error


def unknown(error: Unreachable) -> Unreachable:
    """Say that nobody knows whether the append was recorded, and what to do."""
    return Unreachable(
        f"{error} The outcome of the append is unknown: append the same NewEvents again, they are recorded once.", **error.facts
    )


def _is_shared(error: psycopg.Error, group: Sequence[Waiting], attempt: int) -> bool:
    """Tell whether *error* may be one member's fault, and all of a group would bear it."""
    return len(group) > 1 and not is_lost(error) and (attempt > 1 or not is_repeatable(error))


def _settle(group: Sequence[Waiting], answers: Sequence[Sequence[Answer]]) -> None:
    for each, rows in zip(group, answers, strict=True):
        if each.outcome.done():
            continue
        try:
            each.outcome.set_result(each.request.answer(rows))
        except RefoldError as error:
            each.outcome.set_exception(error)


def _fail(group: Iterable[Waiting], error: BaseException) -> None:
    for each in group:
        if each.outcome.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            each.outcome.cancel()
        elif isinstance(error, RefoldError):
            own = type(error)(*error.args, **error.facts)  # each raiser writes its own traceback
            own.__cause__ = error.__cause__
            each.outcome.set_exception(own)
        else:
            each.outcome.set_exception(error)
