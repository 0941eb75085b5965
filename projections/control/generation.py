r"""A generation: one physical build of a projection, with its own tables, consumer group and checkpoint; and its legal moves.

    created -> building -> caught_up -> verified -> live -> retired -> dropped
        \________\___________\___________\-> failed -> dropped        retired -> live is a rollback

A move is one UPDATE that names the state it comes from, so that two operators can't both make it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from eventstore.errors import PreconditionFailed


class State(StrEnum):
    """Where a generation stands."""

    CREATED = "created"
    BUILDING = "building"
    CAUGHT_UP = "caught_up"
    VERIFIED = "verified"
    LIVE = "live"
    RETIRED = "retired"
    FAILED = "failed"
    DROPPED = "dropped"


UNFINISHED = frozenset({State.CREATED, State.BUILDING, State.CAUGHT_UP, State.VERIFIED})
FED = frozenset({State.LIVE, State.RETIRED})
_MOVES: Mapping[State, frozenset[State]] = {
    State.CREATED: frozenset({State.BUILDING, State.LIVE, State.FAILED}),
    State.BUILDING: frozenset({State.CAUGHT_UP, State.FAILED}),
    State.CAUGHT_UP: frozenset({State.BUILDING, State.VERIFIED, State.FAILED}),
    State.VERIFIED: frozenset({State.BUILDING, State.LIVE, State.FAILED}),
    State.LIVE: frozenset({State.RETIRED}),
    State.RETIRED: frozenset({State.LIVE, State.DROPPED}),
    State.FAILED: frozenset({State.DROPPED}),
    State.DROPPED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One row of the catalogue. *topics* maps each topic to its number of partitions; *retire_at*: fed at least until then."""

    id: int
    projection: str
    number: int
    version: int
    fingerprint: str
    state: State
    schema_name: str
    consumer_group: str
    topics: Mapping[str, int]
    created_at: datetime
    changed_at: datetime
    retire_at: datetime | None
    detail: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.projection} g{self.number}"


def can_move(here: State, there: State) -> bool:
    """Say whether a generation may go from *here* to *there*."""
    return there in _MOVES[here]


def require_move(generation: Generation, there: State) -> None:
    """Raise PreconditionFailed unless *generation* may go to *there*."""
    if not can_move(generation.state, there):
        allowed = ", ".join(sorted(_MOVES[generation.state])) or "nothing"
        raise PreconditionFailed(
            f"{generation} is {generation.state}, so it can't become {there} (only {allowed}); see `replay status`",
            generation=generation.number,
            state=generation.state,
        )


def name_schema(slug: str, number: int) -> str:
    """Name the schema that holds a generation's tables."""
    return f"rm_{slug}_g{number}"


def name_group(prefix: str, projection: str, number: int) -> str:
    """Name a generation's fresh consumer group."""
    return f"{prefix}.{projection}.g{number}"
