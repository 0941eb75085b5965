"""How fast this store is on this machine: the loops that `eventstore bench` and the benchmarks against the peers both run.

Every loop works on an open store and writes streams of its own; give it a scratch database (`eventstore.postgres.scratch`),
because events stay for ever. Rates are events a second, times seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from eventstore.envelope import Envelope
from eventstore.event import Events


class Store(Protocol):
    """What is measured."""

    async def append(self, stream: str, events: Iterable[object]) -> Any:
        """Record events."""
        ...

    async def import_events(self, events: Iterable[tuple[str, object]]) -> Any:
        """Record many events."""
        ...

    def read_stream(self, stream: str) -> AsyncIterator[Envelope[Any]]:
        """Read one stream."""
        ...

    def read_all(self) -> AsyncIterator[Envelope[Any]]:
        """Read all events."""
        ...


class Measured(NamedTuple):
    """Events a second, and the median and the 99th percentile of one call in seconds."""

    rate: float
    median_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """What is recorded: five fields, about 110 bytes of JSON."""

    order: int
    customer: str
    cents: int
    currency: str
    items: list[dict[str, Any]]


events = Events()
"""The registry that knows OrderPlaced; a store to be measured must have it."""
events.add("bench-order-placed", 1, OrderPlaced)


def make_event(number: int) -> OrderPlaced:
    """Make one event, always the same for a number."""
    items = [{"sku": f"sku-{number % 31}", "count": 1}]
    return OrderPlaced(number, f"customer-{number % 997}", number * 7 % 100_000, "EUR", items)


async def measure_appends(store: Store, *, tasks: int, batch: int = 1, seconds: float = 2.0) -> Measured:
    """Let *tasks* tasks append *batch* events at a time for *seconds*, each call to a stream of its own that has ten calls."""
    numbers = itertools.count(time.time_ns())
    ended = time.perf_counter() + seconds
    times: list[float] = []

    async def append(task: int) -> None:
        for call in itertools.count():
            began = time.perf_counter()
            if began >= ended:
                return
            made = [make_event(next(numbers) % 1_000_000) for _ in range(batch)]
            await store.append(f"bench-{tasks}-{batch}-{task}-{call // 10}", made)
            times.append(time.perf_counter() - began)

    elapsed = await _time(lambda: asyncio.gather(*map(append, range(tasks))))
    return _measured(times, len(times) * batch, elapsed)


async def measure_import(store: Store, count: int) -> Measured:
    """Import *count* events into streams of a hundred."""
    pairs = ((f"bench-import-{number // 100}", make_event(number)) for number in range(count))
    elapsed = await _time(lambda: store.import_events(pairs))
    return Measured(count / elapsed, elapsed, elapsed)


async def measure_stream(store: Store, *, length: int = 1_000, rounds: int = 50) -> Measured:
    """Write one stream of *length* events, then read it *rounds* times."""
    stream = f"bench-stream-{time.time_ns()}"
    for start in range(0, length, 500):
        await store.append(stream, [make_event(number) for number in range(start, min(start + 500, length))])
    times = [await _time(lambda: _drain(store.read_stream(stream))) for _ in range(rounds)]
    return _measured(times, length * rounds, sum(times))


async def measure_order(store: Store) -> Measured:
    """Read all events in order once."""
    began = time.perf_counter()
    count = await _drain(store.read_all())
    elapsed = time.perf_counter() - began
    return Measured(count / elapsed, elapsed, elapsed)


async def _drain(events: AsyncIterator[Envelope[Any]]) -> int:
    count = 0
    async for _ in events:
        count += 1
    return count


async def _time(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _measured(times: list[float], events: int, elapsed: float) -> Measured:
    ordered = sorted(times) or [elapsed]
    return Measured(events / elapsed, statistics.median(ordered), ordered[int(len(ordered) * 0.99)])
