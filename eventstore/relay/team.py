"""One relay among others: it takes free shards up to its share, gives back what is above it, and steps in when an owner is gone.

A task of its own looks at the locks several times a second, which keeps the session alive too while a page is being published.
Taking is done there; giving back waits until the relay has finished its transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from eventstore.postgres.shards import Owner, Seats
from eventstore.relay.share import find_share


class Team:
    """The part of this process in the relaying of a topic. Use as a context manager: the locks are watched inside."""

    def __init__(self, seats: Seats, shards: int, watch_s: float) -> None:
        self._seats = seats
        self._shards = shards
        self._watch_s = watch_s
        self._sharing = False
        self._share = 0
        self._owners: list[Owner] = []
        self._news = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self.held: set[int] = set()

    async def __aenter__(self) -> Self:
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._watching is not None
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    async def join(self) -> None:
        """Take part in the sharing from now on."""
        await self._seats.join()
        self._sharing = True
        await self._look()

    async def claim(self, shard: int) -> bool:
        """Take *shard* whatever this relay's share is; False = another one has it."""
        if shard not in self.held and await self._seats.take(shard):
            self.held.add(shard)
        return shard in self.held

    @property
    def excess(self) -> set[int]:
        """What is held above this relay's share, to be given back with `free` when nothing of it is in the making."""
        return set(sorted(self.held)[self._share :]) if self._sharing else set()

    def is_settled(self, held: set[int]) -> bool:
        """Tell whether *held* is still what this relay should hold. Raises Unreachable when the locks are lost."""
        if self._watching is not None and self._watching.done():
            self._watching.result()
        return self.held == held and not self.excess

    async def free(self, shards: Iterable[int]) -> None:
        """Give *shards* back."""
        for shard in shards:
            self.held.discard(shard)
            await self._seats.free(shard)

    async def wait(self) -> None:
        """Wait until the locks were looked at again."""
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), self._watch_s)

    def describe_owner(self, shard: int) -> str:
        """Say who has *shard*, as far as is known."""
        owner = next((each for each in self._owners if shard in each.shards), None)
        return f"{owner.application} from {owner.host} (backend {owner.pid})" if owner else "another process"

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_s)
            await self._look()

    async def _look(self) -> None:
        self._owners = await self._seats.owners()
        if self._sharing:
            self._share = find_share(self._owners, self._shards)
            taken = {shard for each in self._owners for shard in each.shards}
            for shard in sorted(set(range(self._shards)) - taken):
                if len(self.held) < self._share and await self._seats.take(shard):
                    self.held.add(shard)
        self._news.set()
