"""Money that moves between accounts: a read model whose tables must agree, the load upon it, and readers who check that they do.

    python -m benchmarks.transfers [--rate 200]     writes until it is ended

Every event takes from one account what it gives to another, so that the sum is zero in every state; the second table counts the moves by
stream, so that it must show half the moves of the first. Each row bears the mark of its generation, set by hand once, and kept
by every handler: a row of another generation is recognised wherever it turns up.
"""

import argparse
import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from eventstore import event
from eventstore.postgres.engine import open_engine
from eventstore.postgres.store import PostgresEventStore
from projections import Projection, Projections
from projections.serving import ReadModels

ROOT = Path(__file__).resolve().parent.parent
ACCOUNTS, STREAMS = 200, 50


@event("bench-transferred", version=1)
class Transferred:
    source: str
    target: str
    cents: int
    number: int = 0


@dataclass(slots=True)
class Account:
    id: str
    cents: int = 0
    moves: int = 0
    mark: int = 0


@dataclass(slots=True)
class Tally:
    stream: str
    moves: int = 0
    last: int = 0
    mark: int = 0


transfers = Projection("transfers")
accounts = transfers.table(Account, key="id")
tallies = transfers.table(Tally, key="stream")


@accounts.on(Transferred, key=lambda moved: moved.source)
def take(moved: Transferred, row: Account | None) -> Account:
    row = row or Account(moved.source)
    row.cents -= moved.cents
    row.moves += 1
    return row


@accounts.on(Transferred, key=lambda moved: moved.target)
def give(moved: Transferred, row: Account | None) -> Account:
    row = row or Account(moved.target)
    row.cents += moved.cents
    row.moves += 1
    return row


@tallies.on(Transferred)
def count(moved: Transferred, row: Tally | None, envelope: Any) -> Tally:
    row = row or Tally(envelope.stream)
    row.moves += 1
    row.last = max(row.last, moved.number)
    return row


app = Projections(transfers)
SUMS = sa.select(
    sa.func.sum(accounts.table.c.cents),
    sa.func.sum(accounts.table.c.moves),
    sa.func.min(accounts.table.c.mark),
    sa.func.max(accounts.table.c.mark),
)
COUNTS = sa.select(sa.func.sum(tallies.table.c.moves), sa.func.min(tallies.table.c.mark), sa.func.max(tallies.table.c.mark))


def make_first() -> Iterator[tuple[str, Transferred]]:
    """Make events that touch every account and every stream."""
    for number in range(ACCOUNTS):
        yield f"moves-{number % STREAMS}", Transferred(f"a{number}", f"a{(number + 1) % ACCOUNTS}", 1)


def make_any(number: int, chance: random.Random) -> tuple[str, Transferred]:
    """Make one event that moves money between any two accounts."""
    source, target = chance.sample(range(ACCOUNTS), 2)
    return f"moves-{number % STREAMS}", Transferred(f"a{source}", f"a{target}", chance.randrange(1, 1000), number)


async def write(store: PostgresEventStore, rate: float, stopping: asyncio.Event) -> int:
    """Append *rate* events a second, one at a time, until *stopping*; give how many."""
    chance, began, number = random.Random(7), time.perf_counter(), 0
    appends = set[asyncio.Task[object]]()
    while not stopping.is_set():
        number += 1
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))
        stream, made = make_any(number, chance)
        task = asyncio.create_task(store.append(stream, [made]))
        appends.add(task)
        task.add_done_callback(appends.discard)
    await asyncio.gather(*appends)
    return number


@dataclass
class Seen:
    """What readers saw: milliseconds of each read, what did not agree, what failed, and the generations."""

    times: list[float] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    generations: set[int] = field(default_factory=set)


async def read(models: ReadModels, seen: Seen, stopping: asyncio.Event, every_s: float = 0.05) -> None:
    """Read both tables in a session now and then, and check that they agree and that time goes forward."""
    before = 0
    while not stopping.is_set():
        await asyncio.sleep(every_s)
        began = time.perf_counter()
        try:
            async with models.session() as session:
                number = session.info["generations"]["transfers"].number
                cents, moves, *marks = (await session.execute(SUMS)).one()
                tallied, *others = (await session.execute(COUNTS)).one()
        except Exception as error:
            seen.errors.append(f"{type(error).__name__}: {error}")
            continue
        seen.times.append(1000 * (time.perf_counter() - began))
        seen.generations.add(number)
        if cents != 0 or moves != 2 * tallied or {*marks, *others} != {number}:
            seen.half.append(f"g{number}: cents {cents}, moves {moves} and {tallied}, marks {marks} {others}")
        if tallied < before:
            seen.back.append(f"g{number}: {tallied} after {before}")
        before = tallied


def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    """Start `eventstore`, `projections` or a module of the benchmarks as a process of its own; it says nothing."""
    runs = ["-m", program] if "." in program else ["-c", f"import sys; from {program}.cli import main; sys.exit(main())"]
    with Path(os.devnull).open("wb") as nothing:
        return subprocess.Popen(
            [sys.executable, *runs, *arguments], cwd=ROOT, env={**os.environ, **environment}, stdout=nothing, stderr=nothing
        )


@contextlib.asynccontextmanager
async def running(*children: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """End *children* whatever happens. Raises RuntimeError when one of them has ended by itself."""
    try:
        yield
        if ended := [each.args for each in children if each.poll() is not None]:
            raise RuntimeError(f"ended too early: {ended}")
    finally:
        for each in children:
            each.terminate()
        for each in children:
            await asyncio.to_thread(each.wait)


def percentiles(times: list[float]) -> Mapping[str, float]:
    """Give the median, the 99th percentile and the largest of *times*."""
    ordered = sorted(times)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}


async def serve(store: PostgresEventStore, models: ReadModels) -> None:
    """Make the first generation live, with a row for every account and every stream; relay and worker must be running."""
    tokens = await asyncio.gather(*(store.append(stream, [made]) for stream, made in make_first()))
    await models.reach(await models.bookmark(*tokens), timeout_s=60)


async def main() -> None:
    """Write until ended."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0)
    engine = open_engine()
    async with PostgresEventStore.open(engine=engine) as store:
        await write(store, parser.parse_args().rate, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
