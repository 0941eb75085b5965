"""What the store remembers of its topics, because the topics themselves do not."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load


async def settle_partitions(engine: AsyncEngine, topic: str, partitions: int, *, empty: bool) -> int:
    """Give with how many partitions *topic* began: *partitions* if nobody said so before, or if the topic is *empty*."""
    async with checkout(engine) as connection:
        arguments = {"name": topic, "partitions": partitions, "empty": empty}
        row = await (await connection.execute(load("eventstore.postgres", "topic_began"), arguments)).fetchone()
    assert row is not None
    return row[0]
