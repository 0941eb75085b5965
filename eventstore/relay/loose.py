"""What hanging transactions of a shard are to become: committed if anything says that the relay has published them, else aborted. Pure.

A transaction holds a shard's events of a range of positions, and stands only grow. So a shard that stands behind the first record of
what hangs has it all, be it by a record in another of its partitions, a note, or the word of the broker; to abort it would lose events.
A shard that stands before it will publish it again; to commit it would repeat events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eventstore.relay.share import find_partitions
from eventstore.stream import Position


class Loose(NamedTuple):
    """What to do about one shard: end what hangs in *partitions*, as committed or not."""

    partitions: list[int]
    commit: bool


def judge_loose(hanging: Mapping[int, Position], stands: Mapping[int, Position], partitions: int) -> dict[int, Loose]:
    """Give a verdict by shard for *hanging*, the first position of what hangs by partition; *stands* says how far the shards are."""
    found: dict[int, Loose] = {}
    for shard, stand in stands.items():
        own = [each for each in find_partitions(shard, partitions) if each in hanging]
        if own:
            found[shard] = Loose(own, stand >= min(hanging[each] for each in own))
    return found
