"""The whole way of an event: appended to the store, relayed to the log, folded by a worker, read by whoever wrote it."""

import asyncio

import sqlalchemy as sa

from eventstore.postgres import PostgresEventStore
from eventstore.relay.relay import Relay
from projections.serving import ReadModels
from tests.bank.events import AccountClosed, MoneyMoved
from tests.bank.release1 import app, bank


async def test_reads_what_it_appended(runs, engine, log):
    """Every writer reads its own writes through its token, across a swap, while others write to the same rows."""
    models = ReadModels(engine, app, kafka=runs.kafka)
    stopping = asyncio.Event()
    columns = bank.balance.table.c

    async def write(store, account):
        for count in range(1, 11):
            token = await store.append(account, [MoneyMoved(account, 5, "deposit")])
            await models.wait_for(token, bank.projection, timeout_s=60)
            async with models.session() as session:
                assert await session.scalar(sa.select(columns.moves).where(columns.account == account)) == count

    async with PostgresEventStore.open(engine=engine) as store:
        relaying = asyncio.create_task(Relay(engine, runs.kafka).run(stopping))
        async with runs.worker(app):
            await store.append("closed", [MoneyMoved("closed", 1, "fee"), AccountClosed("closed")])
            await runs.current()
            writers = [asyncio.create_task(write(store, f"account-{each}")) for each in range(6)]
            swapped = await runs.rebuild()
            await asyncio.gather(*writers)
            assert swapped.code == 0, swapped.err
            rows = await runs.rows()
        stopping.set()
        await relaying
    assert rows["balance"] == {f"account-{each}": {"account": f"account-{each}", "cents": 50, "moves": 10} for each in range(6)}
    assert rows["kind_total"]["deposit"] == {"kind": "deposit", "moves": 60, "total": 300, "smallest": 5, "largest": 5}
    assert rows["trail"]["closed"]["versions"] == [1, 2]
