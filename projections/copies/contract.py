"""What a copy must do, wherever it is kept. `tests/contracts/test_copies.py` holds every implementation to it.

A batch reaches a copy inside of the PostgreSQL transaction that applies it, before the commit. So whatever the checkpoint says is
applied, every copy has; what a crash leaves in a copy too early is what the next owner folds again, from the same rows and records, and
writes again. Two fences keep that true:

- *epochs*: whoever claims a partition raises its epoch here too, and a batch with an older one changes nothing;
- *offsets*: a copy that stands before the batch's first record has lost something (it was flushed, or restored from a backup), refuses
  it, and is filled anew from the tables; one that stands behind the batch's last record has it already, and changes nothing.

Which generation readers see is the catalogue's business alone. A reader that has no access to it follows the copy's *pointer*, which is
moved after the swap, and again until it succeeds; *turn* rises with every swap, so that a late mover never turns it back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from eventstore.errors import PreconditionFailed, Unreachable
from projections.control.checkpoint import Claim, Partition, Vector
from projections.control.generation import Generation

MOST_ROWS = 5_000
"""Rows that a copy takes in one step; a batch of more is not seen as a whole, but moves the offsets last."""


class CopyLost(Unreachable):
    """A copy has not what it had; its owner fills it anew from the tables."""


class NotFilled(PreconditionFailed):
    """A copy is not filled, yet or any more, so that nobody is shown a part of it."""


class Address(NamedTuple):
    """Which copy: of *table*, of the generation with *number*, which was made at *born* (numbers begin anew in a new database)."""

    projection: str
    number: int
    born: datetime
    table: str

    @classmethod
    def of(cls, generation: Generation, table: str) -> Address:
        """Give the address of the copy of *table* in *generation*."""
        return cls(generation.projection, generation.number, generation.created_at, table)

    @property
    def mark(self) -> str:
        """Tell this generation from one with its number in a database that was dropped; later ones are greater."""
        return f"{int(self.born.timestamp() * 1_000_000):020d}"

    def __str__(self) -> str:
        return f"{self.table} of {self.projection} g{self.number}"


class Standing(NamedTuple):
    """Where a copy stands: whether it was ever filled, and what is applied to it, by partition."""

    filled: bool
    vector: Vector


class Fence(NamedTuple):
    """A partition of a batch: who writes, from where, to where. A batch that moves nothing has *following* = *expected*."""

    partition: Partition
    epoch: int
    expected: int
    following: int

    @classmethod
    def of(cls, partition: Partition, held: Claim, following: int | None) -> Fence:
        """Give the fence of what *held* says, up to *following* (None = it does not move)."""
        return cls(partition, held.epoch, held.next_offset, held.next_offset if following is None else following)


class Changes(NamedTuple):
    """What a batch changed: rows to keep, keys to delete. *owned*: no row is touched from another partition."""

    fences: Sequence[Fence]
    rows: Sequence[Any]
    gone: Sequence[Any]
    owned: bool

    @property
    def is_empty(self) -> bool:
        """True when no row changed."""
        return not self.rows and not self.gone


class Copy(Protocol):
    """One table's rows of one generation in one sink. Every method may raise Unreachable, and is safe to repeat."""

    async def close(self) -> None:
        """Give connections back."""
        ...

    async def claim(self, epochs: dict[Partition, int]) -> Standing:
        """Fence earlier owners of these partitions, making the copy if there is none. Raises Fenced when there is a later owner."""
        ...

    async def apply(self, changes: Changes) -> None:
        """Write a batch and move the offsets, or nothing. Raises Fenced for an older epoch, CopyLost as told above."""
        ...

    async def begin(self) -> str:
        """Empty the copy and give the ticket with which it is filled; an earlier ticket is worth nothing from now on."""
        ...

    async def put(self, ticket: str, rows: Sequence[Any]) -> None:
        """Add rows. Raises Fenced for another ticket."""
        ...

    async def finish(self, ticket: str, vector: Vector) -> None:
        """Declare the copy filled, as of *vector*. Raises Fenced for another ticket."""
        ...

    async def stand(self) -> Standing | None:
        """Say where the copy stands; None = there is none."""
        ...

    async def count(self) -> int:
        """Give the number of rows."""
        ...

    def rows(self) -> AsyncIterator[Any]:
        """Give every row, in any order, while nobody writes."""
        ...

    async def point(self, turn: int) -> bool:
        """Let those who read without the catalogue see this copy, unless a later *turn* was taken already; True = they do now."""
        ...

    async def pointed(self) -> int | None:
        """Give the number of the generation that they see; None = none yet."""
        ...

    async def drop(self) -> None:
        """Delete the copy, if it is there."""
        ...
