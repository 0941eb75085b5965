"""A file of the archive by its name, which says all: `TOPIC/partition=P/FIRST-LAST.parquet`. Pure.

FIRST and LAST are offsets, both inclusive: the file holds every record of the partition between them, and what is missing there
(transaction markers, aborted records) was never a record. There is no manifest that could disagree: a partition's archive is the
chain of files in which each begins where the one before it ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from eventstore.errors import VerificationFailed

_NAME = re.compile(r"(?P<topic>[^/]+)/partition=(?P<partition>\d+)/(?P<first>\d{20})-(?P<last>\d{20})\.parquet")
Chains = dict[int, list["Piece"]]


class Piece(NamedTuple):
    """The records of one partition from offset *first* to *last*, both inclusive."""

    topic: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.topic}/partition={self.partition}/{self.first:020}-{self.last:020}.parquet"

    @property
    def end(self) -> int:
        """The offset after the last."""
        return self.last + 1

    @classmethod
    def parse(cls, name: str) -> Piece | None:
        """Read what `str` wrote; None for any other name, such as that of a file which is still being written."""
        found = _NAME.fullmatch(name)
        return cls(found["topic"], *(int(found[each]) for each in ("partition", "first", "last"))) if found else None


def link(names: Iterable[str]) -> Chains:
    """Sort the pieces among *names* by partition and offset."""
    chains: Chains = {}
    for piece in sorted(found for each in names if (found := Piece.parse(each))):
        chains.setdefault(piece.partition, []).append(piece)
    return chains


def find_breaks(pieces: Sequence[Piece]) -> list[str]:
    """Say where one partition's *pieces*, in order, leave a gap, overlap, or hold nothing; empty when they are a chain."""
    faults = [f"{each} ends before it begins" for each in pieces if each.last < each.first]
    for before, after in pairwise(pieces):
        if after.first > before.end:
            faults.append(f"offsets {before.end}-{after.first - 1} of {after.topic}[{after.partition}] are in no file")
        elif after.first < before.end:
            faults.append(f"{before} and {after} overlap")
    return faults


def require_chain(pieces: Sequence[Piece]) -> None:
    """Raise VerificationFailed unless one partition's *pieces* are a chain."""
    if faults := find_breaks(pieces):
        raise VerificationFailed(
            f"the archive is broken: {'; '.join(faults)}. Look at the files with `eventstore archive verify`; put the missing one "
            "back, or remove all that come after the gap and run `eventstore archive run` again while Kafka still has the records.",
            faults=faults,
        )
