"""Generations: their legal moves, names, vectors, and what a checkpoint means."""

import dataclasses
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from eventstore.errors import PreconditionFailed
from projections.control.checkpoint import has_reached
from projections.control.generation import FED, UNFINISHED, Generation, State, can_move, name_group, name_schema, require_move

AT = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Generation(1, "bank", 1, 1, "f", State.LIVE, "rm_bank_g1", "p.bank.g1", {"events": 1}, AT, AT, None, {})


def test_straight_way():
    """Every step of the way from created to dropped is legal, and none can be skipped except to failed."""
    way = [State.CREATED, State.BUILDING, State.CAUGHT_UP, State.VERIFIED, State.LIVE, State.RETIRED, State.DROPPED]
    assert all(can_move(here, there) for here, there in pairwise(way))
    assert not can_move(State.BUILDING, State.VERIFIED)
    assert not can_move(State.BUILDING, State.LIVE)
    assert not can_move(State.CAUGHT_UP, State.LIVE)
    assert all(can_move(each, State.FAILED) for each in UNFINISHED)


def test_dead_ends():
    """What is dropped stays so, what is live can only retire, and what failed is never used."""
    assert not any(can_move(State.DROPPED, each) for each in State)
    assert [each for each in State if can_move(State.LIVE, each)] == [State.RETIRED]
    assert [each for each in State if can_move(State.FAILED, each)] == [State.DROPPED]


def test_rollback_is_a_move():
    """A retired generation may become live again; only live and retired ones are fed."""
    assert can_move(State.RETIRED, State.LIVE)
    assert {State.LIVE, State.RETIRED} == FED


def test_illegal_move_is_explained():
    """A refused move says where the generation is and where it could go."""
    with pytest.raises(PreconditionFailed, match=r"bank g1 is live, so it can't become building \(only retired\)"):
        require_move(ONE, State.BUILDING)
    with pytest.raises(PreconditionFailed, match="only nothing"):
        require_move(dataclasses.replace(ONE, state=State.DROPPED), State.LIVE)


def test_names():
    """Schema and group carry the generation's number."""
    assert (name_schema("bank", 3), name_group("prod", "bank", 3)) == ("rm_bank_g3", "prod.bank.g3")


@pytest.mark.parametrize(
    ("here", "there", "expected"),
    [
        ({}, {}, True),
        ({}, {("t", 0): 0}, True),
        ({}, {("t", 0): 1}, False),
        ({("t", 0): 5}, {("t", 0): 5}, True),
        ({("t", 0): 5, ("t", 1): 4}, {("t", 0): 5, ("t", 1): 5}, False),
        ({("t", 0): 9, ("t", 1): 9}, {("t", 0): 5}, True),
    ],
)
def test_has_reached(here, there, expected):
    """A vector is reached when every partition of it is, whatever others there are."""
    assert has_reached(here, there) is expected
