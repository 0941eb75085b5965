"""Wrong readers and writers of the log, and the runs on Kafka that show them."""

from contextlib import suppress
from typing import Any

import eventstore.cli
from eventstore.errors import Fenced
from eventstore.log.assigned import AssignedReader
from eventstore.log.gate import GroupReader
from eventstore.relay.relay import Relay
from projections.control.checkpoint import has_reached
from projections.feeding.pipeline import Pipeline
from tests.bank.events import MoneyMoved
from tests.bank.oracle import expect
from tests.faults.checker import examine
from tests.faults.history import History, kinds
from tests.faults.operations import Operation
from tests.faults.planted.place import Place
from tests.faults.records import read_records
from tests.stack.waiting import eventually


async def cross_seam(place: Place) -> set[str]:
    """A first build from an archive and, from its end on, from Kafka."""
    archive = str(place.folder / "archive")
    place.patch.setenv("REFOLD_ARCHIVE_URL", archive)
    async with place.log() as log:
        await log.write(place.ledger.some(60, accounts=5))
        done = await place.runs.program(eventstore.cli.main, "archive", "run", "--drain", "--to", archive, "--json")
        assert done.code == 0, done.err
        await log.write(place.ledger.some(30, accounts=5))
    done = await place.runs.rebuild("--from-archive", archive)
    assert done.code == 0, done.err
    return kinds(await place.runs.history(place.ledger.events))


async def read_aborted(place: Place) -> set[str]:
    """A build from a log in which a writer died before its transaction was committed."""
    async with place.log() as log:
        await log.write(place.ledger.some(40, accounts=5))
        known = list(place.ledger.events)
        with suppress(ZeroDivisionError):
            await log._producer.publish(
                [(log.partition(e.stream), e.stream.encode(), e.document(), 0) for e in place.ledger.some(10, accounts=5)],
                lambda: 1 // 0,  # pyright: ignore[reportArgumentType]
            )
    async with place.log() as another:  # whose start aborts what the first one left open
        await another.write([])
    done = await place.runs.rebuild()
    assert done.code == 0, done.err
    return kinds(await place.runs.history(known))


async def hold_prefetched(place: Place) -> set[str]:
    """A worker that has records fetched in advance is fenced, and goes on when another has applied them."""
    async with place.log() as log, place.hands_on_log() as (generation, join):
        await log.write(place.ledger.some(80, accounts=5))
        slow, quick = await join(), await join()
        owned: list[Any] = []

        async def claim(partitions: list[Any]) -> Any:
            owned[:] = partitions
            return await slow.claim(partitions, "slow")

        topic = place.runs.kafka.events_topic
        reader = GroupReader(place.runs.kafka, generation.consumer_group, [topic], claim)
        await reader.open()
        try:

            async def applies() -> bool:
                return await _apply_some(reader, slow)

            await eventually(applies, "the first records", 60)
            await _apply_all(place, quick, owned)
            for _ in range(12):
                try:
                    await _apply_some(reader, slow)
                except Fenced:
                    reader.rejoin()
        finally:
            await reader.close()
        found, expected = await place.runs.rows(generation), expect(place.ledger.events)
    recorded, applied = ({stream: row["versions"] for stream, row in each["trail"].items()} for each in (expected, found))
    return kinds(History(recorded, applied, found=found, expected=expected))


async def _apply_some(reader: GroupReader, pipeline: Pipeline) -> bool:
    batch = await reader.poll(0.1, most_records=5)
    if batch:
        await pipeline.apply(batch, {})
    return bool(batch)


async def _apply_all(place: Place, pipeline: Pipeline, partitions: list[Any]) -> None:
    reader = AssignedReader(place.runs.kafka, "quick")
    await reader.open(await pipeline.claim(partitions, "quick"))
    try:
        ends = await reader.ends(partitions)
        while not has_reached(await reader.seen(), ends):
            if batch := await reader.poll(0.1):
                await pipeline.apply(batch, {})
    finally:
        await reader.close()


async def relay_twice(place: Place) -> set[str]:
    """A relay publishes what is stored, ends, and is started again."""
    place.use_topic()
    async with place.store() as store:
        ids: list[Operation] = []
        for each in range(12):
            token = await store.append(f"s{each % 3}", [MoneyMoved(f"s{each % 3}", each, "deposit")])
            *_, stored = [one async for one in store.read_stream(token.stream)]
            ids.append(_tell("append", token.stream, token.version, str(stored.id)))

        async def readable() -> bool:
            return await store.count() == len(ids)

        await eventually(readable, "all events below the horizon", 60)
        for _ in range(2):
            await Relay(place.runs.engine, place.runs.kafka).drain()
    log = [
        _tell("publish", each["subject"], each["streamversion"], each["id"], partition=each["partition"], offset=each["offset"])
        for each in await read_records(place.runs.kafka)
    ]
    report = examine([*ids, *log, Operation("reader", "ok", "caught_up", t_ns=2)])
    return report.kinds | {each.kind for each in report.notes}


def _tell(f: Any, stream: str, version: int, event: str, **where: int) -> Operation:
    return Operation("run", "ok", f, t_ns=1, stream=stream, version=version, event_id=event, **where)
