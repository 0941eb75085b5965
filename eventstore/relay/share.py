"""Into which shards a topic is cut, and who relays how many of them: plain arithmetic.

A shard is a set of partitions, written in transactions of its own under a transactional id of its own. The cut depends on the
number of partitions alone and never changes, like that number: then the newest record of a shard says how far the whole shard
is, and no relay of another cut can write beside it.
"""

from __future__ import annotations

from typing import Final

from eventstore.postgres.shards import Owner
from eventstore.stream import Position

MOST_SHARDS: Final = 4
"""For the life of every log, see ADR 0012: more would cost a single relay more transactions, and PostgreSQL feeds no more."""
END: Final = Position(1 << 62, 0)
"""Behind every event: where shards stand while Debezium, which starts when the relay has finished, writes to them."""


def count_shards(partitions: int) -> int:
    """Give the number of shards of a topic of *partitions* partitions."""
    return min(partitions, MOST_SHARDS)


def find_partitions(shard: int, partitions: int) -> range:
    """Give the partitions of *shard*."""
    return range(shard, partitions, count_shards(partitions))


def find_share(owners: list[Owner], shards: int) -> int:
    """Give how many of *shards* this process should hold: as many as the others, and the odd ones go to those who came first."""
    members = [each for each in owners if each.member]
    rank = next((number for number, each in enumerate(members) if each.mine), None)
    if rank is None:
        return 0
    return shards // len(members) + (rank < shards % len(members))
