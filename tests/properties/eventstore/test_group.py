"""Which appends share a group: whatever waits, everybody's turn comes, in an order that no member can notice."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from eventstore import ANY_VERSION
from eventstore.codec import decode
from eventstore.postgres.array import (
    NULL,
    BigintArray,
    IntegerArray,
    JsonbArray,
    TextArray,
    UuidArray,
    write_bigint,
    write_integer,
    write_jsonb,
    write_text,
    write_uuid,
)
from eventstore.postgres.group import Limits, choose, compose
from eventstore.postgres.request import Part, Request

parts = st.builds(Part, st.sampled_from("abcd"), st.sampled_from([ANY_VERSION, ANY_VERSION, 0, 3]), st.integers(1, 3))
ids = st.lists(st.sampled_from([UUID(int=number) for number in range(12)]), min_size=1, max_size=3, unique=True)
rest = (write_text("x"), write_integer(1), write_jsonb(b"{}"))
requests = st.builds(
    Request,
    st.lists(parts, min_size=1, max_size=3, unique_by=lambda part: part.stream).map(tuple),
    st.tuples(ids, st.sampled_from([NULL, write_text('{"t"}')])).map(
        lambda made: tuple((write_uuid(each), *rest, NULL, NULL, made[1]) for each in made[0])
    ),
    st.none() | st.just(b'{"q":[{"y":null,"g":["t"]}],"a":null}'),
    st.integers(1, 50),
)
limits = st.builds(Limits, st.integers(1, 8), st.integers(1, 12), st.integers(1, 200), st.integers(1, 8))


@given(st.lists(requests, min_size=1, max_size=20), limits)
def test_group_is_right(waiting: list[Request], limits: Limits) -> None:
    """A group has no event id twice, no stream twice that somebody counts on, and no more than the limits unless it is one."""
    chosen = choose(waiting, limits)
    group = [waiting[index] for index in chosen]
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    used = [each for request in group for each in request.ids]
    assert len(set(used)) == len(used)
    touched = [part for request in group for part in request.parts]
    for stream in {part.stream for part in touched}:
        expected = [part.expected for part in touched if part.stream == stream]
        assert len(expected) == 1 or set(expected) == {ANY_VERSION}
    if len(group) > 1:
        streams = len({part.stream for part in touched})
        assert len(group) <= limits.requests
        assert len(used) <= limits.events
        assert sum(request.size for request in group) <= limits.size
        assert streams <= limits.streams


@given(st.lists(requests, min_size=1, max_size=20), limits, st.sets(st.sampled_from("abcd"), max_size=3))
def test_held_streams_wait(waiting: list[Request], limits: Limits, held: set[str]) -> None:
    """Nobody is sent to a stream that somebody waits for; whoever can go, goes, unless somebody before them is there."""
    chosen = choose(waiting, limits, held)
    assert not {part.stream for index in chosen for part in waiting[index].parts} & held
    free = [index for index, each in enumerate(waiting) if not {part.stream for part in each.parts} & held]
    assert chosen or not free or free[0] > 0


@given(limits, st.integers(1, 300), st.integers(0, 16))
def test_lanes_share(limits: Limits, waiting: int, lanes: int) -> None:
    """Lanes that are free take all that waits in one turn, or as much as fits; small shares are not split, and no limit grows."""
    shared = limits.shared(waiting, lanes)
    assert shared.requests <= limits.requests
    assert shared._replace(requests=0) == limits._replace(requests=0)
    assert shared.requests * max(1, lanes) >= min(waiting, limits.requests)
    assert shared.requests >= min(waiting, limits.requests, 16)
    if lanes > 1 and waiting >= 32:
        assert shared.requests < waiting


@given(st.lists(requests, min_size=1, max_size=20), limits)
def test_streams_keep_their_order(waiting: list[Request], limits: Limits) -> None:
    """Everybody's turn comes, and appends to a common stream are carried out in the order in which they came."""
    left, order = list(enumerate(waiting)), list[int]()
    while left:
        chosen = choose([request for _, request in left], limits)
        order += [left[index][0] for index in chosen]
        left = [each for index, each in enumerate(left) if index not in chosen]
    assert sorted(order) == list(range(len(waiting)))
    for stream in "abcd":
        turns = [number for number in order if any(part.stream == stream for part in waiting[number].parts)]
        assert turns == sorted(turns)


@given(st.lists(requests, min_size=1, max_size=6))
def test_composed(group: list[Request]) -> None:
    """The parameters name every part under its request's number, all ids in order, and the conditions of those that have one."""
    made = compose(group)
    parts = [(number, part) for number, request in enumerate(group, 1) for part in request.parts]
    assert made.requests.wire == IntegerArray(write_integer(number) for number, _ in parts).wire
    assert made.streams.wire == TextArray(write_text(part.stream) for _, part in parts).wire
    assert made.expected.wire == BigintArray(write_bigint(part.expected) for _, part in parts).wire
    assert made.counts.wire == IntegerArray(write_integer(part.size) for _, part in parts).wire
    events = [each for request in group for each in request.events]
    assert made.ids.wire == UuidArray(each[0] for each in events).wire
    assert made.data.wire == JsonbArray([rest[2]] * len(events)).wire
    assert (made.metadata, made.occurred) == (None, None)
    assert (made.tags is None) == all(each[6] == NULL for each in events)
    numbers = [number for number, request in enumerate(group, 1) if request.condition]
    assert [each["r"] for each in decode(made.conditions or "[]")] == numbers
    assert all(each["q"] and "a" in each for each in decode(made.conditions or "[]"))
