"""Carrying effects out: due ones are taken for a while, called, and crossed off with what they gave back, or tried again later.

Any number of processes of the live release share the work; those of other releases and builds find nothing. The effects of one stream are
carried out one after the other, in the order of its events: behind a dead one the later ones wait until somebody decides. A process that
dies between call and crossing off leaves a lease that runs out, and the effect is called again with the same key. One that slept through
its lease begins nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import time
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import encode
from eventstore.errors import RefoldError
from eventstore.log.events import EventSource
from eventstore.moments import reach
from eventstore.postgres.engine import ConnectionLost, checkout
from eventstore.privacy.opener import Opener
from projections.control.catalogue import describe_actor
from projections.control.parking import Patience
from projections.declaration.effect import Attempt, Effect, name_key
from projections.declaration.projection import EVENTS, Projection
from projections.effects.dispatch import Claimed, Dispatch
from projections.fold.step import describe
from projections.settings import ProjectionSettings

log = logging.getLogger(__name__)
LOOK_S = 0.5
"""Seconds between two looks for effects whose time has come, or that another process left."""
SWEEP_S = 3600.0


class Executor:
    """Carries out the effects of *projection* while the generation of *dispatch* is live. `run` ends when it is stopped."""

    def __init__(
        self, projection: Projection, dispatch: Dispatch, engine: AsyncEngine, settings: ProjectionSettings, opener: Opener
    ) -> None:
        self.done = 0
        self.dead = 0
        self._projection = projection.name
        self._effects = {each.name: each for each in projection.effects}
        self._dispatch = dispatch
        self._engine = engine
        self._settings = settings
        self._opener = opener
        self._patience = Patience(settings.effect_attempts, settings.effect_retry_s, settings.effect_retry_most_s)
        kinds = frozenset[str]().union(*(each.kinds for each in projection.effects))
        self._read = EventSource.reader(EVENTS, kinds, opener, whole=True)
        self._desk = asyncio.Semaphore(2)  # the pool is for others too
        self._awake = asyncio.Event()
        self._stopping = False
        self._swept = time.monotonic()

    def wake(self) -> None:
        """Look at once."""
        self._awake.set()

    def stop(self) -> None:
        """Take no more; `run` returns when those in hand are done."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Carry out what is due until stopped. A database that goes away is waited for."""
        tasks: set[asyncio.Task[None]] = set()
        try:
            while not self._stopping:
                self._awake.clear()
                until = asyncio.get_running_loop().time() + self._settings.effect_lease_s * 0.8
                with contextlib.suppress(*ConnectionLost, OSError, RefoldError):
                    for each in await self._take(self._settings.effect_tasks - len(tasks)):
                        task = asyncio.create_task(self._carry_out(each, until))
                        tasks.add(task)
                        task.add_done_callback(tasks.discard)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._awake.wait(), LOOK_S)
        finally:
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, free: int) -> list[Claimed]:
        if free <= 0:
            return []
        async with self._desk, checkout(self._engine) as connection:
            if time.monotonic() - self._swept > SWEEP_S:
                self._swept = time.monotonic()
                await self._dispatch.sweep(connection, self._settings.effect_keep_s)
            return await self._dispatch.claim(connection, f"{describe_actor()} worker", free, self._settings.effect_lease_s)

    async def _carry_out(self, claimed: Claimed, until: float) -> None:
        """Call the effect's function, unless the lease may be over: by then it may be done, or given up by a person."""
        reach("effect.claimed")
        if asyncio.get_running_loop().time() > until:
            log.warning("%s: effect %s of event %s is left to others", self._projection, claimed.effect, claimed.event_id)
            return
        try:
            outcome = await self._try(self._effects[claimed.effect], claimed, until)
        except Exception as error:
            await self._fail(claimed, error)
        else:
            reach("effect.carried_out")
            with contextlib.suppress(*ConnectionLost, OSError, RefoldError):  # its lease runs out, and it is called again
                async with self._desk, checkout(self._engine) as connection:
                    self.done += await self._dispatch.finish(connection, claimed, outcome)
                reach("effect.crossed_off")
        finally:
            self.wake()

    async def _try(self, effect: Effect, claimed: Claimed, until: float) -> Any:
        await self._opener.prepare([claimed.value])
        message = self._read(claimed)
        assert message is not None, "it was read when it was written down"
        envelope = EVENTS.detail(message.body, message.raw)
        attempt = Attempt(name_key(self._projection, effect.name, claimed.event_id), claimed.attempts, envelope)
        arguments = (message.body, attempt) if effect.detailed else (message.body,)
        async with asyncio.timeout_at(until):
            if inspect.iscoroutinefunction(effect.function):
                outcome = await effect.function(*arguments)
            else:
                outcome = await asyncio.to_thread(effect.function, *arguments)
        return outcome if _is_plain(outcome) else repr(outcome)

    async def _fail(self, claimed: Claimed, error: Exception) -> None:
        private = self._opener.lost > 0 or EVENTS.has_personal(self._effects[claimed.effect].kinds)
        reason = describe(error, private=private)
        log.warning("%s: effect %s of event %s: %s", self._projection, claimed.effect, claimed.event_id, reason)
        with contextlib.suppress(*ConnectionLost, OSError, RefoldError):
            async with self._desk, checkout(self._engine) as connection:
                self.dead += await self._dispatch.fail(connection, claimed, reason, self._patience)


def _is_plain(outcome: Any) -> bool:
    """Say whether *outcome* can be kept as JSON."""
    try:
        encode(outcome)
    except (TypeError, ValueError, RefoldError):
        return False
    return True
