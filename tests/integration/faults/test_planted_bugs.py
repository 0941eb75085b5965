"""Each guard is taken out once, and a scenario that is clean with it must then fail: so we know that the tests bite."""

import contextlib

import pytest

from eventstore.errors import Fenced
from eventstore.postgres.engine import checkout
from projections.checkpoint import Claim
from projections.fold import Folder
from projections.pipeline import Pipeline
from projections.supervisor import make_live
from replay.cutover import swap, wait_for_workers
from tests.bank.oracle import expect
from tests.bank.records import TOPIC, TOPICS, lay_out
from tests.bank.release1 import bank
from tests.bank.runs import KEYS
from tests.faults.history import History, Read, check, kinds

PARTITIONS = 2


class Crash(Exception):
    """The process ends here."""


class Unfenced(Pipeline):
    """Planted: the checkpoint is moved whoever owns it now."""

    async def _apply(self, batch, seen, *, carefully):
        self._read(batch, seen)
        for each in list(self._moves):
            [(offset, epoch)] = await self._query(each)
            self.held[each] = Claim(offset, epoch)
        self._moves.clear()
        self._failures.clear()
        await super()._apply(batch, seen, carefully=carefully)

    async def _query(self, partition):
        statement = (
            "SELECT next_offset, epoch FROM projections.checkpoint WHERE generation = %s AND topic = %s AND partition = %s"
        )
        return await (await self._connection.execute(statement, (self.generation.id, *partition))).fetchall()


class OffsetsFirst(Pipeline):
    """Planted: the offsets are committed before the rows."""

    async def _load(self, plans, *, carefully):
        await self._connection.execute("COMMIT")
        await self._connection.execute("BEGIN")
        await super()._load(plans, carefully=carefully)


class RowsFirst(Pipeline):
    """Planted: the rows are committed before the offsets, which a crash then loses."""

    async def _write(self):
        await super()._write()
        await self._connection.execute(
            "UPDATE projections.checkpoint c SET next_offset = old.next_offset FROM (SELECT * FROM unnest(%s::int[], %s::bigint[]) "
            "AS o(partition, next_offset)) AS old WHERE c.partition = old.partition AND c.generation = %s",
            ([each[1] for each in self.held], [held.next_offset for held in self.held.values()], self.generation.id),
        )
        await self._connection.execute("COMMIT")
        await self._connection.execute("BEGIN")


class Amnesiac(set):
    """A set that forgets."""

    def add(self, each):
        pass


class Unparked(Pipeline):
    """Planted: later records of a parked key are applied as if nothing had happened."""

    def _read(self, batch, seen):
        self.folder.parked = Amnesiac()
        return super()._read(batch, seen)


class Shallow(Folder):
    """Planted: a careful fold works on the rows themselves, so a failing handler leaves half of its work."""

    def _try_record(self, steps):
        made = {}
        for _, sheet, function, key, body, detail in steps:
            row = made.get((sheet, key), sheet.rows.get(key))
            made[sheet, key] = function(body, row, detail) if detail is not None else function(body, row)
        return made


class Careless(Pipeline):
    """Planted: see `Shallow`."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.folder = Shallow(bank.projection, TOPICS, complete=False)


class Hoarding(Pipeline):
    """Planted: rows that other partitions' owners touch too are kept in memory between batches."""

    async def apply(self, batch, seen):
        clear, self.folder.clear = self.folder.clear, lambda: None
        try:
            await super().apply(batch, seen)
        finally:
            self.folder.clear = clear


@pytest.fixture
async def generation(engine):
    """A live generation of the bank that nobody feeds."""
    return await make_live(engine, bank.projection, "code", {TOPIC: PARTITIONS}, "test")


class Scene:
    """Pipelines on one generation, fed by hand."""

    def __init__(self, engine, generation, ledger):
        self.engine = engine
        self.generation = generation
        self.ledger = ledger
        self.log = lay_out(ledger.events, PARTITIONS)
        self.stack = contextlib.AsyncExitStack()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        await self.stack.aclose()

    async def join(self, kind, partitions=range(PARTITIONS)):
        """A worker of *kind* takes *partitions* over."""
        connection = await self.stack.enter_async_context(checkout(self.engine))
        pipeline = kind(bank.projection, self.generation, TOPICS, connection, exclusive=False)
        await pipeline.claim([(TOPIC, each) for each in partitions], "test")
        return pipeline

    async def feed(self, pipeline, count=10**6):
        """Give it the next *count* records of each of its partitions."""
        batch = {each: self.log[each[1]][held.next_offset :][:count] for each, held in pipeline.held.items()}
        await pipeline.apply({each: records for each, records in batch.items() if records}, {})

    async def history(self, runs):
        """What the read model says."""
        rows = await runs.rows(self.generation)
        expected = expect(self.ledger.events)
        recorded = {stream: row["versions"] for stream, row in expected["trail"].items()}
        applied = {stream: row["versions"] for stream, row in rows["trail"].items()}
        return History(recorded, applied, found=rows, expected=expected)


async def sleep_through_takeover(scene, kind):
    """A worker holds a batch in its hands while another takes over and applies it; then it goes on."""
    zombie = await scene.join(kind)
    await scene.feed(await scene.join(Pipeline))
    with contextlib.suppress(Fenced):
        await scene.feed(zombie)


@pytest.mark.parametrize(("kind", "violations"), [(Pipeline, set()), (Unfenced, {"DUP-EFFECT", "FOLD", "REORDER"})])
async def test_fence(runs, generation, ledger, kind, violations):
    """A worker that slept through a takeover writes nothing; without the fence its batch is applied twice."""
    ledger.some(60)
    async with Scene(runs.engine, generation, ledger) as scene:
        await sleep_through_takeover(scene, kind)
        assert kinds(await scene.history(runs)) == violations


async def crash_while_writing(scene, kind):
    """The process ends before (or after) its rows are written; the next worker goes on from the checkpoint."""
    crashing = type("Crashing", (kind,), {"_write": _crash if kind is not RowsFirst else _write_and_crash})
    with pytest.raises(Crash):
        await scene.feed(await scene.join(crashing), 20)
    await scene.feed(await scene.join(Pipeline))


async def _crash(self):
    raise Crash


async def _write_and_crash(self):
    await RowsFirst._write(self)
    raise Crash


@pytest.mark.parametrize(("kind", "expected"), [(Pipeline, None), (OffsetsFirst, "LOST"), (RowsFirst, "DUP-EFFECT")])
async def test_one_transaction(runs, generation, ledger, kind, expected):
    """Rows and offsets commit together; apart, a crash between them loses events or applies them twice."""
    ledger.some(100)
    async with Scene(runs.engine, generation, ledger) as scene:
        await crash_while_writing(scene, kind)
        found = kinds(await scene.history(runs))
        assert found == set() if expected is None else expected in found


@pytest.mark.parametrize(("kind", "expected"), [(Pipeline, None), (Unparked, "GHOST"), (Careless, "GHOST")])
async def test_parking(runs, generation, ledger, kind, expected):
    """A poisonous record and the later ones of its stream leave nothing behind; half a handler or a forgotten key shows."""
    for _ in range(3):
        ledger.some(20, accounts=4)
        ledger.move("account-1")
        ledger.move("account-1", kind="poison")
    async with Scene(runs.engine, generation, ledger) as scene:
        pipeline = await scene.join(kind)
        for _ in range(10):
            await scene.feed(pipeline, 9)
        found = kinds(await scene.history(runs))
        assert found == set() if expected is None else expected in found


@pytest.mark.parametrize(("kind", "violations"), [(Pipeline, set()), (Hoarding, {"FOLD"})])
async def test_shared_rows(runs, generation, ledger, kind, violations):
    """Rows that two workers touch add up; kept in memory by each of them they don't."""
    ledger.some(200)
    async with Scene(runs.engine, generation, ledger) as scene:
        workers = [await scene.join(kind, [each]) for each in range(PARTITIONS)]
        for _ in range(12):
            for each in workers:
                await scene.feed(each, 15)
        assert kinds(await scene.history(runs)) == violations


@pytest.mark.parametrize("waits", [True, False])
async def test_swap_vector(runs, generation, ledger, waits):
    """A swap waits until the target has what readers saw already; without that a reader goes back in time."""
    ledger.some(60)
    async with Scene(runs.engine, generation, ledger) as scene:
        behind = await _make_second(runs, generation)
        await scene.feed(await scene.join(Pipeline))
        seen = [await _count_moves(runs, generation)]

        async def reach_nothing(vector):
            return None

        reach = wait_for_workers(runs.engine, behind) if waits else reach_nothing
        with contextlib.suppress(Exception):
            await swap(runs.engine, behind, reach, action="swap", grace_s=9, limit_s=0.2, detail={})
        seen.append(await _count_moves(runs, await runs.live()))
        assert (seen[1] >= seen[0]) is waits


def test_reads_are_checked():
    """A request that reads the pointer once per table sees half a swap, and the checker says so."""
    pointer = iter([1, 2])
    half = Read(0, frozenset({next(pointer), next(pointer)}))
    assert [each.kind for each in check(History({}, {}, [half], swaps=[1, 2]))] == ["HALF"]


async def _make_second(runs, first):
    """A verified generation with empty tables, whose checkpoint stands at zero."""
    await runs.query(
        "INSERT INTO projections.generation (projection, number, version, fingerprint, state, schema_name, consumer_group, topics) "
        "SELECT projection, 2, version, fingerprint, 'verified', 'rm_bank_g2', 'g2', topics FROM projections.generation"
    )
    await runs.query("CREATE SCHEMA rm_bank_g2")
    for table in KEYS:
        await runs.query(f"CREATE TABLE rm_bank_g2.{table} (LIKE {first.schema_name}.{table})")
    return (await runs.generations())[0]


async def _count_moves(runs, generation):
    [row] = await runs.query(f"SELECT coalesce(sum(moves), 0) AS moves FROM {generation.schema_name}.kind_total")
    return row["moves"]
