"""A web process that reads two tables a request until it is told to stop, as a process of its own: HISTORY NAME, then SIGTERM.

It prints one line at the end: how many requests, their errors, and the median and 99th percentile of their times.
"""

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from eventstore.postgres.engine import open_engine
from eventstore.settings import PostgresSettings
from projections.serving import ReadModels
from tests.bank.release1 import app, bank
from tests.faults.operations import Recorder

LEFT, RIGHT = sa.select(bank.balance.table.c.moves), sa.select(bank.kinds.table.c.moves)


async def read_on(history: Path, name: str, stop: asyncio.Event) -> dict[str, object]:
    """Read until *stop*, and give the facts."""
    engine, recorder = open_engine(PostgresSettings(), application="reader"), Recorder(history, name)
    models, times, errors = ReadModels(engine, app), [], []
    while not stop.is_set():
        started = time.perf_counter()
        try:
            async with models.session() as session:
                left = set((await session.scalars(LEFT)).all())
                right = set((await session.scalars(RIGHT)).all())
            recorder.note("ok", "read", projection="bank", pversions=tuple(sorted(left | right)))
        except Exception as error:
            errors.append(repr(error))
        times.append(time.perf_counter() - started)
    await engine.dispose()
    times.sort()
    quantiles = {each: round(times[int(len(times) * share)] * 1000, 2) for each, share in (("p50_ms", 0.5), ("p99_ms", 0.99))}
    return {"requests": len(times), "errors": errors[:3], **quantiles}


def main(argv: Sequence[str]) -> int:
    """Read, and print the facts."""

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        print(json.dumps(await read_on(Path(argv[0]), argv[1], stop)), flush=True)

    asyncio.run(run())
    return 0
