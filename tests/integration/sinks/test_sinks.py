"""Sinks through the life of generations: fed, rebuilt, swapped, rolled back, repaired, looked at and dropped like tables."""

import pytest
from sqlalchemy import select

from eventstore.errors import PreconditionFailed
from projections.copies.contract import Address
from projections.copies.valkey import Keys, open_client
from projections.serving import ReadModels, Sinks
from projections.settings import SinkSettings
from tests.bank import release17
from tests.bank.oracle import expect
from tests.bank.places import expected, lay_out
from tests.bank.release17 import app
from tests.stack.proxy import Fault
from tests.stack.waiting import eventually


async def test_fed_like_tables(runs, log, ledger, places):
    """What workers write to tables is in every sink when the checkpoint says so, rows that handlers share among partitions too."""
    async with runs.worker(app):
        for _ in range(3):
            await log.write(ledger.some(60))
            await runs.current(60)
            assert await places.rows() == expected(ledger.events)
        live = await places.live()
        assert await eventually(lambda: places.pointed(live), "the pointers follow") == {1}
    cents = {each["account"]: each["cents"] for each in expect(ledger.events)["balance"].values()}
    seen = await places.read()
    assert seen == {"ranked": cents, "found": cents}
    assert list(seen["ranked"].values()) == list(seen["found"].values()) == sorted(cents.values(), reverse=True)


async def see_both(runs, balances):
    """Status and diff say of every copy of both generations that it is level with its table."""
    told = await runs.projections("status", "--json", "--interval", "0.1")
    sinks = {fact["generation"]: {each["sink"]: each for each in fact["sinks"]} for fact in told.facts}
    assert {each["state"] for found in sinks.values() for each in found.values()} == {"level"}
    assert sinks[2]["search:balance"]["rows"] == sinks[2]["search:balance"]["table_rows"] == balances
    diff = await runs.replay("diff", "--projection", "bank", "g1", "g2", release=18)
    assert diff.code == 0, diff.err
    assert {each["state"] for side in diff.facts["sinks"].values() for each in side} == {"level"}


async def test_rebuilt_swapped_and_back(runs, log, ledger, places):
    """A rebuild fills new copies and leaves the old ones to whoever reads them; swap, rollback and gc take sinks along with tables."""
    await log.write(ledger.some(150))
    await runs.serve(app)
    old = await places.live()
    dry = await runs.rebuild("--dry-run", release=18)
    assert "sink" not in " ".join(dry.facts["changes"]), "the same sinks"
    async with ReadModels(runs.engine, app).session() as session, Sinks(runs.engine) as sinks:
        before = {each.account: each.cents for each in (await session.execute(select(release17.bank.balance.table))).all()}
        done = await runs.rebuild(release=18)
        assert done.code == 0, done.err
        assert "valkey:balance" in done.err, done.err
        rows = await (await sinks.read(release17.balances, session)).many(list(before))
        assert {each.account: each.cents for each in rows if each} == before, "a session keeps its generation"
    new = await places.live()
    await see_both(runs, len(before))
    assert await places.rows(new) == expected(ledger.events, abs)
    assert await places.rows(old) == expected(ledger.events)
    assert await places.pointed(new) == {2}
    back = await runs.replay("rollback", "--projection", "bank", release=17)
    assert back.code == 0, back.err
    assert await places.pointed(old) == {1}
    await log.write(ledger.some(20))
    async with runs.worker(app):
        await runs.current(60)
    assert await places.rows(old) == expected(ledger.events)
    gone = await runs.replay("gc", "--force")
    assert gone.code == 0, gone.err
    async with Sinks(runs.engine) as sinks:
        assert await (await sinks.read(release17.balances)).count() == len(expect(ledger.events)["balance"])
    client, left = open_client(SinkSettings()), Keys(SinkSettings().valkey_prefix, Address.of(new, "*")).root
    assert [each async for each in client.scan_iter(match=f"{left}*", count=1000)] == []
    await client.aclose()
    assert [each.name for each in SinkSettings().search_dir.glob("bank/balance/g*")] == ["g1"]
    assert await runs.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'copy_bank_g2'") == []


async def test_lost_copy_is_filled_anew(runs, log, ledger, places):
    """A sink that lost its rows, or was put back to an older state, is filled from the tables, and its readers are told meanwhile."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    live = await places.live()
    keys, client = Keys(SinkSettings().valkey_prefix, Address.of(live, "balance")), open_client(SinkSettings())
    await client.unlink(keys.meta, keys.all)
    async with Sinks(runs.engine) as sinks:
        with pytest.raises(PreconditionFailed, match="not filled"):
            await (await sinks.read(release17.balances)).count()
    told = await runs.projections("status", "--json", "--interval", "0.1")
    assert {each["sink"]: each["state"] for each in told.facts[0]["sinks"]}["valkey:balance"] == "not filled yet"
    async with runs.worker(app):
        await log.write(ledger.some(10))
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)
        await client.hset(keys.meta, f"offset {log.settings.events_topic} 0", "0")
        await client.unlink(keys.row(ledger.events[0].stream))
        await log.write([ledger.move(each.stream) for each in ledger.events[:40]])
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)
    await client.aclose()


async def test_waits_for_sink(runs, log, ledger, places, proxy, valkey_url, monkeypatch):
    """Where it is set so, nothing is applied while a sink is away, and nothing is in the tables alone; when it is back, all goes on."""
    monkeypatch.setenv("REFOLD_SINKS_AWAY", "wait")
    host, _, port = valkey_url.removeprefix("valkey://").partition(":")
    between = await proxy(host, int(port.partition("/")[0]))
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_URL", f"valkey://{between.address}")
    await log.write(ledger.some(40))
    async with runs.worker(app) as supervisor:
        await runs.current(60)
        before = await runs.rows()
        between.break_by(Fault.REFUSE)
        between.reset()
        await log.write(ledger.some(40))

        async def waits():
            return any("Valkey" in (each.pulse.error or "") for each in supervisor.workers)

        await eventually(waits, "the worker says what it waits for", 60)
        assert await runs.rows() == before
        between.heal()
        await runs.current(60)
        assert await places.rows() == expected(ledger.events)


async def test_repaired_like_tables(runs, log, ledger, places):
    """A repair of rows mends their copies."""
    await log.write(ledger.some(60))
    await runs.serve(app)
    live, wrong = await places.live(), next(iter(expect(ledger.events)["balance"]))
    await runs.query(f"UPDATE {live.schema_name}.balance SET cents = 123456 WHERE account = %s", wrong)
    client = open_client(SinkSettings())
    await client.hset(Keys(SinkSettings().valkey_prefix, Address.of(live, "balance")).row(wrong), "cents", "123456")
    await client.aclose()
    done = await runs.replay("repair", "--projection", "bank", f"account={wrong}", "--table", "balance", release=17)
    assert done.code == 0, done.err
    assert await places.rows() == lay_out(await runs.rows()) == expected(ledger.events)
