"""After a restore: the same order of events on a server that counts its transactions from elsewhere.

A dump carries events and their transaction ids, and the new server's own ids start anywhere, as a rule lower: what is recorded
there would come before what was restored, and ordered readers would not see the restored events at all. So a store knows on
which server it was settled, refuses appends and ordered reads on any other (RF019), and `settle` chooses the shift that new
transactions get there. Source: docs/adr/0019-restore.md.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import RestoredElsewhere
from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load

RESTORED = "RF019"
_HERE = "eventstore.postgres"


class Settled(NamedTuple):
    """Whether anything had to be *changed*, and the *shift* that is added to this server's transaction ids now."""

    changed: bool
    shift: int


async def settle(engine: AsyncEngine) -> Settled:
    """Let a restored store go on on this server; does nothing where it is settled already. The owner's work.

    No event changes: positions, tokens, checkpoints and what is in the log stay as they were.
    """
    async with checkout(engine) as connection:
        row = await (await connection.execute(load(_HERE, "settle"))).fetchone()
    if row is None:
        raise AssertionError("restored_v1 always gives one row")
    return Settled(*row)


async def require_settled(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise RestoredElsewhere, with the command to run, when the store was restored from a dump and not settled here."""
    try:
        await connection.execute(load(_HERE, "shift"))
    except psycopg.Error as error:
        raise translate(error) or error from error


def translate(error: psycopg.Error) -> RestoredElsewhere | None:
    """Give the error that says what to do for RF019, None for any other."""
    if error.sqlstate != RESTORED:
        return None
    return RestoredElsewhere(f"{error.diag.message_primary}: run `eventstore restored` once; nothing was recorded")
