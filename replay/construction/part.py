"""One process of a build that is shared out: it folds its own partitions up to a vector. The run itself is one of them.

What another is to do comes as one JSON line on standard input, which stays open: when it ends, so has whoever started this, and this ends
too. Progress goes to standard output as one JSON line now and then; an error to standard error, on one line.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.codec import decode, encode
from eventstore.console import drive, tune_collector
from eventstore.errors import PreconditionFailed, RefoldError
from eventstore.moments import reach
from eventstore.postgres.engine import checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.cli import opened_engine
from projections.control.catalogue import list_generations
from projections.control.checkpoint import Vector
from projections.declaration.registry import load_app
from projections.feeding.deriving import name_topics
from projections.readmodels.policies import every_tenant
from projections.release.fingerprint import fingerprint
from replay.construction.builder import Builder, Tell
from replay.construction.guard import Guard
from replay.construction.joint import Joint
from replay.construction.supply import Supply
from replay.settings import ReplaySettings

SAY_S = 0.5


class Built(NamedTuple):
    """What a process built: where its partitions stand, in records, and how many of them it applied itself."""

    done: int
    applied: int


class Voice:
    """Says how many records are folded, now and then."""

    def __init__(self) -> None:
        self._said = 0.0

    def tell(self, done: int, _: int, stall: str | None) -> None:
        """Say it, if it is time to."""
        if time.monotonic() - self._said > SAY_S:
            self._said = time.monotonic()
            self.say(done=done, stall=stall)

    def say(self, **facts: Any) -> None:
        """Write one line."""
        sys.stdout.write(encode(facts).decode() + "\n")
        sys.stdout.flush()


async def fold_part(engine: AsyncEngine, task: dict[str, Any], tell: Tell) -> Built:
    """Do what *task* says, beside the other processes of the build."""
    projection = load_app(task["app"]).named(task["projection"])
    goal: Vector = {(topic, number): offset for topic, number, offset in task["goal"]}
    kafka, settings = KafkaSettings(), ReplaySettings()
    async with opened_keyring(engine) as keyring, checkout(engine) as connection:
        generation = next(each for each in await list_generations(connection, projection.name) if each.id == task["generation"])
        if generation.fingerprint != fingerprint(projection):
            raise PreconditionFailed(f"{generation} is built by other code than {task['app']} holds by now")
        async with every_tenant(connection, projection):
            topics = name_topics(projection, kafka, generation.topics)
            pipeline = Joint(projection, generation, topics, connection, exclusive=True, opener=Opener(keyring))
            reader = Supply(kafka, task["archive"]).make_reader(generation.consumer_group)
            builder = Builder(pipeline, reader, settings, tell, Guard(engine, projection.name, kafka, settings))
            try:
                await builder.open(sorted(goal))
                await builder.stop_at(goal)
                return Built(sum(builder.vector.values()), pipeline.applied)
            finally:
                await builder.close()


def main() -> int:
    """Read the task, carry it out, and give the exit code."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    tune_collector()
    try:
        return drive(_work(decode(line)))
    except Exception as error:
        if os.environ.get("REFOLD_DEBUG"):
            traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return error.exit_code if isinstance(error, RefoldError) else RefoldError.exit_code


async def _work(task: dict[str, Any]) -> int:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), os._exit, 1)  # nothing more ever comes: it is the end of whoever listens
    voice = Voice()
    try:
        async with opened_engine("refold replay part") as engine:
            built = await fold_part(engine, task, voice.tell)
        reach("part.built")
        voice.say(**built._asdict())
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
