"""The played clock."""

import asyncio
from datetime import UTC, datetime, timedelta

from examples.flights.live import Clock

START = datetime(2013, 12, 31, 5, tzinfo=UTC)


async def test_reaches_in_order():
    """Instants are reached in their order, none before its time, however fast the clock runs."""
    clock, reached = Clock(START, 1e6), []
    for hours in range(5):
        instant = START + timedelta(hours=hours)
        async with clock.reached(instant):
            reached.append(clock.now >= instant)
    assert reached == [True] * 5


async def test_past_instants_come_at_once():
    """An instant that lies behind is reached without waiting."""
    clock = Clock(START, 1.0)
    async with asyncio.timeout(60), clock.reached(START - timedelta(days=1)):
        assert clock.now >= START


async def test_held_clock_stands():
    """While the clock is held nothing is reached; afterwards it goes on from where it stood."""
    clock, time = Clock(START, 1e6), asyncio.get_running_loop().time
    waiting = asyncio.create_task(_reach(clock, START + timedelta(seconds=1)))
    async with clock.held():
        before = clock.now
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        released = time()
    now = clock.now
    assert now - before <= timedelta(seconds=(time() - released) * 1e6)
    assert await waiting


async def _reach(clock, instant):
    async with clock.reached(instant):
        return True
