"""Everything that can go wrong, at once: faults in a seeded order beside operators who rebuild, die, swap and roll back.

Each fault heals what it broke, and notes that somebody saw its effect. Operators' commands may fail while servers do; what they did is
read from the audit afterwards.
"""

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import psutil
import psycopg

from eventstore.moments import CRASH_POINTS, CRASHED
from projections.feeding.supervisor import Supervisor
from tests.bank.runs import ended
from tests.faults.brokers import Broker
from tests.faults.system import System
from tests.stack.forks import Child
from tests.stack.proxy import Fault
from tests.stack.waiting import eventually

SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE application_name IN ('writer', 'relay', 'worker', 'user') OR application_name LIKE 'refold%%'
"""
AUDIT = "SELECT action, to_generation FROM projections.audit ORDER BY id"
REBUILD = ("--projection", "tally", "--from-beginning", "--json")
QUICK = {"REFOLD_REPLAY_STALL_S": "10", "REFOLD_REPLAY_SWAP_S": "5", "REFOLD_KAFKA_REQUEST_TIMEOUT_S": "5"}
CALM = {"REFOLD_REPLAY_STALL_S": "60", "REFOLD_REPLAY_SWAP_S": "60", "REFOLD_KAFKA_REQUEST_TIMEOUT_S": "30"}
"""Once nothing fails any more, only the machine may be slow."""
QUIET_S = 2.0
"""Longer than a session of the workers."""


class Storm:
    """Faults on *system* and *broker*; *far* is a worker behind the broker's proxy."""

    def __init__(self, system: System, broker: Broker, far: Supervisor) -> None:
        self.system = system
        self._broker = broker
        self._far = far
        self._chance = random.Random(system.chance.random())
        self._worker: Child | None = None
        self._hearing: list[asyncio.Task[object]] = []

    @property
    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Each fault by its name."""
        return {
            "broker killed": self._kill_broker,
            "broker stopped": self._stop_broker,
            "network cut": lambda: self._cut(Fault.BLACKHOLE),
            "replies lost": lambda: self._cut(Fault.DROP_REPLIES),
            "connections reset": self._reset,
            "sessions ended": self._end_sessions,
            "PostgreSQL crashed": self._crash_postgres,
            "worker killed": self._kill_worker,
            "worker asleep": self._stop_worker,
        }

    async def rage(self, seconds: float) -> None:
        """Let every fault loose once, in an order of the seed, and again until *seconds* are over."""
        until = time.monotonic() + seconds
        while True:
            for name in self._chance.sample(sorted(self.faults), len(self.faults)):
                self.system.check()
                await self.faults[name]()
                self.system.recorder.bite(name)
                await self.system.written(2, 90)
            if time.monotonic() > until:
                return

    async def operate(self, stop: asyncio.Event) -> None:
        """Rebuild, die on the way, and roll back, one after the other until *stop*; how commands end is the storm's affair."""
        while not stop.is_set():
            moment = self._chance.choice(CRASH_POINTS)
            if await self._run(*REBUILD, REFOLD_FAIL_AT=moment, REFOLD_REPLAY_COMMIT_ROWS="5") == CRASHED:
                self.system.recorder.bite("operator died")
            await self._run(*REBUILD)
            if self._chance.random() < 0.5:
                await self._run("rollback", "--projection", "tally", "--json")

    async def settle(self) -> None:
        """Rebuild once more when all is well again, which must work, and note every swap that there was."""

        async def done() -> bool:
            return await self._run(*REBUILD, **CALM) == 0

        await eventually(done, "a rebuild after the storm", 120)
        for action, number in self.system.cluster.query(AUDIT):
            self.system.recorder.note("ok", "swap", projection="tally", pversion=number, rollback=action == "rollback")

    async def end(self) -> None:
        """End the worker that is a process of its own."""
        if self._worker is not None:
            self._worker.kill()
        await asyncio.gather(*self._hearing)

    async def _run(self, *argv: str, **environment: str) -> int | None:
        child = Child("replay.cli", argv, self.system.environment(**{**QUICK, **environment}))
        async with ended(child):
            await asyncio.to_thread(child.communicate)
        return child.returncode

    async def _silent(self, seconds: float) -> None:
        """Return once Kafka has not answered the far worker for so long."""

        async def unheard() -> bool:
            return bool(self._far.workers) and time.monotonic() - self._far.workers[0].pulse.heard > seconds

        await eventually(unheard, f"a worker that hears nothing for {seconds} s", 60)

    async def _kill_broker(self) -> None:
        await self._broker.kill()

    async def _stop_broker(self) -> None:
        async with self._broker.stopped():
            await self._silent(QUIET_S)

    async def _cut(self, fault: Fault) -> None:
        self._broker.proxy.break_by(fault)
        try:
            await self._silent(QUIET_S)
        finally:
            self._broker.proxy.heal()

    async def _reset(self) -> None:
        before = self._broker.proxy.accepted
        self._broker.proxy.reset()

        async def connects() -> bool:
            return self._broker.proxy.accepted > before

        await eventually(connects, "a worker that connects again", 60)

    async def _end_sessions(self) -> None:
        async def hit() -> bool:
            with suppress(psycopg.OperationalError):
                return bool((await asyncio.to_thread(self.system.cluster.query, SESSIONS))[0][0])
            return False

        await eventually(hit, "sessions that were ended", 60)

    async def _crash_postgres(self) -> None:
        await self.system.cluster.stop(signal.SIGQUIT)
        await self.system.cluster.up()

    async def _start_worker(self) -> Child:
        """Give the worker process; a new one if there is none, once it feeds."""
        if self._worker is None or self._worker.poll() is not None:
            self._worker = Child("projections.cli", ["run"], self.system.environment(REFOLD_PROJECTIONS_SESSION_S="2"))
            self._hearing.append(asyncio.create_task(asyncio.to_thread(self._worker.communicate)))  # it never waits for a reader
        worker = self._worker

        async def feeds() -> bool:
            query = "SELECT count(*) FROM projections.checkpoint WHERE owner LIKE %s"
            with suppress(psycopg.Error):
                return bool((await asyncio.to_thread(self.system.cluster.query, query, f"%pid {worker.pid} %"))[0][0])
            return False

        await eventually(feeds, "a worker process that feeds", 90)
        return worker

    async def _kill_worker(self) -> None:
        worker = await self._start_worker()
        worker.kill()
        await asyncio.to_thread(worker.wait)
        await self._start_worker()

    async def _stop_worker(self) -> None:
        worker = await self._start_worker()
        process = psutil.Process(worker.pid)
        worker.send_signal(signal.SIGSTOP)
        try:
            query = "SELECT count(*) FROM projections.checkpoint WHERE owner LIKE %s"

            async def replaced() -> bool:
                with suppress(psycopg.Error):
                    return not (await asyncio.to_thread(self.system.cluster.query, query, f"%pid {worker.pid} %"))[0][0]
                return False

            await eventually(replaced, "another owner of what the sleeper had", 90)
        finally:
            process.send_signal(signal.SIGCONT)
