"""From append to visible, also beside a rebuild: what `benchmarks/visible.py` measures, in small and without a clock."""

import asyncio

import replay.cli
from benchmarks import transfers
from benchmarks.probes import follow
from eventstore.postgres import PostgresEventStore
from eventstore.relay import Relay
from projections.serving import ReadModels


async def test_beside_rebuild(runs, log, engine, kafka):
    """While a read model is rebuilt, what is recorded becomes visible in the live one as ever: every write is seen by its token."""
    models = ReadModels(engine, transfers.app, kafka=kafka)
    stopping, rebuilt = asyncio.Event(), asyncio.Event()
    async with PostgresEventStore.open(engine=engine) as store, runs.worker(transfers.app):
        relaying = asyncio.create_task(Relay(engine, kafka).run(stopping))
        try:
            await transfers.serve(store, models)
            following = asyncio.create_task(follow(store, models, rebuilt))
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
            rebuilt.set()
            probes = await following
        finally:
            stopping.set()
            await relaying
    assert (done.code, done.facts["state"]) == (0, "live"), done.err
    assert len(probes.visible) == len(probes.log) == len(probes.record) > 2
    assert all(there <= seen for there, seen in zip(sorted(probes.record), sorted(probes.visible), strict=True))
    [counted] = await runs.query("SELECT sum(moves) AS moves FROM transfers.tally")
    assert counted["moves"] == transfers.ACCOUNTS + len(probes.visible)
