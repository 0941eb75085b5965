"""Sharing a build out to several processes, each with partitions of its own.

That is right only when no two partitions touch the same row, so every table must be owned by its partition: its rows' keys are the streams'
own, and no source has a history that concerns all of its partitions. The run builds a share itself. A process that dies ends the others
and the run; what they committed stays, and the next run shares out what is left, in as many processes as it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from eventstore.codec import decode
from eventstore.errors import RefoldError
from projections.control.checkpoint import Partition
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from replay.member import Member

Tell = Callable[[int, str | None], None]


def find_obstacle(projection: Projection) -> str | None:
    """Say why *projection* can't be built by several processes; None = it can. Pure."""
    shared = [each.name for each in projection.tables if not projection.owns(each)]
    if shared:
        return f"rows of {', '.join(shared)} are touched from several partitions"
    if projection.emissions:
        return "the events that it derives are numbered in one order"
    ordered = ", ".join(sorted(projection.marks))
    return f"what {ordered} says of all rows concerns several partitions" if ordered else None


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

    def __init__(self, generation: Generation, members: Sequence[Member], tell: Tell) -> None:
        self._generation = generation
        self._members = members
        self._tell = tell
        self._done: dict[int, int] = {}

    async def build(self, tasks: Sequence[bytes], own: Coroutine[Any, Any, int]) -> int:
        """Give each member one of *tasks*, do *own* work beside them, and give how many records all of them applied.

        Raises RefoldError as soon as one fails; whoever enlisted the others ends them.
        """
        for member, task in zip(self._members, tasks, strict=True):
            member.give(task)
        try:
            async with asyncio.TaskGroup() as group:
                following = [group.create_task(self._follow(number, each)) for number, each in enumerate(self._members, 1)]
                following.append(group.create_task(own))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return sum(each.result() for each in following)

    def hear(self, number: int, done: int, stall: str | None) -> None:
        """Note that process *number*, 0 being this one, stands at *done* records."""
        self._done[number] = done
        self._tell(sum(self._done.values()), stall)

    async def _follow(self, number: int, member: Member) -> int:
        applied = 0
        async for line in member.listen():
            facts = decode(line)
            self.hear(number, facts["done"], facts.get("stall"))
            applied = facts.get("applied", applied)
        code, wrong = await member.wait()
        if code:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
            raise RefoldError(
                f"{self._generation}: process {number + 1} of {len(self._members) + 1} (pid {member.pid}) {how}"
                f"{': ' + wrong.splitlines()[-1] if wrong else ''}. What is committed stays; run the command again."
            )
        return applied
