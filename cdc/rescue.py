"""A lost slot while Debezium carries the event store's events: what is missing in the topic is published from the event table.

A slot ends at one place of the write-ahead log, so what is missing of a stream are its last events: those above the newest version that
the topic has. So nothing is missing afterwards and nothing comes twice, and since the route is closed first and the relay let go on last,
each stream keeps its order. A hole in the midst, as a slot that was made anew by hand would leave, can't be filled in order; then it is
said which streams have one. Every step may be repeated: what was published before a run was killed is found in the topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from cdc.connect.client import ConnectClient
from cdc.database import open_database
from cdc.proof import ConnectorFailed
from cdc.route import Switch, switch_on
from cdc.steer import teardown_connector
from eventstore.codec import decode
from eventstore.errors import HistoryIncomplete, PreconditionFailed, TimedOut
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds, find_offsets
from eventstore.log.partitioner import partition_of
from eventstore.log.producer import TransactionalProducer
from eventstore.log.wire import compose
from eventstore.postgres.engine import open_engine
from eventstore.postgres.pages import TextRow, read_carried
from eventstore.postgres.routes import Route, close_route, find_ending, find_route, settle_route
from eventstore.stream import START, Position

_POLL_S = 0.1
_FETCH_S = 0.25
_PAGE = 5_000
_SKEW_S = 3600
"""How far the clocks of broker and database may be apart, so that the beginning of a route is found in the topic."""


@dataclass(slots=True)
class Rescue:
    """What was *found*, and how many events were *published* from the table; *present* ones of the route were in the topic."""

    found: str
    lost: bool
    present: int = 0
    published: int = 0
    streams: int = 0
    dry_run: bool = False
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.lost:
            return f"route: {self.found}"
        done = "would be" if self.dry_run else "were"
        return (
            f"route: {self.found}. {self.present:,} of its events were in the topic; the missing ones {done} published from the event table"
            + ("" if self.dry_run else f": {self.published:,} of {self.streams:,} streams, each once and in order")
        )


@dataclass(slots=True)
class _Seen:
    """The versions that the topic has of the route's events, by stream; *holes* are streams that lack some in the midst."""

    first: dict[str, int] = field(default_factory=dict[str, int])
    newest: dict[str, int] = field(default_factory=dict[str, int])
    holes: set[str] = field(default_factory=set[str])
    events: int = 0

    def note(self, stream: str, version: int) -> None:
        """Take in one record, in the topic's order; repetitions are nothing new."""
        newest = self.newest.get(stream)
        if newest is None:
            self.first[stream] = version
        elif version <= newest:
            return
        elif version > newest + 1:
            self.holes.add(stream)
        self.newest[stream] = version
        self.events += 1

    def lacks(self, stream: str, version: int) -> bool:
        """Say whether an event has to be published; one before the first that is there is a hole."""
        if version < self.first.get(stream, version):
            self.holes.add(stream)
        return version > self.newest.get(stream, 0)


async def rescue_route(switch: Switch, *, dry_run: bool = False) -> Rescue:
    """Bring the route back: resume it where its slot is there, else publish what is missing and open it anew.

    Raises PreconditionFailed when Debezium carries nothing, HistoryIncomplete for holes, TimedOut, HeldElsewhere, Unreachable.
    """
    started = time.monotonic()
    engine = open_engine(switch.postgres, application="cdc recover")
    try:
        route = await find_route(engine, switch.kafka.events_topic)
        if route is None or route.settled:
            raise PreconditionFailed(
                "Debezium carries no events of this store; the relay needs no recovery: run `eventstore relay`"
            )
        rescue = await _look(switch, route)
        rescue.dry_run = dry_run
        switch.report(rescue.found)
        if dry_run:
            rescue.present = (await _read_topic(switch, engine, route)).events if rescue.lost else 0
        elif rescue.lost:
            await _carry_out(switch, engine, rescue)
        else:
            await switch_on(switch)
        rescue.seconds = round(time.monotonic() - started, 2)
        return rescue
    finally:
        await engine.dispose()


async def _look(switch: Switch, route: Route) -> Rescue:
    """Find out whether the slot still has what was announced."""
    target = switch.target
    async with ConnectClient() as connect, open_database(target.dsn or "") as database:
        slot, state = await database.read_slot(target.slot), await connect.read_state(target.name)
        offsets = await connect.read_offsets(target.name)
    if slot is None or slot["wal_status"] == "lost":
        what = "is gone" if slot is None else f"has lost its log ({slot['invalidation_reason'] or 'too far behind'})"
        return Rescue(f"the slot {target.slot} {what}", lost=True)
    if route.until is not None:
        return Rescue("an earlier recovery was interrupted", lost=True)
    if state is not None and state.failure:
        return Rescue(f"{target.name} failed: {str(ConnectorFailed(state.failure)).splitlines()[0]:.200}", lost=True)
    if state is None or not offsets:
        return Rescue(f"{target.name} {'is gone' if state is None else 'has lost its offsets'}", lost=True)
    return Rescue(f"the slot is there and {target.name} is {state}", lost=False)


async def _carry_out(switch: Switch, engine: AsyncEngine, rescue: Rescue) -> None:
    """Close the route, publish what is missing, let the relay go on, and open the route anew."""
    await close_route(engine)
    switch.report("nothing is announced any more")
    async with ConnectClient() as connect:
        await teardown_connector(connect, switch.target, switch.deadline, switch.report)
    while (ending := await find_ending(engine)) is not None and not ending.readable:
        await _pause(switch)
    route = await find_route(engine, switch.kafka.events_topic)
    assert route is not None
    seen = await _read_topic(switch, engine, route)
    rescue.present = seen.events
    await _publish(switch, engine, route, seen, rescue)
    while not await settle_route(engine):
        await _pause(switch)
    switch.report(f"{rescue.published:,} events published from the table; the relay may go on")
    await switch_on(switch)


async def _read_topic(switch: Switch, engine: AsyncEngine, route: Route) -> _Seen:
    """Find which events of *route* the topic has."""
    kafka, seen = switch.kafka, _Seen()
    partitions = [(kafka.events_topic, each) for each in range(kafka.partitions)]
    first, ends = await find_bounds(kafka, partitions)
    ending = await find_ending(engine)
    since = int((ending.opened_at.timestamp() if ending else 0) - _SKEW_S) * 1000
    found = await find_offsets(kafka, dict.fromkeys(partitions, max(0, since)))
    start = {each: max(first[each], found.get(each, ends[each])) for each in partitions}
    wanted = {each: end for each, end in ends.items() if end > start[each]}
    reader = AssignedReader(kafka, f"{kafka.events_topic}.rescue")
    await reader.open(start)
    try:
        reader.limit(ends)
        while _is_short(await reader.seen(), wanted):
            for records in (await reader.poll(_FETCH_S)).values():
                for record in records:
                    document = decode(record.value or b"{}")
                    if _is_within(Position.parse(document["position"]), route):
                        seen.note(document["subject"], document["streamversion"])
    finally:
        await reader.close()
    return seen


def _is_short(seen: Mapping[tuple[str, int], int], wanted: Mapping[tuple[str, int], int]) -> bool:
    return any(seen.get(each, 0) < end for each, end in wanted.items())


def _is_within(position: Position, route: Route) -> bool:
    return position.sequence > route.after and (route.until is None or position.sequence <= route.until)


async def _publish(switch: Switch, engine: AsyncEngine, route: Route, seen: _Seen, rescue: Rescue) -> None:
    """Publish what *seen* lacks; first all of it is looked through, because nothing is to be published beside a hole."""
    assert route.until is not None
    span, streams = (route.after, route.until), set[str]()

    async def look(page: Sequence[TextRow]) -> None:
        for row in page:
            seen.lacks(row[0], row[1])

    await _walk(engine, span, look)
    if seen.holes:
        raise HistoryIncomplete(
            f"the topic lacks events in the midst of {len(seen.holes)} streams ({', '.join(sorted(seen.holes)[:3])}), as when a slot was "
            "made anew by hand, and they can't be added in order. Nothing was published. Let the relay fill a new topic: choose another "
            "REFOLD_KAFKA_TOPIC_PREFIX, and switch the route off.",
            streams=sorted(seen.holes)[:100],
        )
    ending = await find_ending(engine)
    source = ending.source if ending else switch.relay.source
    producer = TransactionalProducer(switch.kafka, switch.kafka.events_topic, f"{switch.kafka.events_topic}.rescue")
    await producer.start()
    try:

        async def publish(page: Sequence[TextRow]) -> None:
            missing = [row for row in page if seen.lacks(row[0], row[1])]
            entries = [
                (partition_of(row[0], switch.kafka.partitions), row[0].encode(), compose(row[:12], source), row[12])
                for row in missing
            ]
            if entries:
                await producer.publish(entries)
            rescue.published += len(entries)
            streams.update(row[0] for row in missing)

        await _walk(engine, span, publish)
    finally:
        await producer.close()
    rescue.streams = len(streams)


async def _walk(engine: AsyncEngine, span: tuple[int, int], visit: Callable[[Sequence[TextRow]], Awaitable[None]]) -> None:
    """Give all events of *span* to *visit*, page by page."""
    after = START
    while page := await read_carried(engine, after, span, _PAGE):
        await visit(page)
        after = Position(page[-1][2], page[-1][3])


async def _pause(switch: Switch) -> None:
    if time.monotonic() > switch.deadline:
        raise TimedOut("a transaction from before the route was closed still runs: `eventstore doctor` names it. Run this again.")
    await asyncio.sleep(_POLL_S)
