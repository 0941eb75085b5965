"""Swaps beside writers, relay, workers and readers: what `benchmarks/swap.py` does a thousand times, in small."""

import asyncio

import replay.cli
from benchmarks import transfers
from benchmarks.turns import mark_rows, reading, swap_times
from eventstore.postgres import PostgresEventStore
from eventstore.relay import Relay
from projections.serving import ReadModels


async def test_swaps(runs, log, engine, kafka):
    """While events come in and two generations take turns, no reader sees rows of both, a sum that is not right, or time go back."""
    models = ReadModels(engine, transfers.app, kafka=kafka)
    stopping = asyncio.Event()
    async with PostgresEventStore.open(engine=engine) as store, runs.worker(transfers.app):
        tasks = [asyncio.create_task(Relay(engine, kafka).run(stopping))]
        try:
            await transfers.serve(store, models)
            argv = (
                "--projection",
                "transfers",
                "--from-beginning",
                "--accept-differences",
                "--app",
                "benchmarks.transfers:app",
                "--json",
            )
            done = await runs.program(replay.cli.main, *argv)
            assert done.code == 0, done.err
            await mark_rows(engine)
            tasks.append(asyncio.create_task(transfers.write(store, 40, stopping)))
            async with reading(models, 3) as seen:
                await swap_times(engine, 30)
        finally:
            stopping.set()
            await asyncio.gather(*tasks)
    assert (seen.half, seen.back, seen.errors) == ([], [], [])
    assert seen.generations == {1, 2}
    assert len(seen.times) > 10
