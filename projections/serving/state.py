"""On what the rows of generations depend, as one short text: which builds, how far each has applied the log, what was mended in them.

Two equal texts stand for equal rows. Offsets alone would not do: a parked record that is retried and a repair change rows without
moving a checkpoint, so both count in the generation's detail, in their own transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from eventstore.codec import encode
from eventstore.postgres.statements import load
from projections.control.generation import Generation


async def read_state(session: AsyncSession, generations: Iterable[Generation]) -> str:
    """Digest the state of *generations* as this session's snapshot has it."""
    chosen = sorted(generations, key=lambda each: each.id)
    raw: Any = (await (await session.connection()).get_raw_connection()).driver_connection
    values = {"generations": [each.id for each in chosen]}
    vector = await (await raw.execute(load("projections", "read_applied"), values)).fetchall()
    builds = [(each.id, each.projection, each.fingerprint, each.detail.get("mended", 0)) for each in chosen]
    return hashlib.sha256(encode([builds, vector])).hexdigest()[:32]
