"""Which rows of a generation were made from events that had lost personal data: why it may differ from one that was fed before.

Noted while folding, in the transaction of the rows (`ReadModel.note_lost`).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load

Lost = Mapping[str, AbstractSet[str]]
"""By table, the keys of such rows, as `ReadModel.hashes` gives them."""


async def read_lost(connection: Connection, generation: int) -> Lost:
    """Read which rows of *generation* were made without what a forgotten person had in its events."""
    lost: dict[str, set[str]] = {}
    cursor = await connection.execute(load("projections", "read_redacted"), {"generation": generation})
    for table, key in await cursor.fetchall():
        lost.setdefault(table, set()).add(key)
    return lost


async def drop_lost(connection: Connection, generation: int) -> None:
    """Drop the notes of a generation whose tables are gone. Safe to repeat."""
    await connection.execute(load("projections", "forget_redacted"), {"generation": generation})
