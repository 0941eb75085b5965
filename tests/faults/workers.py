"""A Connect worker of a test's own, beside the session's, on the same broker: it may be killed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from compose.stack import Stack
from tests.stack.plugin import own_settings


class ConnectWorker:
    """One Kafka Connect in a group of its own."""

    def __init__(self, stack: Stack, url: str) -> None:
        self._stack = stack
        self.url = url

    async def kill(self) -> None:
        """End it as `kill -9` does."""
        process = self._stack.server("connect").child.process()
        assert process is not None, "the worker does not run"
        process.kill()
        await asyncio.to_thread(process.wait)

    async def up(self) -> None:
        """Start it again under its address."""
        await asyncio.to_thread(self._stack.up, "connect")


@asynccontextmanager
async def running(directory: Path, bootstrap: str, group: str) -> AsyncIterator[ConnectWorker]:
    """Run a worker in *directory* as *group*, whose topics bear its name."""
    topics = {f"{kind}.storage.topic": f"{group}-{kind}" for kind in ("config", "offset", "status")}
    quick = {"session.timeout.ms": "6000", "heartbeat.interval.ms": "1000", "offset.flush.interval.ms": "500"}
    options = {"group.id": group, **topics, **quick}
    settings = own_settings(
        directory, kafka_bootstrap=bootstrap, connect_options=options, connect_heap_mb=256, memory_needed_mb=0
    )
    stack = Stack(settings, print)
    try:
        addresses = await asyncio.to_thread(stack.up, "connect")
        yield ConnectWorker(stack, addresses.connect_url)
    finally:
        await asyncio.to_thread(stack.down, wipe=True)
