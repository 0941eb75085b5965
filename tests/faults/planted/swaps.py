"""Wrong swaps, verifications, rollbacks and readers, and the runs that show them."""

from contextlib import suppress

import sqlalchemy as sa

import replay.cli
from projections.feeding.pipeline import Pipeline
from projections.serving import ReadModels
from replay.cutover import swap, wait_for_workers
from tests.bank import moody, release1, release2
from tests.bank.runs import KEYS
from tests.faults.checker import examine
from tests.faults.history import History, kinds
from tests.faults.operations import Operation
from tests.faults.planted.place import REFUSED, Hands, Place


async def swap_ahead(place: Place) -> set[str]:
    """A swap to a generation that has read nothing yet, while the live one has read all."""
    place.ledger.some(60)
    async with place.hands() as hands:
        behind = await _make_second(hands)
        await hands.feed(await hands.join(Pipeline))
        seen = await _versions(place)
        reach = wait_for_workers(place.runs.engine, behind) if not place.options.get("hasty") else _reach_nothing
        limit_s = 0.2 if not place.options.get("hasty") else 60
        with suppress(Exception):
            await swap(place.runs.engine, behind, reach, action="swap", grace_s=9, limit_s=limit_s, detail={})
        return kinds(History(seen, await _versions(place)))


async def read_over_swap(place: Place) -> set[str]:
    """A request reads one table before a swap and another one after it; each row tells its generation."""
    place.ledger.some(60)
    engine, balance, by_kind = place.runs.engine, release1.bank.balance.table, release1.bank.kinds.table
    async with place.hands() as hands:
        await hands.feed(await hands.join(Pipeline))
        second = await _make_second(hands)
        for table in ("balance", "kind_total"):
            await place.runs.query(f"UPDATE rm_bank_g1.{table} SET moves = 1")
            await place.runs.query(f"INSERT INTO rm_bank_g2.{table} SELECT * FROM rm_bank_g1.{table}")
            await place.runs.query(f"UPDATE rm_bank_g2.{table} SET moves = 2")
        models = ReadModels(engine, release1.app, kafka=place.runs.kafka)
        async with models.session() as session:
            seen = {*await session.scalars(sa.select(balance.c.moves))}
            await swap(engine, second, _reach_nothing, action="swap", grace_s=9, limit_s=9, detail={})
            if place.options.get("resolves twice"):
                async with models.session() as another:
                    seen |= {*await another.scalars(sa.select(by_kind.c.moves))}
            else:
                seen |= {*await session.scalars(sa.select(by_kind.c.moves))}
    swaps = [Operation("operator", "ok", "swap", t_ns=each, projection="bank", pversion=each) for each in (1, 2)]
    return examine([*swaps, Operation("reader", "ok", "read", t_ns=3, projection="bank", pversions=tuple(sorted(seen)))]).kinds


async def build_incomplete(place: Place) -> set[str]:
    """A build that had to set records aside, beside a live generation that has all of them."""
    argv = ("--projection", "moody", "--from-beginning", "--json", "--app", "tests.bank.moody:app")
    async with place.log() as log:
        await log.write([place.ledger.move(f"account-{each % 3}", kind="fee" if each == 7 else "deposit") for each in range(30)])
        for mood in ("", "fee"):
            place.patch.setenv(moody.REFUSED, mood)
            await place.runs.program(replay.cli.main, *argv)
    recorded = {f"account-{each}": list(range(1, 11)) for each in range(3)}
    [live] = await place.runs.query("SELECT schema_name FROM projections.generation WHERE state = 'live'")
    notes = await place.runs.query(f"SELECT * FROM {live['schema_name']}.note")
    return kinds(History(recorded, {row["stream"]: row["versions"] for row in notes}))


async def compare_behind(place: Place) -> set[str]:
    """A rebuild beside a live generation that nobody feeds, which is behind the log."""
    async with place.log() as log:
        await log.write(place.ledger.some(60))
        assert (await place.runs.rebuild()).code == 0
        await log.write(place.ledger.some(60))
    done = await place.runs.rebuild()
    if done.code:
        return {REFUSED}
    return kinds(await place.runs.history(place.ledger.events))


async def roll_back_stale(place: Place) -> set[str]:
    """A rollback to a generation that nobody has fed since the swap."""
    async with place.log() as log:
        await log.write(place.ledger.some(60))
        assert (await place.runs.rebuild()).code == 0
        assert (await place.runs.rebuild(release=2)).code == 0
        await log.write(place.ledger.some(60))
        async with place.runs.worker(release2.app):
            await place.runs.current()
    seen = await _versions(place)
    if not place.options.get("hasty"):
        place.patch.setenv("REFOLD_REPLAY_SWAP_S", "0.3")
    await place.runs.replay("rollback", "--projection", "bank")
    return kinds(History(seen, await _versions(place)))


async def _reach_nothing(vector):
    return None


async def _make_second(hands: Hands):
    """Make a verified generation with empty tables, whose checkpoint stands at zero."""
    runs = hands.place.runs
    await runs.query(
        "INSERT INTO projections.generation (projection, number, version, fingerprint, state, schema_name, consumer_group, topics) "
        "SELECT projection, 2, version, fingerprint, 'verified', 'rm_bank_g2', 'g2', topics FROM projections.generation"
    )
    await runs.query("CREATE SCHEMA rm_bank_g2")
    for table in KEYS:
        await runs.query(f"CREATE TABLE rm_bank_g2.{table} (LIKE {hands.generation.schema_name}.{table})")
    return (await runs.generations())[0]


async def _versions(place: Place):
    return {stream: row["versions"] for stream, row in (await place.runs.rows())["trail"].items()}
