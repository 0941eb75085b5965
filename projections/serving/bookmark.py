"""Where a reader must be at least: the newest write that it has to see, by partition of the events topic.

It is what a token becomes when it travels through browsers and other programs: it names no stream, so that it tells nobody what was
written, and two of them merge, so that the writes of several requests are all seen. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from eventstore.log.partitioner import partition_of
from eventstore.stream import Position, Token

MOST = 32
"""Partitions that a bookmark names at most; the oldest writes are left out, which are there first."""
_PART = re.compile(r"(\d{1,4}):(\d{1,19})\.(\d{1,19})", re.ASCII)
_LARGEST = 2**63 - 1


class Bookmark:
    """What a reader has to see. `str(bookmark)` and `Bookmark.parse` are inverse; `|` merges; an empty one is false."""

    __slots__ = ("positions",)

    def __init__(self, positions: Mapping[int, Position] | None = None) -> None:
        newest = sorted((positions or {}).items(), key=lambda each: each[1])[-MOST:]
        self.positions: Mapping[int, Position] = MappingProxyType(dict(sorted(newest)))

    @classmethod
    def of(cls, tokens: Iterable[Token], partitions: int) -> Bookmark:
        """Make the bookmark of *tokens* in a topic of so many *partitions*."""
        made = cls()
        for each in tokens:
            made |= cls({partition_of(each.stream, partitions): each.position})
        return made

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """Read what `str` wrote. Raises ValueError for anything else."""
        positions: dict[int, Position] = {}
        for part in filter(None, (each.strip() for each in text.split("_"))):
            found = _PART.fullmatch(part)
            if found is None or max(map(int, found.groups())) > _LARGEST:
                raise ValueError(f"{text!r} is no bookmark, which looks like 3:7411.90_5:7412.91")
            partition, xid, sequence = map(int, found.groups())
            positions[partition] = max(Position(xid, sequence), positions.get(partition, Position(0, 0)))
        return cls(positions)

    def __or__(self, other: Bookmark) -> Bookmark:
        both = {
            each: max(mark.get(each, Position(0, 0)) for mark in (self.positions, other.positions)) for each in self._all(other)
        }
        return Bookmark(both)

    def _all(self, other: Bookmark) -> set[int]:
        return {*self.positions, *other.positions}

    def __bool__(self) -> bool:
        return bool(self.positions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bookmark) and self.positions == other.positions

    def __hash__(self) -> int:
        return hash(tuple(self.positions.items()))

    def __str__(self) -> str:
        return "_".join(f"{partition}:{position}" for partition, position in self.positions.items())

    def __repr__(self) -> str:
        return f"Bookmark({str(self)!r})"
