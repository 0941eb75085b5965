"""Where a bounded replay stops: the offsets that an operator gives, or those at which a time begins in each partition.

A time means, partition by partition, every record before the first one that the log dates at that time or later. Records carry the time at
which their event was recorded, or their change was captured; two that were recorded within the same millisecond are not told apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventstore.errors import UsageError
from eventstore.log.bounds import find_offsets
from eventstore.settings import KafkaSettings
from projections.control.checkpoint import Partition, Vector
from projections.control.generation import UNFINISHED, Generation

_OFFSET = re.compile(r"^(?:(?P<topic>[\w.-]+):)?(?P<partition>\d+)=(?P<offset>\d+)$")


@dataclass(frozen=True, slots=True)
class Bound:
    """What was *asked*, the *time* that it means (ISO, UTC; None for offsets), and the first offset of each partition that is left out."""

    asked: str
    time: str | None
    vector: Vector

    def facts(self) -> dict[str, Any]:
        """Give what a generation notes of it."""
        offsets = [[topic, number, offset] for (topic, number), offset in sorted(self.vector.items())]
        return {"asked": self.asked, "time": self.time, "offsets": offsets}

    @classmethod
    def recall(cls, generation: Generation) -> Bound:
        """Read what a bounded generation noted."""
        noted = generation.detail["until"]
        return cls(noted["asked"], noted["time"], {(topic, number): offset for topic, number, offset in noted["offsets"]})


def is_bounded(generation: Generation) -> bool:
    """Say whether *generation* was made by `--until`, so that it is neither fed nor swapped in. Pure."""
    return "until" in generation.detail


def find_unfinished(known: Sequence[Generation], fingerprint: str, bound: Bound) -> Generation | None:
    """Give the bounded build of this code and bound that was killed on its way. Pure."""
    return next(
        (
            each
            for each in known
            if each.state in UNFINISHED
            and is_bounded(each)
            and not each.detail.get("verified")
            and each.fingerprint == fingerprint
            and each.detail["until"]["asked"] == bound.asked
        ),
        None,
    )


async def find_bound(kafka: KafkaSettings, asked: str, ends: Mapping[Partition, int]) -> Bound:
    """Find the offsets that *asked* means in the partitions of *ends*. Raises UsageError for what is neither a time nor offsets."""
    if "=" in asked:
        return Bound(asked, None, parse_offsets(asked, ends))
    at = parse_time(asked).astimezone(UTC)
    found = await find_offsets(kafka, {each: int(at.timestamp() * 1000) for each in ends})
    return Bound(asked, at.isoformat(), {each: min(end, found.get(each, end)) for each, end in ends.items()})


def parse_offsets(asked: str, ends: Mapping[Partition, int]) -> Vector:
    """Read `topic:0=12,topic:1=40`; the topic may be left out where there is one. Partitions that are not named end at 0. Pure."""
    topics = {topic for topic, _ in ends}
    vector = dict.fromkeys(ends, 0)
    for part in asked.split(","):
        match = _OFFSET.match(part.strip())
        if match is None or (match["topic"] is None and len(topics) > 1):
            raise UsageError(
                f"{part!r}: write offsets as PARTITION=OFFSET, or TOPIC:PARTITION=OFFSET where there are several topics"
            )
        place = (match["topic"] or next(iter(topics)), int(match["partition"]))
        if place not in ends or int(match["offset"]) > ends[place]:
            there = ", ".join(f"{topic}:{number} up to {end}" for (topic, number), end in sorted(ends.items()))
            raise UsageError(f"{part!r} is not in the log, which has {there}")
        vector[place] = int(match["offset"])
    return vector


def parse_time(text: str) -> datetime:
    """Read an ISO time; without a zone it is UTC. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time: write 2026-01-31T12:00:00Z or 2026-01-31") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
