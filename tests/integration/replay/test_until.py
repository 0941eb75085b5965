"""Bounded replays: the read model as it was at a time or at offsets, kept beside the live one and read by apps."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from eventstore.errors import PreconditionFailed, UsageError
from eventstore.moments import CRASHED
from projections.serving import ReadModels
from replay.bound import parse_offsets
from tests.bank.oracle import expect
from tests.bank.release1 import app, bank
from tests.bank.runs import ended

ENDS = {("t", 0): 10, ("t", 1): 5}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def test_stops_at_time(runs, log, ledger):
    """A replay until a time holds exactly what was recorded before it, and is read by as_of and by number, while the live one goes on."""
    early = ledger.some(80)
    await log.write_at(early, NOON.replace(hour=11))
    await log.write_at(ledger.some(60), NOON)
    await runs.serve(app)
    done = await runs.rebuild("--until", "2026-01-01T12:00:00Z")
    assert (done.code, done.facts["generation"], done.facts["state"]) == (0, 2, "verified"), done.err
    built = next(each for each in await runs.generations() if each.number == 2)
    assert await runs.rows(built) == expect(early)
    assert await runs.rows() == expect(ledger.events)
    models = ReadModels(runs.engine, app, kafka=runs.kafka)
    moves = sa.select(sa.func.sum(bank.balance.table.c.moves))
    then, now = (sum(each["moves"] for each in expect(known)["balance"].values()) for known in (early, ledger.events))
    async with models.session() as session:
        assert await session.scalar(moves) == now
    for pinned in ({"as_of": NOON}, {"generations": {"bank": 2}}):
        async with models.session(**pinned) as session:
            assert await session.scalar(moves) == then
    for wrong in ({"as_of": NOON.replace(hour=13)}, {"generations": {"bank": 9}}):
        with pytest.raises(PreconditionFailed):
            async with models.session(**wrong):
                pass


async def test_stays_apart(runs, log, ledger):
    """A bounded generation is neither swapped in, nor taken up or abandoned by a rebuild, and only `gc --bounded` drops it."""
    await log.write(ledger.some(80))
    await runs.serve(app)
    assert (await runs.rebuild("--until", "0=5,1=3")).code == 0
    swap = await runs.replay("swap", "--projection", "bank", "--to", "2")
    assert (swap.code, "never fed" in swap.error["message"]) == (3, True)
    assert (await runs.rebuild()).facts["generation"] == 3
    assert await runs.states() == {3: "live", 2: "verified", 1: "retired"}
    assert (await runs.replay("gc")).facts == []
    assert [each["generation"] for each in (await runs.replay("gc", "--bounded")).facts] == [2]
    assert await runs.states() == {3: "live", 2: "dropped", 1: "retired"}


async def test_stops_at_offsets(runs, log, ledger):
    """Offsets are the first that are left out; a build that was killed is resumed to the same ones."""
    await log.write(ledger.some(200))
    await runs.serve(app)
    argv = ("--projection", "bank", "--from-beginning", "--until", "0=20,2=10")
    crash = runs.child("replay", *argv, REFOLD_FAIL_AT="replay.building", REFOLD_REPLAY_COMMIT_ROWS="5")
    async with ended(crash):
        said = crash.communicate()[0]
        assert crash.returncode == CRASHED, said
    done = await runs.replay(*argv)
    assert (done.code, done.facts["generation"]) == (0, 2), done.err
    kept = {0: 20, 1: 0, 2: 10, 3: 0}
    placed = {each: [e for e in ledger.events if log.partition(e.stream) == each][: kept[each]] for each in kept}
    expected = [e for e in ledger.events if e in placed[log.partition(e.stream)]]
    assert await runs.rows(next(each for each in await runs.generations() if each.number == 2)) == expect(expected)


async def test_needs_live(runs, log, ledger):
    """Without a live generation there is no bounded one, and what is neither time nor offset is a usage error."""
    await log.write(ledger.some(10))
    assert (await runs.rebuild("--until", "0=1")).code == 3
    await runs.serve(app)
    for wrong in ("0=99999", "tomorrow", "7=1"):
        assert (await runs.rebuild("--until", wrong)).code == 2
    assert await runs.states() == {1: "live"}


def test_parses_offsets():
    """Offsets name partitions, and topics where there are several."""
    assert parse_offsets("0=3, t:1=5", ENDS) == {("t", 0): 3, ("t", 1): 5}
    assert parse_offsets("1=2", ENDS) == {("t", 0): 0, ("t", 1): 2}
    for wrong in ("0:3", "0=11", "u:0=1"):
        with pytest.raises(UsageError):
            parse_offsets(wrong, ENDS)
    with pytest.raises(UsageError, match="several topics"):
        parse_offsets("0=1", {**ENDS, ("u", 0): 4})
