"""Where a connector stands, and setting that by hand: only while it is stopped, and only to where its slot can still go.

Connect takes any offset at all, `{"lsn": "abc"}` too, and the connector fails or skips changes when it starts. So a position is
read, held against the slot's window, and what it would skip or repeat is said before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cdc.check import Facts
from cdc.connect.client import ConnectClient
from cdc.connect.config import Names
from cdc.connect.state import ConnectorState, find_offset
from eventstore.errors import PreconditionFailed, RefoldError, UsageError

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")


@dataclass(frozen=True, slots=True)
class Window:
    """Positions in the log: where the connector *stands* (None = nowhere), and what its slot still has: *first* to *last*."""

    stands: int | None
    first: int | None
    last: int | None

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`, as PostgreSQL writes positions."""
        return {name: None if value is None else write_position(value) for name, value in asdict(self).items()}


def read_position(text: str) -> int:
    """Read a position as PostgreSQL writes it (`16/B374D848`) or as a number. Raises UsageError."""
    found = _TEXT.match(text)
    if found:
        return int(found[1], 16) << 32 | int(found[2], 16)
    if text.isdigit() and int(text) < 1 << 64:
        return int(text)
    raise UsageError(f"{text!r} is no position in the log: write it as PostgreSQL does, such as 16/B374D848, or as a number")


def write_position(position: int) -> str:
    """Write a position as PostgreSQL does."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def find_window(offsets: Sequence[Mapping[str, Any]], names: Names, slot: Facts | None) -> Window:
    """Give the connector's window from Connect's offsets and the slot."""
    own = find_offset(offsets, names.prefix)
    stands = next((own[key] for key in ("lsn_commit", "lsn_proc", "lsn") if isinstance(own.get(key), int)), None)
    if slot is None:
        return Window(stands, None, None)
    return Window(stands, slot["confirmed_bytes"], slot["confirmed_bytes"] + slot["lag_bytes"])


def weigh_move(window: Window, position: int) -> str:
    """Say what moving to *position* skips or repeats. Raises PreconditionFailed when the slot can't go there."""
    if window.first is None or window.last is None:
        raise PreconditionFailed(
            "the connector has no slot, so no position can be kept: `cdc teardown` and `cdc apply` take a new snapshot"
        )
    if position < window.first:
        raise PreconditionFailed(
            f"the slot has let go of everything before {write_position(window.first)}: the connector would fail at "
            f"{write_position(position)}",
            first=write_position(window.first),
        )
    if position > window.last:
        raise PreconditionFailed(f"the log ends at {write_position(window.last)}, before {write_position(position)}")
    if window.stands is None or position == window.stands:
        return f"the connector goes on from {write_position(position)}"
    distance = abs(position - window.stands)
    if position > window.stands:
        skipped = f"changes between {write_position(window.stands)} and {write_position(position)} are lost"
        return f"{distance:,} bytes of the log are SKIPPED: {skipped}"
    return f"{distance:,} bytes of the log are repeated, from {write_position(position)}"


def require_stopped(state: ConnectorState | None, name: str) -> None:
    """Raise PreconditionFailed unless the connector is stopped and no task is left."""
    if state is None or state.state != "STOPPED" or state.tasks:
        raise PreconditionFailed(f"connector {name} is {state or 'without status'}: offsets can be changed only after `cdc stop`")


async def set_offset(connect: ConnectClient, names: Names, position: int) -> None:
    """Write *position* and read it back. Raises RefoldError when Connect gives something else back."""
    offset = {"lsn": position, "lsn_proc": position, "lsn_commit": position, "messageType": "INSERT", "txId": 0, "ts_usec": 0}
    await connect.write_offsets(names.connector, [{"partition": {"server": names.prefix}, "offset": offset}])
    there = find_window(await connect.read_offsets(names.connector), names, None).stands
    if there != position:
        raise RefoldError(f"Connect gives {there} back where {position} was written for {names.connector}")
