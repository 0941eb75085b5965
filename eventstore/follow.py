"""All events as they come: read what is there, then ask again at a short interval that grows while nothing comes.

It polls for the same reason as the relay: a notification in the append transaction would make writers queue at commit. A reader
that stops and goes on from the position of its last event misses nothing and sees nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

from eventstore.envelope import Envelope
from eventstore.stream import Position

_GROWTH = 1.5


class Readable(Protocol):
    """What can be followed."""

    def read_all(self, after: Position) -> AsyncIterator[Envelope[Any]]:
        """Read all events after *after* in order, as far as they are there."""
        ...


async def follow(
    store: Readable, after: Position, *, poll_s: float = 0.01, idle_poll_s: float = 0.25
) -> AsyncGenerator[Envelope[Any]]:
    """Give every event after *after* in order, for ever; `await store.head()` as *after* begins with the next one.

    *poll_s* is the pause in seconds after events came; it grows to *idle_poll_s* while none do. Raises what `read_all` raises.
    """
    delay = poll_s
    while True:
        before = after
        async for envelope in store.read_all(after):
            after = envelope.position
            yield envelope
        delay = poll_s if after > before else min(delay * _GROWTH, idle_poll_s)
        await asyncio.sleep(delay)
