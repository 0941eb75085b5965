"""What a replay will cost: records and bytes to read, seconds at the rate of the last rebuild, and room on the disk.

Estimates say where they come from. Only one of them refuses: a build that the disk can't hold, where this process can see the disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.control.generation import Generation

RATE = 60_000
"""Records per second that the estimate assumes while no rebuild of this projection is known that was long enough to tell."""
TELLING = 10_000
"""Records that a rebuild must have read for its rate to be worth anything."""
MARGIN = 1.25
"""Room for what a build needs beside its rows: sorting for keys and indexes, and the write-ahead log of a checkpoint."""


@dataclass(frozen=True, slots=True)
class Cost:
    """*left* records are to be read; *topic_bytes* is the log's size, *rate* in records/s, *measured* when a rebuild showed it.

    *disk_bytes* is what the new generation will take, *free_bytes* what the server's disk has. None = can't be known from here.
    """

    left: int = 0
    topic_bytes: int | None = None
    rate: float = RATE
    measured: bool = False
    disk_bytes: int | None = None
    free_bytes: int | None = None

    @property
    def seconds(self) -> float:
        """A rough duration of the build."""
        return self.left / self.rate

    @property
    def needed_bytes(self) -> int | None:
        """Room that the build needs, its margin included."""
        return None if self.disk_bytes is None else int(self.disk_bytes * MARGIN)

    def lines(self) -> list[str]:
        """Say it in words."""
        known = "last rebuild" if self.measured else "assumed: no rebuild of 10,000 records or more is on record"
        size = "" if self.topic_bytes is None else f" ({show_bytes(self.topic_bytes)} in Kafka)"
        disk = "unknown, nothing is live to go by" if self.disk_bytes is None else f"about {show_bytes(self.disk_bytes)}"
        free = "" if self.free_bytes is None else f" of {show_bytes(self.free_bytes)} free"
        return [
            f"  cost     {self.left:,} records to read{size}, about {show_time(self.seconds)} at {self.rate:,.0f} records/s ({known})",
            f"  disk     {disk}{free}; readers stay where they are until the swap",
        ]

    def facts(self) -> dict[str, Any]:
        """Give it as plain values."""
        return {
            "left": self.left,
            "topic_bytes": self.topic_bytes,
            "rate": round(self.rate),
            "rate_measured": self.measured,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
        }


def find_rate(audit: Sequence[Mapping[str, Any]]) -> float | None:
    """Give the rate of the newest rebuild that was long enough to tell, from the audit (newest first). Pure."""
    rates = (
        each["detail"].get("rate") for each in audit if each["action"] == "swap" and each["detail"].get("records", 0) >= TELLING
    )
    return next((float(each) for each in rates if each), None)


def scale_size(live_bytes: int, live_records: int, records: int) -> int:
    """Estimate a generation of *records* from the live one, which took *live_bytes* for *live_records*: it never shrinks. Pure."""
    return round(live_bytes * max(1.0, records / live_records)) if live_records else live_bytes


async def measure_schema(connection: Connection, generation: Generation) -> int:
    """Give the bytes that a generation's tables take, indexes included."""
    row: Any = await (await connection.execute(load("replay", "schema_size"), {"schema": generation.schema_name})).fetchone()
    return int(row[0])


async def find_free(connection: Connection) -> int | None:
    """Give the free bytes where the server keeps its data; None when that is another machine, or hidden from this login."""
    row: Any = await (await connection.execute(load("replay", "data_directory"))).fetchone()
    directory = row[0] if row else None
    return _look(directory) if directory else None


def _look(directory: str) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None


def require_room(cost: Cost, reserve_bytes: int) -> None:
    """Raise PreconditionFailed when the disk can't hold the build and leave *reserve_bytes* free."""
    if cost.needed_bytes is None or cost.free_bytes is None:
        return
    if cost.needed_bytes + reserve_bytes > cost.free_bytes:
        raise PreconditionFailed(
            f"the build needs about {show_bytes(cost.needed_bytes)} and {show_bytes(reserve_bytes)} must stay free, but the server's "
            f"disk has {show_bytes(cost.free_bytes)}. Nothing was changed. Make room, for example with `replay gc`, or lower "
            "REFOLD_REPLAY_DISK_RESERVE_MIB.",
            needed_bytes=cost.needed_bytes,
            free_bytes=cost.free_bytes,
        )


def show_bytes(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}"
        count /= 1024
    return f"{count:,.1f} GiB"


def show_time(seconds: float) -> str:
    """Write a duration for people."""
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60:02d} s"
