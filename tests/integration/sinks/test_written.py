"""Copies of tables that SQL handlers write: what statements touched is in every sink when the checkpoint says so."""

import asyncio
import dataclasses

from eventstore.moments import CRASHED
from projections.copies import opened_copies
from tests.bank import release19
from tests.bank.release19 import app
from tests.bank.runs import ended
from tests.stack.proxy import Fault
from tests.stack.waiting import eventually


async def level(runs):
    """Give the live generation's rows by sink, having asserted that each copy holds what its table holds, and that no note is left."""
    live = await runs.live()
    found = {}
    async with opened_copies(release19.projection, live) as copies:
        for kept in copies._kept:
            table = kept.sink.table
            rows = [dataclasses.asdict(row) async for row in kept.copy.rows()]
            stored = await runs.query(f"SELECT * FROM {live.schema_name}.{table.name}")
            assert sorted(rows, key=str) == sorted(stored, key=str)
            found[str(kept.sink)] = {tuple(row[each] for each in table.key): row for row in rows}
    for each in await runs.query("SELECT relname FROM pg_class WHERE relname LIKE 'touched%%' AND relkind = 'r'"):
        assert await runs.query(f"SELECT * FROM {live.schema_name}.{each['relname']}") == []
    return found


async def test_fed_and_rebuilt(runs, log, ledger, places):
    """Rows that SQL made, changed and deleted are in every sink, live and rebuilt; what a refused statement did is in none."""
    moves = [ledger.move(f"account-{number % 7}", number) for number in range(60)]
    await log.write(
        [*moves, ledger.note("account-closed", "account-3"), ledger.move("spoilt", 1), ledger.move("spoilt", 5, "refused")]
    )
    async with runs.worker(app):
        await runs.current()
        first = await level(runs)
        await log.write(
            [*[ledger.move(f"account-{number % 9}", number) for number in range(40)], ledger.note("account-closed", "account-4")]
        )
        await runs.current()
        second = await level(runs)
    assert ("account-3",) not in first["valkey:balance"]
    assert second["valkey:balance"] == second["search:balance"]
    assert (("account-4",) in second["valkey:balance"], second["valkey:balance"]["spoilt",]["cents"]) == (False, 1)
    assert len(second["postgres:line"]) == 101
    done = await runs.rebuild("--accept-parked", release=19)
    assert done.code == 0, done.err
    assert await level(runs) == second
    await log.write([ledger.move("account-1", 1_000)])
    async with runs.worker(app):
        await runs.current()
    assert (await level(runs))["valkey:balance"]["account-1",]["cents"] == second["valkey:balance"]["account-1",]["cents"] + 1_000


async def test_killed(runs, log, ledger, places):
    """A worker that dies between the copies and its commit leaves them to be made level by the next."""
    await log.write([ledger.move(f"account-{number % 5}", number) for number in range(30)])
    await runs.serve(app)
    await log.write([ledger.move("account-1", 7), ledger.note("account-closed", "account-2")])
    worker = runs.child("projections", "run", release=19, REFOLD_FAIL_AT="batch.before_commit")
    async with ended(worker):
        said = (await asyncio.to_thread(worker.communicate))[0]
        assert worker.returncode == CRASHED, said
    await runs.evict()
    await runs.serve(app)
    assert ("account-2",) not in (await level(runs))["valkey:balance"]


async def test_untraced(runs, log, ledger, places):
    """A table whose changes nobody noted for a while has its copies filled anew."""
    await log.write([ledger.move("ada", 5)])
    await runs.serve(app)
    schema = (await runs.live()).schema_name
    [notes] = await runs.query("SELECT relname FROM pg_class WHERE relname = %s", _name("balance"))
    await runs.query(f"DROP TABLE {schema}.{notes['relname']}")
    for each in ("insert", "update", "delete"):
        await runs.query(f"DROP TRIGGER note_{each} ON {schema}.balance")
    await runs.query(f"UPDATE {schema}.balance SET cents = 9")
    async with runs.worker(app):
        await log.write([ledger.move("bob", 1)])
        await runs.current()
    assert (await level(runs))["search:balance"]["ada",]["cents"] == 9


async def test_away_from_the_start(runs, log, ledger, places, proxy, valkey_url, monkeypatch):
    """Rows that SQL wrote while a sink was away reach its copy when it is back, those that it deleted too."""
    host, _, port = valkey_url.removeprefix("valkey://").partition(":")
    between = await proxy(host, int(port.partition("/")[0]))
    monkeypatch.setenv("REFOLD_SINKS_VALKEY_URL", f"valkey://{between.address}")
    monkeypatch.setenv("REFOLD_SINKS_TIMEOUT_S", "2")
    between.break_by(Fault.REFUSE)
    await log.write([ledger.move(f"account-{number % 5}", number) for number in range(30)])

    async def is_level():
        told = await runs.projections("status", "--json", "--interval", "0.1")
        return {each["state"] for each in told.facts[0]["sinks"]} == {"level"}

    async with runs.worker(app):
        await runs.current(60)
        between.heal()
        await eventually(is_level, "every copy is level with its table", 60)
        between.break_by(Fault.REFUSE)
        between.reset()
        await log.write([ledger.move("account-1", 7), ledger.note("account-closed", "account-2")])
        await runs.current(60)
        between.heal()
        await eventually(is_level, "every copy is level again", 60)
    assert ("account-2",) not in (await level(runs))["valkey:balance"]


def _name(table):
    from projections.readmodels.trace import name_notes

    return name_notes(table)
