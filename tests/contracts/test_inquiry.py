"""A decision over many streams holds under concurrency, in memory and in PostgreSQL."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from eventstore import EventStore, event
from eventstore.decider import Decider
from eventstore.inquiry import Inquiry
from eventstore.query import Query, QueryItem

SEATS = 3


@event("inquiry-enrolled", tags=lambda it: [f"course:{it.course}", f"student:{it.student}"])
class Enrolled:
    student: str
    course: str


class Full(Exception):
    """No seat is left."""


def evolve(taken: dict[str, str], enrolled: Enrolled) -> dict[str, str]:
    return {**taken, enrolled.student: enrolled.course}


def decide(wanted: Enrolled, taken: dict[str, str]) -> list[Enrolled]:
    if wanted.student in taken:
        return []
    if sum(course == wanted.course for course in taken.values()) >= SEATS:
        raise Full
    return [wanted]


seats = Decider(dict[str, str], evolve, decide)


def about(student: str, course: str) -> Query:
    return Query(QueryItem((Enrolled,), (f"course:{course}",)), QueryItem((Enrolled,), (f"student:{student}",)))


async def enrol(events: EventStore, student: str, **options: object) -> object:
    return await Inquiry(events, seats, attempts=40).handle(
        about(student, "art"), Enrolled(student, "art"), stream=f"student-{student}", **options
    )


async def test_never_too_many(events: EventStore) -> None:
    """Of many who enrol at once in streams of their own, just as many get a seat as there are."""
    outcomes = await asyncio.gather(*(enrol(events, str(each)) for each in range(8)), return_exceptions=True)
    assert [type(each) for each in outcomes if isinstance(each, BaseException)] == [Full] * (8 - SEATS)
    found = await events.read(Query(QueryItem((Enrolled,), ("course:art",))))
    assert len(found.events) == SEATS


async def test_same_command(events: EventStore) -> None:
    """The same command id again gives the same events and token, though the course is full by now."""
    command_id = uuid4()
    first = await enrol(events, "ada", command_id=command_id)
    for each in "bc":
        await enrol(events, each)
    again = await enrol(events, "ada", command_id=command_id)
    assert (again.repeated, again.events, again.token) == (True, first.events, first.token)
    with pytest.raises(Full):
        await enrol(events, "late")
    nothing = await enrol(events, "ada")
    assert (nothing.events, nothing.repeated) == ((), False)
