"""Projections that feed projections: what a replay of one means for the others, and how a swap keeps readers from going back.

A generation counts the offsets of what one generation before it derived. Rebuilt, that one derives into a topic of its own, and whoever
reads it is rebuilt after it, so the order is upstream first. Until then nothing changes for them: the retired generation is fed for as
long as somebody reads what it derives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import PreconditionFailed
from eventstore.log.bounds import find_bounds
from eventstore.postgres.engine import Connection, checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live, list_generations
from projections.control.checkpoint import Vector, has_reached, read_seen, read_vector
from projections.control.generation import UNFINISHED, Generation, State
from projections.control.outbox import read_stands
from projections.declaration.chain import find_upstream
from projections.declaration.emission import name_derived
from projections.declaration.projection import Projection
from projections.declaration.registry import Projections
from projections.feeding.deriving import bind_topics, name_topics
from projections.release.fingerprint import fingerprint
from replay.bound import is_bounded
from replay.construction.builder import Builder
from replay.cutover import Reaching, wait_for_workers

POLL_S = 0.05


def find_begun(known: Sequence[Generation], mine: str, *, bounded: bool) -> Generation | None:
    """Give the build of *mine*, a fingerprint, that was begun and not ended. Pure."""
    return next(
        (each for each in known if each.state in UNFINISHED and each.fingerprint == mine and is_bounded(each) == bounded), None
    )


async def find_topics(engine: AsyncEngine, projection: Projection, kafka: KafkaSettings, *, bounded: bool) -> dict[str, str]:
    """Give the topic of each source for a build: those that it was begun with; else, of what is derived, the live generation's."""
    async with checkout(engine) as connection:
        begun = find_begun(await list_generations(connection, projection.name), fingerprint(projection), bounded=bounded)
        return name_topics(projection, kafka, begun.topics) if begun else await bind_topics(connection, projection, kafka)


async def describe_chain(connection: Connection, app: Projections, projection: Projection) -> list[str]:
    """Say what has to be replayed before *projection* and after it, and which generation it would read."""
    lines: list[str] = []
    for name in find_upstream(projection):
        live = await find_live(connection, name)
        if live is not None and live.fingerprint != fingerprint(app.named(name)):
            lines.append(f"{name} has changed code: replay it first, or this build reads what the old code of {live} derives")
        elif live is not None:
            lines.append(f"reads what {live} derives")
    after = [each.name for each in app if projection.name in find_upstream(each)]
    if after:
        live = await find_live(connection, projection.name)
        until = f"; until then they read {live}, which stays fed and is not dropped" if live else ""
        commands = ", then ".join(f"`{each}`" for each in compose_rebuilds(after))
        lines.append(f"feeds {', '.join(after)}: afterwards run {commands}{until}")
    return lines


def list_downstream(app: Projections, projection: Projection) -> list[str]:
    """Name the projections of *app* that read what *projection* derives, or what those derive in turn, in the order of the chain. Pure."""
    found = [projection.name]
    for each in app:  # which has each after those that it reads
        if not find_upstream(each).keys().isdisjoint(found):
            found.append(each.name)
    return found[1:]


def compose_rebuilds(names: Sequence[str]) -> list[str]:
    """Give the commands that rebuild the projections *names*. Pure."""
    return [f"replay --projection {each} --from-beginning" for each in names]


async def level(engine: AsyncEngine, kafka: KafkaSettings, live: Generation, target: Generation) -> Vector:
    """Give the offsets that *target* must have read so that it shows all that *live* shows, in derived topics that they do not share.

    It waits until the generation that feeds *target* has applied what the one that feeds *live* has, and has published it.
    """
    goal: Vector = {}
    async with checkout(engine) as connection:
        known = await _find_derivers(connection)
        for topic in sorted({*target.topics} - {*live.topics}):
            new = known.get(topic)
            old = next(
                (known[each] for each in live.topics if each in known and new and known[each].projection == new.projection), None
            )
            if new is None or old is None:
                continue
            await _level(connection, old, new)
            partitions = [(topic, number) for number in range(target.topics[topic])]
            goal |= (await find_bounds(kafka, partitions))[1]
    return goal


async def _find_derivers(connection: Connection) -> dict[str, Generation]:
    """Give every generation by the topic that it derives into, if it derives."""
    return {name_derived(each.consumer_group): each for each in await list_generations(connection)}


async def require_upstream(engine: AsyncEngine, target: Generation) -> None:
    """Raise PreconditionFailed where *target* reads what a dropped generation derived: that is gone, so nothing could feed it."""
    async with checkout(engine) as connection:
        known = await _find_derivers(connection)
    for each in (known[topic] for topic in sorted(target.topics) if topic in known):
        if each.state is State.DROPPED:
            raise PreconditionFailed(
                f"{target} reads what {each} derived, and {each} is dropped, so nothing could feed it. Rebuild with its release: "
                f"`{compose_rebuilds([target.projection])[0]}`."
            )


async def _level(connection: Connection, old: Generation, new: Generation) -> None:
    """Wait until *new* has applied what *old* has by now, and what it derived from that is in the log."""
    reached = {each: offset for each, offset in (await read_vector(connection, old.id)).items() if each[0] in new.topics}
    wanted: dict[int, int] | None = None
    while True:
        stands = await read_stands(connection, new.id)
        if wanted is None and has_reached(await read_vector(connection, new.id), reached):
            wanted = {each: stand.number for each, stand in (await read_stands(connection, new.id)).items()}
        if wanted is not None and all(stand.number - stand.waiting >= wanted.get(each, 0) for each, stand in stands.items()):
            return
        await asyncio.sleep(POLL_S)


async def rush(engine: AsyncEngine, kafka: KafkaSettings, builder: Builder, vector: Vector) -> None:
    """Take a build to the live generation's *vector*, and as far in derived topics that only it reads, while that one is held back."""
    await builder.rush_to(vector)
    target = builder.generation
    async with checkout(engine) as connection:
        live = await find_live(connection, target.projection)
    if live and (goal := await level(engine, kafka, live, target)):
        await builder.rush_to(await builder.last_records(sorted(goal)))


def wait_level(engine: AsyncEngine, kafka: KafkaSettings, target: Generation) -> Reaching:
    """Give a `reach_vector` for a generation that workers feed: it looks until they have got there, in derived topics too."""
    reach_vector = wait_for_workers(engine, target)

    async def reach_all(vector: Vector) -> None:
        await reach_vector(vector)
        async with checkout(engine) as connection:
            live = await find_live(connection, target.projection)
            goal = await level(engine, kafka, live, target) if live else {}
            while True:
                if has_reached(await read_seen(connection, target.id), goal):
                    return
                await asyncio.sleep(POLL_S)

    return reach_all
