"""Everything a program runs, in one: an owner for each process, and a worker for tasks.

Start as many as you like, on as many machines: processes are shared out by leases, tasks by locks that nobody waits for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from eventstore.errors import TimedOut
from eventstore.identity import make_id
from eventstore.postgres.store import PostgresEventStore
from eventstore.postgres.transaction import is_passing
from eventstore.process.owner import Owner, pause
from eventstore.process.program import Processes
from eventstore.process.worker import Worker
from eventstore.settings import ProcessSettings

log = logging.getLogger(__name__)
_RETRY_S = 1.0


class Runner:
    """Runs *program* over *store*."""

    def __init__(self, store: PostgresEventStore, program: Processes, settings: ProcessSettings | None = None) -> None:
        chosen = settings or ProcessSettings()
        name = f"{socket.gethostname()}/{os.getpid()}/{make_id().hex[-6:]}"
        self._owners = [Owner(store, each, chosen, name) for each in program.processes]
        self._worker = Worker(store, program, chosen, name)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until *stop* is set; batches in hand are finished first. A database that fails is waited for."""
        try:
            async with asyncio.TaskGroup() as group:
                for each in (*self._owners, self._worker):
                    group.create_task(_keep(each.run, stop))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def drain(self, *, timeout_s: float = 60.0) -> int:
        """Do all that is due now, and what follows from it, then return; gives how many events, timeouts and tasks were taken.

        Raises HeldElsewhere when a process is run by somebody else, ProcessStuck when one can't react, TimedOut.
        """
        total = 0
        try:
            async with asyncio.timeout(timeout_s):
                while taken := await self._step():
                    total += taken
        except TimeoutError:
            raise TimedOut(f"there was still something to do after {timeout_s:g} s; {total} were done") from None
        finally:
            for each in self._owners:
                await each.release()
            await self._worker.settle()
        return total

    async def _step(self) -> int:
        return sum([await each.step() for each in (*self._owners, self._worker)])


async def _keep(work: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    """Go on with *work* after the database was away."""
    while not stop.is_set():
        try:
            await work(stop)
        except Exception as error:
            if not is_passing(error):
                raise
            log.warning("processes start again in %.0f s: %s", _RETRY_S, error)
            await pause(stop, _RETRY_S)
