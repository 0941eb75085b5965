"""Rules that span streams hold under concurrency: nobody decides on less than what comes before the decision."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple
from uuid import UUID

import pytest

from eventstore import ConditionFailed, FailIf, NewEvent, PostgresSettings, Query, QueryItem, RawEvent, Token, event
from eventstore.postgres import PostgresEventStore, checkout, open_engine
from tests.stack.waiting import eventually

PLACES, COURSES, STUDENTS, MOST = 4, 3, 14, 2


@event("race-test-enrolled", tags=lambda each: {f"course:{each.course}", f"student:{each.student}"})
class Enrolled:
    course: int
    student: int


@event("race-test-left", tags=lambda each: {f"course:{each.course}", f"student:{each.student}"})
class Left:
    course: int
    student: int


class Decision(NamedTuple):
    """What was asked, which events the answer held, and where the event lies that was recorded on it."""

    query: Query
    seen: set[UUID]
    token: Token


def rule(course: int, student: int) -> Query:
    return Query(
        QueryItem(types=(Enrolled, Left), tags=(f"course:{course}",)),
        QueryItem(types=(Enrolled, Left), tags=(f"student:{student}",)),
    )


Appending = Callable[[PostgresEventStore, str, NewEvent, FailIf], Awaitable[Token]]


async def by_store(store: PostgresEventStore, stream: str, new: NewEvent, condition: FailIf) -> Token:
    return await store.append(stream, [new], condition=condition)


async def within(store: PostgresEventStore, stream: str, new: NewEvent, condition: FailIf) -> Token:
    async with checkout(store.engine) as connection, connection.transaction():
        return await store.append(stream, [new], condition=condition, connection=connection)


async def enroll(store: PostgresEventStore, course: int, student: int, append: Appending) -> Decision | None:
    """Enrol *student* unless the course is full or the student has enough; ask again whenever somebody came first."""
    query = rule(course, student)
    while True:
        found = await store.read(query)
        held = {(each.data.course, each.data.student) for each in found.events if each.type == "race-test-enrolled"}
        held -= {(each.data.course, each.data.student) for each in found.events if each.type == "race-test-left"}
        full = sum(each[0] == course for each in held) >= PLACES
        if full or (course, student) in held or sum(each[1] == student for each in held) >= MOST:
            return None
        try:
            new = NewEvent(Enrolled(course, student))
            token = await append(store, f"student-{student}", new, FailIf(query, after=found.marker))
        except ConditionFailed:
            continue
        return Decision(query, {each.id for each in found.events}, token)


@asynccontextmanager
async def stores(settings: PostgresSettings) -> AsyncIterator[list[PostgresEventStore]]:
    """Three stores with connections of their own, as three processes have: two in groups, one without."""
    async with AsyncExitStack() as stack:
        made: list[PostgresEventStore] = []
        for requests in (128, 128, 1):
            chosen = settings.model_copy(update={"group_requests": requests, "pool_size": 8})
            engine = open_engine(chosen, application="race")
            stack.push_async_callback(engine.dispose)
            made.append(PostgresEventStore(engine, chosen))
        yield made


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_course_is_overfull(settings: PostgresSettings, store: PostgresEventStore, seed: int) -> None:
    """However many enrol at once, by group, alone and in own transactions, among plain appends, no rule is ever broken."""
    chance = random.Random(seed)
    decisions: list[Decision] = []
    wanted = [(course, student) for course in range(COURSES) for student in range(STUDENTS)]
    chance.shuffle(wanted)

    async def ask(number: int, course: int, student: int) -> None:
        decided = await enroll(several[number % 3], course, student, within if number % 5 == 0 else by_store)
        if decided:
            decisions.append(decided)
        if number % 4 == 0:
            await several[number % 3].append(f"plain-{number % 2}", [RawEvent("noted", {}), Left(course, 100 + student)])

    async with stores(settings) as several:
        await asyncio.gather(*(ask(number, *pair) for number, pair in enumerate(wanted)))
    everything = (await store.read(Query(QueryItem(types=(Enrolled, Left))))).events
    enrolled = [each.data for each in everything if each.type == "race-test-enrolled"]
    assert [sum(each.course == course for each in enrolled) for course in range(COURSES)] == [PLACES] * COURSES
    assert all(sum(each.student == student for each in enrolled) <= MOST for student in range(STUDENTS))
    assert len(decisions) == len(enrolled)
    for decision in decisions:
        asked = (await store.read(decision.query)).events
        assert decision.seen == {each.id for each in asked if each.position < decision.token.position}


async def last_place(store: PostgresEventStore) -> int:
    """Let two transactions take the only place, the second before the first has committed; give how many got it."""
    query = Query(QueryItem(types=("taken",), tags=("seat:1",)))
    condition = FailIf(query, after=(await store.read(query, decoded=False)).marker)

    async def take(stream: str) -> None:
        await store.append(stream, [NewEvent(RawEvent("taken", {}), tags=["seat:1"])], condition=condition)

    async with checkout(store.engine) as first, first.transaction():
        new = NewEvent(RawEvent("taken", {}), tags=["seat:1"])
        await store.append("a", [new], condition=condition, connection=first)
        second = asyncio.create_task(take("b"))

        async def decided() -> bool:
            return second.done() or await is_waiting(store)

        await eventually(decided, "the second to be recorded or to wait")
    await asyncio.gather(second, return_exceptions=True)
    return len((await store.read(query, decoded=False)).events)


async def is_waiting(store: PostgresEventStore) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with checkout(store.engine) as connection:
        return await (await connection.execute(query)).fetchone() != (0,)


async def replant(store: PostgresEventStore, function: str, before: str, after: str) -> None:
    async with checkout(store.engine) as connection:
        row = await (await connection.execute(f"SELECT pg_get_functiondef('eventstore.{function}'::regproc)")).fetchone()
        source: str = row[0] if row else ""
        assert before in source
        await connection.execute(source.replace(before, after))


async def test_without_tag_locks(store: PostgresEventStore) -> None:
    """The planted mistake, conditions that lock no tags, gives one place to two; with the locks one of them is refused."""
    assert await last_place(store) == 1
    await replant(store, "lock_v1", "SELECT 1919247975, hashtext(g.tag) & 1023, true", "SELECT 1919247975, 5000, false")
    async with checkout(store.engine) as connection:
        await connection.execute("ALTER TABLE eventstore.event DISABLE TRIGGER event_append_only")
        await connection.execute("ALTER TABLE eventstore.tag DISABLE TRIGGER tag_append_only")
        await connection.execute("DELETE FROM eventstore.event; DELETE FROM eventstore.tag")
    assert await last_place(store) == 2


async def late_writer(store: PostgresEventStore) -> bool:
    """Look while an older transaction writes and a younger one has committed, then decide; say whether the decision passed."""
    query = Query(QueryItem(tags=("seat:1",)))
    async with checkout(store.engine) as slow, slow.transaction():
        await store.append("slow", [NewEvent(RawEvent("taken", {}), tags=["seat:1"])], connection=slow)
        await store.append("fast", [NewEvent(RawEvent("taken", {}), tags=["seat:2"])])
        marker = (await store.read(query, decoded=False)).marker
    try:
        await store.append("mine", [NewEvent(RawEvent("taken", {}), tags=["seat:1"])], condition=FailIf(query, after=marker))
    except ConditionFailed:
        return False
    return True


async def test_marker_by_the_newest(store: PostgresEventStore) -> None:
    """The planted mistake, a marker that counts all below the newest transaction as seen, misses who commits late."""
    assert not await late_writer(store)
    async with checkout(store.engine) as connection:
        await connection.execute(
            "CREATE OR REPLACE FUNCTION eventstore.seen_v1(p_xid xid8, p_marker text) RETURNS boolean LANGUAGE sql STABLE AS "
            "$$ SELECT p_xid < pg_snapshot_xmax(p_marker::pg_snapshot) $$"
        )
        await connection.execute("ALTER TABLE eventstore.event DISABLE TRIGGER event_append_only")
        await connection.execute("ALTER TABLE eventstore.tag DISABLE TRIGGER tag_append_only")
        await connection.execute("DELETE FROM eventstore.event; DELETE FROM eventstore.tag")
    assert await late_writer(store)
