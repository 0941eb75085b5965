"""Dropping generations that nobody reads or feeds any more."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import HeldElsewhere, PreconditionFailed
from eventstore.log.admin import Admin
from eventstore.moments import reach
from eventstore.postgres.engine import Connection, checkout
from eventstore.settings import KafkaSettings
from projections.control.catalogue import find_live, list_generations, move, note
from projections.control.generation import UNFINISHED, Generation, State
from projections.control.outbox import drop_derived, list_readers
from projections.copies import drop_copies, follow
from projections.feeding.deriving import find_derived
from projections.readmodels.postgres import drop_schema
from projections.readmodels.views import find_dependents, move_views, name_home
from projections.release.loss import drop_lost
from replay.bound import is_bounded
from replay.operator import operating

log = logging.getLogger(__name__)


def find_garbage(known: list[Generation], now: datetime, *, force: bool, bounded: bool = False) -> list[Generation]:
    """Give the failed generations and those retired past their grace time (*force*: all retired, *bounded*: all by --until). Pure."""
    return [
        each
        for each in known
        if each.state is State.FAILED
        or (bounded and is_bounded(each) and each.state in UNFINISHED)
        or (each.state is State.RETIRED and (force or (each.retire_at is not None and each.retire_at <= now)))
    ]


async def collect(engine: AsyncEngine, projection: str | None, *, force: bool, bounded: bool = False) -> list[Generation]:
    """Drop the garbage of *projection* (None = of all): what lies elsewhere first, then tables and their note at once; a crash repeats it.

    Each is dropped as the projection's one operator, and only if it is garbage still: a rollback may have made it live meanwhile.
    Raises HeldElsewhere while *projection* is being replayed or rolled back; where all are meant, those that are stay for the next time.
    """
    gone: list[Generation] = []
    async with checkout(engine) as connection:

        async def find() -> list[Generation]:
            known = await list_generations(connection, projection)
            return find_garbage(known, datetime.now(UTC), force=force, bounded=bounded)

        for each in sorted(await find(), key=lambda each: each.id, reverse=True):  # who reads what another derives is younger
            try:
                async with operating(engine, each.projection):
                    now = {still.id: still for still in await find()}
                    if each.id in now and await _drop(engine, connection, now[each.id]):
                        gone.append(each)
            except HeldElsewhere as error:
                if projection:
                    raise
                log.warning("%s is kept: %s", each, error)
    return gone


async def _drop(engine: AsyncEngine, connection: Connection, generation: Generation) -> bool:
    """Drop *generation* and what belongs to it; False = it is kept, because others read what it derives."""
    topic = find_derived(generation)
    if topic is not None and (readers := await list_readers(connection, topic)):
        log.warning("%s is kept, for %s reads what it derives; replay that first", generation, ", ".join(readers))
        return False
    await _require_unread(engine, connection, generation)
    if generation.state is State.RETIRED and (live := await find_live(connection, generation.projection)):
        await follow(engine, live)  # whoever made it live may have died before readers of a sink without the catalogue saw it
    reach("gc.before_drop")
    await drop_copies(generation)
    if topic is not None:
        await _drop_topic(connection, generation, topic)
    async with engine.begin() as transaction:
        raw: Any = (await transaction.get_raw_connection()).driver_connection
        await drop_schema(transaction, generation.schema_name)
        await drop_lost(raw, generation.id)
        failed = await move(raw, generation, State.FAILED) if generation.state in UNFINISHED else generation
        dropped = await move(raw, failed, State.DROPPED)
        await note(raw, "drop", dropped, origin=None, detail={})
        reach("gc.before_commit")
    return True


async def _drop_topic(connection: Connection, generation: Generation, topic: str) -> None:
    """Delete what *generation* derived, in the log and on its way there."""
    await drop_derived(connection, generation.id)
    async with Admin.open(KafkaSettings()) as admin:
        await admin.delete_topics([topic])


async def _require_unread(engine: AsyncEngine, connection: Connection, generation: Generation) -> None:
    """Raise PreconditionFailed when somebody's views read from *generation*: they would go with it. Stable ones are moved first."""
    if not await find_dependents(connection, generation.schema_name):
        return
    live = await find_live(connection, generation.projection)
    reason = await move_views(engine, live) if live else None
    if readers := await find_dependents(connection, generation.schema_name):
        raise PreconditionFailed(
            f"{generation} is kept, because {', '.join(readers)} would be dropped with it"
            f"{f': {reason}' if reason else ''}. Drop them, or let them read {name_home(generation)}.*; then run this again.",
            readers=readers,
        )
