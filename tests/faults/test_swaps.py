"""Swaps and rollbacks while writers write and users read: nobody sees half of one, less than before, or an error (F38, F39)."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventstore import KafkaSettings
from eventstore.postgres import PostgresEventStore, open_engine
from projections.serving import ReadModels
from tests.bank.runs import ended
from tests.faults.clusters import Cluster
from tests.faults.operations import require_bites
from tests.faults.system import System
from tests.faults.tally import app
from tests.faults.users import User
from tests.stack.forks import Child
from tests.stack.waiting import eventually

REBUILD = ("--projection", "tally", "--from-beginning", "--json")


class Scene:
    """Writers, relay, worker and users on one database."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.users: list[User] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    @asynccontextmanager
    async def running(self, users: int = 3) -> AsyncIterator[None]:
        """Run all of them."""
        engine = open_engine(self.system.cluster.settings, application="user")
        async with self.system.running(writers=2):
            self.note_swap(1)
            models = ReadModels(engine, app, kafka=self.system.kafka)
            async with PostgresEventStore.open(self.system.cluster.settings, engine=engine) as store:
                self.users = [User(store, models, self.system.history, f"user-{each}") for each in range(users)]
                self.tasks = [asyncio.create_task(each.run(self._stop)) for each in self.users]
                try:
                    yield
                finally:
                    await self.leave()
                    await engine.dispose()

    async def leave(self) -> None:
        """Let the users go."""
        self._stop.set()
        await asyncio.gather(*self.tasks)

    async def judge(self, *bites: str) -> None:
        """Finish, and demand a right history in which all of *bites* was seen."""
        await self.leave()
        report, operations = await self.system.finish(90)
        require_bites(operations, *bites)
        assert (report.violations, report.notes) == ([], [])

    def note_swap(self, number: int, *, rollback: bool = False) -> None:
        """Note that generation *number* is live now."""
        self.system.recorder.note("ok", "swap", projection="tally", pversion=number, rollback=rollback)

    async def operate(self, *argv: str) -> None:
        """Run `replay` as a process of its own, which must end well."""
        child = Child("replay.cli", argv, self.system.environment())
        async with ended(child):
            said = (await asyncio.to_thread(child.communicate))[0]
            assert child.returncode == 0, said

    async def looked(self, generation: int, times: int = 3) -> None:
        """Return once every user has seen *generation* so often."""

        async def have() -> bool:
            for each in self.tasks:
                if each.done():
                    each.result()
            return all(each.seen[generation] >= times for each in self.users)

        await eventually(have, f"users who see generation {generation}", 60)
        self.system.recorder.bite(f"generation {generation}")


@pytest.fixture
def scene(postgres_dsn: str, kafka: KafkaSettings, tmp_path: Path) -> Scene:
    """Make the scene on the shared servers."""
    cluster = Cluster(tmp_path / "cluster")
    cluster.dsn = postgres_dsn
    return Scene(System(cluster, kafka, tmp_path / "history.jsonl", int.from_bytes(os.urandom(4))))


async def test_swap_under_load(scene: Scene) -> None:
    """Events come in during build, comparison and swap: each user sees their own write at once, and never less than before (F38)."""
    async with scene.running():
        await scene.looked(1)
        await scene.operate(*REBUILD)
        scene.note_swap(2)
        await scene.looked(2)
        await scene.judge("generation 1", "generation 2")


async def test_rollback_under_load(scene: Scene) -> None:
    """A rollback while writes go on is current: users miss nothing, go on, and both generations equal the log at the end (F39)."""
    async with scene.running():
        await scene.operate(*REBUILD)
        scene.note_swap(2)
        await scene.looked(2)
        await scene.operate("rollback", "--projection", "tally", "--json")
        scene.note_swap(1, rollback=True)
        await scene.looked(1)
        await scene.judge("generation 2", "generation 1")
        assert sorted(number for number, _ in scene.system._fed()) == [1, 2]
