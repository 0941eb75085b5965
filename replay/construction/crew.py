"""Sharing a build out to several processes, each with partitions of its own.

That is right only when no two processes touch the same row. So partitions that may touch the same row go to one process: all that feed a
table whose keys are not the streams' own, and all of a source whose history concerns every row. What is derived hinders nobody: it is
numbered by partition, under the lock of the partition's checkpoint (ADR 0035). The run builds a share itself. A process that dies ends the
others and the run; what they committed stays, and the next run shares out what is left, in as many processes as it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from eventstore.codec import decode
from eventstore.errors import RefoldError
from eventstore.log.events import EventSource
from eventstore.source import OrderedSource
from projections.control.checkpoint import Partition
from projections.control.generation import Generation
from projections.declaration.projection import Handler, Projection, SqlHandler
from projections.declaration.table import Table
from replay.construction.member import Member

Tell = Callable[[int, str | None], None]
Group = tuple[Partition, ...]
"""Partitions that one process has to build."""


def find_obstacle(projection: Projection, counts: Mapping[str, int] | None = None) -> str | None:
    """Say why *projection* can't be built by several processes; None = it can. Pure.

    *counts*: how many partitions each source has, by its name; without them it says so only of what no number of partitions would help.
    """
    if projection.joins:
        return f"rows of {', '.join(sorted({each.table.name for each in projection.joins}))} are completed from another table"
    counts = counts or {each.name: 1 if isinstance(each, OrderedSource) else 2 for each in projection.sources}
    if len(group_partitions(projection, counts)) > 1:
        return None
    if sum(counts.values()) < 2:
        return "there is one partition to read"
    shared = [each.name for each in projection.tables if not projection.owns(each)]
    if shared:
        return f"rows of {', '.join(shared)} are touched from several partitions"
    return f"what {', '.join(sorted(projection.marks))} says of all rows concerns several partitions"


def group_partitions(projection: Projection, counts: Mapping[str, int]) -> list[Group]:
    """Cut the partitions of all sources, *counts* by source name, into groups no two of which touch the same row. Pure.

    A partition is named by its source here. The groups are as small as the declaration allows.
    """
    found = {(name, number): {(name, number)} for name, count in counts.items() for number in range(count)}

    def join(members: Iterable[Partition]) -> None:
        together = set[Partition]().union(*(found[each] for each in members))
        found.update(dict.fromkeys(together, together))

    for table in projection.tables:
        handlers = _find_handlers(projection, table)
        names = {each.source.name for each in handlers}
        if _is_streamed(handlers) and len({counts[each] for each in names}) == 1:
            for number in range(counts[next(iter(names))]):
                join((name, number) for name in names)
        elif not projection.owns(table):
            join((name, number) for name in names for number in range(counts[name]))
    for name in projection.marks:
        join((name, number) for number in range(counts[name]))
    return sorted({tuple(sorted(each)) for each in found.values()})


def _find_handlers(projection: Projection, table: Table[Any]) -> Sequence[Handler | SqlHandler]:
    return [each for each in projection.handlers if each.table is table] or projection.sql_handlers


def _is_streamed(handlers: Sequence[Handler | SqlHandler]) -> bool:
    """Say whether rows lie under the names of streams, which have the same partition in the topic of events and in all derived from it."""
    return bool(handlers) and all(
        isinstance(each, Handler) and each.key is None and not each.adds and isinstance(each.source, EventSource)
        for each in handlers
    )


def share_out(groups: Sequence[Sequence[Partition]], left: Mapping[Partition, int], count: int) -> list[list[Partition]]:
    """Share *groups* out to at most *count* processes, the largest first to whom has least, by the records *left*. Pure.

    A group goes whole, its finished partitions too: whether its rows are stored already goes by all that may have made them.
    """
    shares: list[list[Partition]] = [[] for _ in range(count)]
    loads = [0] * count
    sizes = {tuple(each): sum(left[partition] for partition in each) for each in groups}
    for each in sorted(sizes, key=lambda each: (-sizes[each], each)):
        if sizes[each] > 0:
            lightest = loads.index(min(loads))
            shares[lightest] += each
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
