"""Sharing a build out to several processes, each with partitions of its own.

That is right only when no two partitions touch the same row, so every table must be owned by its partition: its rows' keys are the streams'
own. A process that dies ends the others and the run; what they committed stays, and the next run shares out what is left, in as many
processes as it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventstore.codec import decode, encode
from eventstore.errors import RefoldError
from projections.control.checkpoint import Partition, Vector
from projections.control.generation import Generation
from projections.declaration.projection import Projection

Tell = Callable[[int, str | None], None]


def find_obstacle(projection: Projection) -> str | None:
    """Say why *projection* can't be built by several processes; None = it can. Pure."""
    shared = [each.name for each in projection.tables if not projection.owns(each)]
    return f"rows of {', '.join(shared)} are touched from several partitions" if shared else None


def share_out(sizes: Mapping[Partition, int], count: int) -> list[list[Partition]]:
    """Share the partitions of *sizes* (records left) out to at most *count* processes, the largest first to whom has least. Pure."""
    shares: list[list[Partition]] = [[] for _ in range(count)]
    loads = [0] * count
    for each in sorted(sizes, key=lambda each: (-sizes[each], each)):
        if sizes[each] > 0:
            lightest = loads.index(min(loads))
            shares[lightest].append(each)
            loads[lightest] += sizes[each]
    return [each for each in shares if each]


class Crew:
    """Processes that build parts of one generation; *tell* hears the records done by all of them, and why one waits."""

    def __init__(self, generation: Generation, app: str, archive: str | None, tell: Tell) -> None:
        self._generation = generation
        self._task = {"app": app, "projection": generation.projection, "generation": generation.id, "archive": archive}
        self._tell = tell
        self._done: dict[int, int] = {}
        self._processes: list[Any] = []

    @property
    def pids(self) -> list[int]:
        """The processes that were started."""
        return [each.pid for each in self._processes]

    async def start(self, shares: Sequence[Sequence[Partition]], goal: Vector) -> None:
        """Start one process for each of *shares*."""
        for share in shares:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "replay.part",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            self._processes.append(process)
            task = {**self._task, "goal": [[topic, number, goal[topic, number]] for topic, number in share]}
            assert process.stdin is not None
            process.stdin.write(encode(task) + b"\n")
            await process.stdin.drain()

    async def wait(self) -> int:
        """Wait for all and give how many records they applied. Raises RefoldError as soon as one fails, and ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(number, each)) for number, each in enumerate(self._processes)]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await self._end()
        return sum(each.result() for each in tasks)

    async def _follow(self, number: int, process: Any) -> int:
        applied = 0
        async for line in process.stdout:
            facts = decode(line)
            self._done[number] = facts["done"]
            applied = facts.get("applied", applied)
            self._tell(sum(self._done.values()), facts.get("stall"))
        code = await process.wait()
        if code:
            said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
            how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
            raise RefoldError(
                f"{self._generation}: process {number + 1} of {len(self._processes)} (pid {process.pid}) {how}"
                f"{': ' + said[-1] if said else ''}. What is committed stays; run the command again."
            )
        return applied

    async def _end(self) -> None:
        for each in self._processes:
            with contextlib.suppress(ProcessLookupError):
                if each.returncode is None:
                    each.kill()
            await each.wait()
