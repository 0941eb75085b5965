"""Swaps beside writers, relay, workers and readers: what `benchmarks/swap.py` does a thousand times, in small."""

import asyncio
from contextlib import asynccontextmanager
from functools import partial

import pytest

import replay.cli
from benchmarks import transfers
from benchmarks.turns import mark_rows, reading, swap_times
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.relay import Relay
from projections.control.catalogue import list_generations
from projections.control.checkpoint import read_vector
from projections.control.generation import State
from projections.serving import ReadModels
from replay.cutover import swap, wait_for_workers
from tests.stack.waiting import eventually


@asynccontextmanager
async def served(runs, engine, kafka):
    """Give what reads two generations, and what feeds them while events come in; each row is marked with its generation."""
    models = ReadModels(engine, transfers.app, kafka=kafka)
    stopping = asyncio.Event()
    async with PostgresEventStore.open(engine=engine) as store, runs.worker(transfers.app) as supervisor:
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
            yield models, supervisor
        finally:
            stopping.set()
            await asyncio.gather(*tasks)


async def test_swaps(runs, log, engine, kafka):
    """While events come in and two generations take turns, no reader sees rows of both, a sum that is not right, or time go back."""
    async with served(runs, engine, kafka) as (models, _), reading(models, 3) as seen:
        await swap_times(engine, 30)
        for _ in range(2):  # each of both was read, however few reads came between
            await eventually(partial(have_looked, seen, len(seen.times) + 6), "readers", 60)
            await swap_times(engine, 1)
    assert (seen.half, seen.back, seen.errors) == ([], [], [])
    assert seen.generations == {1, 2}
    assert len(seen.times) > 10


@pytest.mark.parametrize("waits", [True, False])
async def test_swap_to_laggard(runs, log, engine, kafka, waits):
    """A swap to a generation that is behind shows no reader an older state, for it waits for the vector; without that, readers see it."""
    async with served(runs, engine, kafka) as (models, supervisor), reading(models, 3) as seen:
        for _ in range(3):
            await swap_to_laggard(engine, supervisor, seen, waits=waits)
    assert (seen.half, seen.errors) == ([], [])
    assert bool(seen.back) is not waits


async def swap_to_laggard(engine, supervisor, seen, *, waits):
    """Let the retired generation fall behind, and swap to it; it is fed again once readers have looked at what the swap shows."""
    async with checkout(engine) as look:
        known = {each.state: each for each in await list_generations(look, "transfers")}
        live, target = known[State.LIVE], known[State.RETIRED]

        async def is_behind():
            ahead, behind = [sum((await read_vector(look, each.id)).values()) for each in (live, target)]
            return ahead > behind + 5

        async def waits_or_is_done():
            return swapping.done() or (waits and await (await look.execute(FREE)).fetchone() is None)

        async with held_up(next(each for each in supervisor.workers if each.generation.id == target.id)):
            await eventually(is_behind, "the live generation is ahead", 60)
            reach = wait_for_workers(engine, target) if waits else _reach_nothing
            limits = {"grace_s": 900, "limit_s": 60, "detail": {}}
            swapping = asyncio.create_task(swap(engine, target, reach, action="swap", **limits))
            await eventually(waits_or_is_done, "the swap waits, or is done", 60)
            if swapping.done():
                await eventually(partial(have_looked, seen, len(seen.times) + 6), "what the swap leads to is read", 60)
        await swapping


async def have_looked(seen, times):
    """Say whether so many reads are done."""
    return len(seen.times) > times


@asynccontextmanager
async def held_up(worker):
    """Let *worker* apply nothing meanwhile; no transaction is open, since that would hold back whoever reads the store."""
    pipeline, gate = worker._pipeline, asyncio.Event()
    apply = pipeline.apply

    async def wait(*given):
        await gate.wait()
        await apply(*given)

    pipeline.apply = wait
    try:
        yield
    finally:
        pipeline.apply = apply
        gate.set()


FREE = "SELECT 1 FROM projections.pointer WHERE projection = 'transfers' FOR UPDATE SKIP LOCKED"


async def _reach_nothing(_):
    return None
