"""One process of a build that is shared out: it folds its own partitions up to a vector and ends. `replay.crew` starts it.

What to do comes as one JSON line on standard input, which stays open: when it ends, so has whoever started this, and this ends too.
Progress goes to standard output as one JSON line now and then; an error to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from eventstore.codec import decode, encode
from eventstore.console import tune_collector
from eventstore.errors import PreconditionFailed, RefoldError
from eventstore.postgres.engine import checkout
from eventstore.postgres.keys import opened_keyring
from eventstore.privacy.opener import Opener
from eventstore.settings import KafkaSettings
from projections.cli import opened_engine
from projections.control.catalogue import list_generations
from projections.control.checkpoint import Vector
from projections.declaration.registry import load_app
from projections.feeding.pipeline import Pipeline
from projections.feeding.worker import name_topics
from projections.readmodels.policies import every_tenant
from projections.release.fingerprint import fingerprint
from replay.build import Builder
from replay.guard import Guard
from replay.settings import ReplaySettings
from replay.supply import Supply

SAY_S = 0.5


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


async def fold_part(task: dict[str, Any], voice: Voice) -> None:
    """Do what *task* says."""
    projection = load_app(task["app"]).named(task["projection"])
    goal: Vector = {(topic, number): offset for topic, number, offset in task["goal"]}
    kafka, settings = KafkaSettings(), ReplaySettings()
    async with opened_engine("refold replay part") as engine, opened_keyring(engine) as keyring, checkout(engine) as connection:
        generation = next(each for each in await list_generations(connection, projection.name) if each.id == task["generation"])
        if generation.fingerprint != fingerprint(projection):
            raise PreconditionFailed(f"{generation} is built by other code than {task['app']} holds by now")
        async with every_tenant(connection, projection):
            topics = name_topics(projection, kafka, generation.topics)
            pipeline = Pipeline(projection, generation, topics, connection, exclusive=True, opener=Opener(keyring))
            reader = Supply(kafka, task["archive"]).make_reader(generation.consumer_group)
            guard = Guard(engine, projection.name, kafka, settings)
            builder = Builder(pipeline, reader, settings, voice.tell, guard)
            try:
                await builder.open(sorted(goal))
                await builder.stop_at(goal)
                voice.say(done=sum(builder.vector.values()), applied=pipeline.applied)
            finally:
                await builder.close()


def main() -> int:
    """Read the task, carry it out, and give the exit code."""
    line = sys.stdin.buffer.readline()
    if not line:
        return 1
    tune_collector()
    try:
        asyncio.run(_drive(decode(line), Voice()))
    except RefoldError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    return 0


async def _drive(task: dict[str, Any], voice: Voice) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), os._exit, 1)  # nothing more ever comes: it is the end of whoever listens
    try:
        await fold_part(task, voice)
    finally:
        loop.remove_reader(sys.stdin.fileno())


if __name__ == "__main__":
    sys.exit(main())
