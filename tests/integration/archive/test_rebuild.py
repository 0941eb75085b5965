"""Rebuilding from an archive: old offsets from files, the tail from Kafka, by columns where every table is declared."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

import eventstore.cli
import replay.cli
from eventstore.moments import CRASHED
from eventstore.postgres.engine import checkout
from projections.control.catalogue import list_generations
from projections.control.generation import State
from tests.bank.oracle import expect
from tests.integration.archive.test_archive import cut

APP = "tests.bank.totals:app"


async def drain(runs, place):
    done = await runs.program(eventstore.cli.main, "archive", "run", "--drain", "--to", str(place), "--json")
    assert done.code == 0, done.err


async def rebuild(runs, *flags):
    return await runs.program(replay.cli.main, "--projection", "totals", "--app", APP, *flags, "--json")


async def rows(runs):
    """Give the rows of the live generation of the totals."""
    live = await find_live(runs.engine)
    return {table: await runs.query(f"SELECT * FROM {live.schema_name}.{table} ORDER BY 1") for table in ("by_kind", "by_stream")}


async def find_live(engine: AsyncEngine):
    async with checkout(engine) as connection:
        return next(each for each in await list_generations(connection, "totals") if each.state is State.LIVE)


def summed(events):
    """Give what the table by kind must hold, but for its sketches."""
    found = {}
    for each in events:
        if each.type == "money-moved":
            found.setdefault(each.data["kind"], []).append(each)
    return {
        kind: {
            "kind": kind,
            "moves": len(moves),
            "total": sum(each.data["amount"] for each in moves),
            "least": min(each.data["amount"] for each in moves),
            "most": max(each.data["amount"] for each in moves),
            "last": moves[-1].stream,
            "last_position": str(moves[-1].position),
            "accounts": len({each.stream for each in moves}),
        }
        for kind, moves in found.items()
    }


def plain(found):
    return {row["kind"]: {name: each for name, each in row.items() if name != "accounts_sketch"} for row in found["by_kind"]}


async def test_handlers_of_their_own(runs, log, ledger, place):
    """A projection with handlers is rebuilt from files and Kafka although Kafka has lost the beginning, and loses nothing."""
    from tests.bank.release1 import app

    await log.write(ledger.some(300))
    await runs.serve(app)
    await drain(runs, place)
    await log.write(ledger.some(100))
    await cut(runs.kafka, 10)
    refused = await runs.rebuild(release=2)
    assert (refused.code, "starts at 10" in refused.err) == (3, True)
    done = await runs.rebuild("--from-archive", str(place), release=2)
    assert (done.code, done.facts["state"]) == (0, "live"), done.err
    async with runs.worker(__import__("tests.bank.release2", fromlist=["app"]).app):
        await runs.current()
    assert await runs.rows() == expect(ledger.events, abs)


async def test_by_columns(runs, log, ledger, place):
    """Declared aggregates are folded by columns up to the archive's end and event by event after it; the rows are the worker's own."""
    await log.write(ledger.some(300))
    await drain(runs, place)
    first = await rebuild(runs, "--from-archive", str(place))
    assert first.code == 0, first.err
    assert "records by columns" in first.err
    by_columns = await rows(runs)
    assert plain(by_columns) == summed(ledger.events)
    again = await rebuild(runs, "--from-beginning")
    assert (again.code, again.facts["verification"]["equal"]) == (0, True), again.err
    assert "by columns" not in again.err
    assert await rows(runs) == by_columns
    await log.write(ledger.some(100))
    behind = await rebuild(runs, "--from-archive", str(place))
    assert (behind.code, behind.facts["verification"]["equal"]) == (0, True), behind.err
    assert plain(await rows(runs)) == summed(ledger.events)


async def test_gap_refused(runs, log, ledger, place):
    """Where records are in neither the archive nor Kafka the replay is refused by name, and nothing is made."""
    await log.write(ledger.some(200))
    await drain(runs, place)
    await log.write(ledger.some(400))
    ends = await runs.ends()
    await cut(runs.kafka, min(ends.values()) - 1)
    refused = await rebuild(runs, "--from-archive", str(place))
    assert (refused.code, refused.error["error"]) == (3, "HistoryIncomplete")
    assert "in neither the archive" in refused.err
    async with checkout(runs.engine) as connection:
        assert not await list_generations(connection, "totals")


async def test_crash_resumed(runs, log, ledger, place):
    """A rebuild that is killed after it took over the columns goes on behind them, and folds no event twice."""
    await log.write(ledger.some(300))
    await drain(runs, place)
    await log.write(ledger.some(50))
    arguments = ("--projection", "totals", "--from-archive", str(place), "--app", APP)
    crashed = runs.child("replay", *arguments, REFOLD_FAIL_AT="replay.building")
    await asyncio.to_thread(crashed.communicate)
    assert crashed.returncode == CRASHED
    done = await rebuild(runs, "--from-archive", str(place))
    assert done.code == 0, done.err
    assert "by columns" not in done.err
    assert plain(await rows(runs)) == summed(ledger.events)


@pytest.mark.parametrize("flag", ["--from-beginning", "--from-archive"])
async def test_unreadable_parked(runs, log, ledger, place, flag):
    """A record that can't be read is parked with the later ones of its key, from an archive as from Kafka."""
    await log.write(ledger.some(100, accounts=5))
    await log.write_raw(("account-1", b"broken"))
    await log.write(ledger.some(50, accounts=5))
    await drain(runs, place)
    done = await rebuild(runs, flag, *([str(place)] if flag == "--from-archive" else []), "--accept-parked")
    assert done.code == 0, done.err
    parked = await runs.parked()
    later = [each for each in ledger.events[100:] if each.stream == "account-1"]
    assert [bytes(each["value"]) for each in parked] == [b"broken", *(each.document() for each in later)]
    kept = [*ledger.events[:100], *(each for each in ledger.events[100:] if each.stream != "account-1")]
    assert plain(await rows(runs)) == summed(kept)
