"""Several relays: each shard has one owner, healthy ones leave each other alone, and a waiting one steps in."""

import asyncio
import random
import signal
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import KafkaSettings, Position, RawEvent, RelaySettings
from eventstore.codec import decode
from eventstore.errors import HeldElsewhere
from eventstore.postgres import PostgresEventStore
from eventstore.postgres.shards import find_owners
from eventstore.relay import Relay
from eventstore.relay.stand import find_stands
from eventstore.stream import START
from tests.faults.history import History, check
from tests.integration.eventstore.topic import read_topic, require_all
from tests.stack.waiting import eventually

Readable = Callable[[int], Awaitable[Position]]
Start = Callable[..., Awaitable[Process]]
QUICK = {"REFOLD_RELAY_LEASE_S": "1", "REFOLD_RELAY_WATCH_S": "0.05", "REFOLD_KAFKA_REQUEST_TIMEOUT_S": "8"}
SETTINGS = RelaySettings(lease_s=1, watch_s=0.05)
PATIENT, PATIENT_CHILD = SETTINGS.model_copy(update={"lease_s": 30.0}), {**QUICK, "REFOLD_RELAY_LEASE_S": "30"}
"""For relays that nobody may take for dead, however busy the machine."""


@pytest.fixture
def holding(engine: AsyncEngine, kafka: KafkaSettings) -> Callable[[int], Awaitable[list[list[int]]]]:
    """Waits until so many relays take part and all shards have owners, and gives who holds what, in the order of their coming."""

    async def look(relays: int) -> list[list[int]] | None:
        owners = [each for each in await find_owners(engine, kafka.events_topic) if each.member]
        held = [list(each.shards) for each in owners]
        balanced = held and max(map(len, held)) - min(map(len, held)) <= 1
        return held if len(held) == relays and balanced and sum(map(len, held)) == min(4, kafka.partitions) else None

    async def wait(relays: int) -> list[list[int]]:
        return await eventually(lambda: look(relays), f"{relays} relays that share all shards") or []

    return wait


async def write(store: PostgresEventStore, count: int, first: int = 0) -> None:
    for each in range(first, first + count):
        await store.append(f"s{each % 13}", [RawEvent("x", {"n": each})])


async def test_shared_and_given_back(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, holding: Callable
) -> None:
    """A second relay gets its share while events keep coming, the first one goes on, and what is left behind is taken over."""
    stops = [asyncio.Event(), asyncio.Event()]
    relays = [Relay(engine, kafka, PATIENT), Relay(engine, kafka, PATIENT)]
    running = [asyncio.create_task(relays[0].run(stops[0]))]
    await write(store, 40)
    assert await holding(1) == [[0, 1, 2]]
    running.append(asyncio.create_task(relays[1].run(stops[1])))
    assert sorted(map(len, await holding(2))) == [1, 2]
    await write(store, 60, 40)
    stops[0].set()
    assert (await running[0]).restarts == 0
    assert await holding(1) == [[0, 1, 2]]
    await write(store, 20, 100)
    head = await readable(120)

    async def all_published() -> bool:
        return relays[1].progress.position >= head and sum(each.progress.published for each in relays) == 120

    await eventually(all_published, "120 published events")
    stops[1].set()
    assert (await running[1]).restarts == 0
    assert await require_all(store, kafka) == 120


async def test_standby_steps_in(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, start: Start, holding: Callable
) -> None:
    """With one shard the second relay waits without disturbing the first, and takes over at once when that one is killed."""
    one = kafka.model_copy(update={"partitions": 1})
    first = await start(REFOLD_KAFKA_PARTITIONS="1", **PATIENT_CHILD)

    async def owners() -> list[tuple[int, ...]]:
        return [each.shards for each in await find_owners(engine, one.events_topic)]

    async def are(wanted: list[tuple[int, ...]]) -> bool:
        return await owners() == wanted

    await eventually(lambda: are([(0,)]), "an owner")
    stop, standby = asyncio.Event(), Relay(engine, one, PATIENT)
    waiting = asyncio.create_task(standby.run(stop))
    await eventually(lambda: are([(0,), ()]), "an owner and one that waits")
    await write(store, 20)
    first.kill()
    await first.wait()
    await eventually(lambda: are([(0,)]), "the other one owns it")
    await write(store, 20, 20)
    head = await readable(40)

    async def all_published() -> bool:
        return standby.progress.position >= head

    await eventually(all_published, "the rest of the events")
    stop.set()
    assert (await waiting).restarts == 0
    assert await require_all(store, one) == 40


async def test_stopped_owner_wakes(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, start: Start, tmp_path: Path
) -> None:
    """A relay that is stopped loses its shards after the lease; when it wakes it writes nothing twice and takes part again."""
    await write(store, 20)
    await readable(20)
    asleep = tmp_path / "asleep"
    zombie = await start(REFOLD_PAUSE_AT=f"relay.before_commit:{asleep}", **QUICK)

    async def is_asleep() -> bool:
        return asleep.exists()

    await eventually(is_asleep, "the relay reaches its commit")
    stop, other = asyncio.Event(), Relay(engine, kafka, SETTINGS)
    running = asyncio.create_task(other.run(stop))

    async def published() -> bool:
        return other.progress.published == 20

    await eventually(published, "the other relay publishes everything")
    zombie.send_signal(signal.SIGCONT)

    async def shared() -> bool:
        return [len(each.shards) for each in await find_owners(engine, kafka.events_topic)] == [2, 1]

    await eventually(shared, "both take part")
    await write(store, 20, 20)
    await readable(40)
    stop.set()
    await running

    async def all_there() -> bool:
        return sum(map(len, (await read_topic(kafka)).values())) == 40

    await eventually(all_there, "40 records")
    zombie.send_signal(signal.SIGTERM)
    _, said = await zombie.communicate()
    assert zombie.returncode == 0, said
    assert await require_all(store, kafka) == 40


async def test_killed_and_stopped_under_load(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, stored: Callable, start: Start
) -> None:
    """While relays come, die by kill -9, sleep and wake at random, no event is lost, repeated or out of its stream's order."""
    wide = kafka.model_copy(update={"partitions": 5})
    chance = random.Random(7)
    environment = {**QUICK, "REFOLD_KAFKA_PARTITIONS": "5", "REFOLD_RELAY_BATCH_EVENTS": "11"}
    relays = [await start(**environment) for _ in range(2)]
    asleep: list[Process] = []

    async def has(records: int) -> bool:
        return sum(map(len, (await read_topic(wide)).values())) >= records

    for step in range(9):
        await asyncio.gather(*(write(store, 25, 1000 * step + 100 * each) for each in range(3)))
        await eventually(partial(has, 75 * step + 5), "relays that publish")
        victim = chance.choice(relays)
        if step % 3 == 0:
            victim.send_signal(signal.SIGSTOP)
            asleep.append(victim)
            relays[relays.index(victim)] = await start(**environment)
        elif step % 3 == 1:
            victim.kill()
            relays[relays.index(victim)] = await start(**environment)
        else:
            asleep.pop().send_signal(signal.SIGCONT)
    total = await stored()

    await eventually(partial(has, total), f"{total} records")
    recorded: dict[str, list[int]] = {}
    async for each in store.read_all(decoded=False):
        recorded.setdefault(each.stream, []).append(each.version)
    applied: dict[str, list[int]] = {}
    for records in (await read_topic(wide)).values():
        for document in (decode(record.value) for record in records):
            applied.setdefault(document["subject"], []).append(document["streamversion"])
    assert check(History(recorded, applied)) == []
    assert sum(map(len, applied.values())) == total == 675


async def test_backends_terminated(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable, start: Start, holding: Callable
) -> None:
    """Relays whose connections the server ends again and again, locks included, publish every event once and in order."""
    relays = [await start(**QUICK) for _ in range(2)]
    await holding(2)
    ended = 0

    async def end_some() -> bool:
        nonlocal ended
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name LIKE 'eventstore relay%%' AND datname = current_database() AND random() < 0.6"
        )
        async with engine.connect() as connection:
            ended += (await connection.exec_driver_sql(query)).scalar_one()
        return ended >= 3 * (step + 1)

    for step in range(4):
        await write(store, 30, 100 * step)
        await eventually(end_some, "ended connections")
    await readable(120)

    async def all_there() -> bool:
        return sum(map(len, (await read_topic(kafka)).values())) > 119

    await eventually(all_there, "120 records")
    assert [each.returncode for each in relays] == [None, None]
    assert await require_all(store, kafka) == 120


async def test_drain_beside_a_relay(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, holding: Callable
) -> None:
    """Draining beside a healthy relay is refused with who holds what, and does not disturb it."""
    stop, relay = asyncio.Event(), Relay(engine, kafka, PATIENT)
    running = asyncio.create_task(relay.run(stop))
    await holding(1)
    with pytest.raises(
        HeldElsewhere, match=r"shard 0 of topic .* is relayed by eventstore relay \d+@.* there is nothing to drain"
    ):
        await Relay(engine, kafka, SETTINGS).drain(patience_s=0.3)
    stop.set()
    assert (await running).restarts == 0


async def test_quiet_shards_are_noted(
    store: PostgresEventStore, kafka: KafkaSettings, engine: AsyncEngine, readable: Readable
) -> None:
    """A shard whose streams are quiet stands where the relay stood, not at its last record, when the next relay starts."""
    for each in range(10):
        await store.append("only", [RawEvent("x", {"n": each})])
    head = await readable(10)
    await Relay(engine, kafka).drain()
    assert await find_stands(engine, kafka, None) == {0: head, 1: head, 2: head}
    fresh = kafka.model_copy(update={"topic_prefix": f"{kafka.topic_prefix}x"})
    await Relay(engine, fresh, RelaySettings(batch_events=3)).drain()
    assert START not in (await find_stands(engine, fresh, None) or {}).values()
