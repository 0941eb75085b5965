"""Where a client stands, as the id of an event: the next offset of every partition. Pure.

The text is `TABLE/PARTITION=OFFSET`, comma-separated and sorted, with what such a list can't hold percent-encoded. A client gives it
back as `Last-Event-ID`, so it is read as anything that comes from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, unquote

from eventstore.errors import UsageError

Vector = Mapping[tuple[str, int], int]
_LONGEST = 64_000


def write_vector(vector: Vector, names: Mapping[str, str]) -> str:
    """Write *vector*; *names* gives what a topic is called to clients (its table)."""
    return ",".join(
        f"{quote(names[topic], safe='.')}/{partition}={offset}" for (topic, partition), offset in sorted(vector.items())
    )


def read_vector(text: str, topics: Mapping[str, str]) -> dict[tuple[str, int], int]:
    """Read what `write_vector` wrote; *topics* gives the topic of each table. Raises UsageError for anything else."""
    if len(text) > _LONGEST:
        raise UsageError(f"Last-Event-ID has {len(text)} characters")
    found: dict[tuple[str, int], int] = {}
    for part in text.split(","):
        place, _, offset = part.rpartition("=")
        table, _, partition = place.rpartition("/")
        topic = topics.get(unquote(table))
        if topic is None or not _is_number(partition) or not _is_number(offset):
            raise UsageError(f"Last-Event-ID {part[:80]!r} is none of this feed's: leave it out to begin now")
        found[topic, int(partition)] = int(offset)
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
