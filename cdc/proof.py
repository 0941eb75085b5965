"""Proof that a connector captures: not that Connect calls it RUNNING, but that a message went through.

The chain: connector and tasks RUNNING, the slot read by a streaming walsender, then a transactional message written by us
(the kick) whose position the connector confirms. It can confirm only after the snapshot is done and everything before the
kick is committed to Kafka, and it confirms a transaction when the next one comes, hence more than one kick. They also free a
connector that waits in "Searching for WAL resume position" on an idle database, which heartbeats do not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cdc.connect.client import ConnectClient
from cdc.connect.config import KICK
from cdc.connect.state import ConnectorState
from cdc.connect.trace import classify
from cdc.database import SourceDatabase
from eventstore.errors import PreconditionFailed, RefoldError, TimedOut

Report = Callable[[str], None]
_POLL_S = 0.1
_FIRST_KICK_S, _LAST_KICK_S = 0.2, 3.0
_STALE_S, _STANDS_S = 10.0, 2.0


class ConnectorFailed(RefoldError):
    """The connector's task failed; its trace says why."""


@dataclass(slots=True)
class Proof:
    """Waits step by step, until *deadline* (by `time.monotonic`). *stale* is a trace from before what was just done."""

    connect: ConnectClient
    database: SourceDatabase
    name: str
    slot: str
    deadline: float
    report: Report
    stale: str = ""
    _ran: bool = field(default=False, init=False)
    _stands: float | None = field(default=None, init=False)

    async def wait(self) -> None:
        """Return when the proof is complete.

        Raises ConnectorFailed, PreconditionFailed (the slot is lost, or someone else stopped the connector meanwhile) or TimedOut.
        """
        started = time.monotonic()
        await self.wait_streaming()
        position = await self._wait_confirmed(started)
        self.report(f"a message written now came through (WAL position {position >> 32:X}/{position & 0xFFFFFFFF:X})")

    async def wait_streaming(self) -> None:
        """Return when the connector reads the log, its snapshot done. Raises as `wait` does."""
        started = time.monotonic()
        await self._wait_running(started)
        self.report("the connector and its task run")
        await self._wait_active(started)
        self.report(f"slot {self.slot} is read by a walsender")

    async def _wait_running(self, started: float) -> None:
        while True:
            state = await self._check_failure(started)
            if state is not None and state.is_running:
                self._ran = True
                return
            await self._pause(f"connector {self.name} does not run yet ({state or 'no status'})")

    async def _wait_active(self, started: float) -> None:
        while True:
            slot = await self.database.read_slot(self.slot)
            if slot is not None and slot["wal_status"] == "lost":
                raise PreconditionFailed(
                    f"the slot {self.slot} has lost its WAL, so changes are missing in the log: `cdc recover`"
                )
            if slot is not None and slot["active"] and slot["streaming"]:
                return
            await self._check_failure(started)
            told = "does not exist yet" if slot is None else "is not read yet: the snapshot may still be running"
            await self._pause(f"the slot {self.slot} {told}")

    async def _wait_confirmed(self, started: float) -> int:
        due, wait_s, position = 0.0, _FIRST_KICK_S, None
        while True:
            if time.monotonic() >= due:
                latest = await self.database.kick(KICK, self.name)
                position = latest if position is None else position
                due, wait_s = time.monotonic() + wait_s, min(_LAST_KICK_S, wait_s * 2)
            slot = await self.database.read_slot(self.slot)
            if slot is not None and position is not None and slot["confirmed_bytes"] >= position:
                return position
            await self._check_failure(started)
            behind = "gone" if slot is None else f"{slot['lag_bytes']:,} bytes behind"
            await self._pause(f"the connector has not confirmed a message written after it started (slot {behind})")

    async def _check_failure(self, started: float) -> ConnectorState | None:
        state = await self.connect.read_state(self.name)
        failure = state.failure if state is not None else ""
        if failure and not (failure == self.stale and time.monotonic() - started < _STALE_S):
            kind, cause, remedy = classify(failure)
            raise ConnectorFailed(f"connector {self.name} failed ({kind}): {cause}. Remedy: {remedy}.", cause=kind, trace=failure)
        self._require_going(state)
        return state

    def _require_going(self, state: ConnectorState | None) -> None:
        """Raise PreconditionFailed for a connector that ran and has been standing for a while, or is gone: nothing comes any more."""
        if not self._ran or (state is not None and state.state not in ("PAUSED", "STOPPED")):
            self._stands = None
            return
        self._stands = self._stands or time.monotonic()
        if time.monotonic() - self._stands > _STANDS_S:
            what, remedy = ("deleted", "`cdc apply`") if state is None else (state.state, "`cdc resume`")
            raise PreconditionFailed(
                f"connector {self.name} ran and is {what} now, by someone else: nothing comes through before {remedy}",
                connector=self.name,
            )

    async def _pause(self, waiting: str) -> None:
        if time.monotonic() > self.deadline:
            raise TimedOut(f"{waiting}. Look again with `cdc status`, or give more time with --timeout.", connector=self.name)
        await asyncio.sleep(_POLL_S)
