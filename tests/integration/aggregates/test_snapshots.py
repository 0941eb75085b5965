"""Snapshots are believed only when they can be proved fit, and equal the full fold."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import psycopg
import pytest

from eventstore import event
from eventstore.decider import Decider
from eventstore.event import registry
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.snapshots import PostgresSnapshots
from eventstore.repository import Repository
from eventstore.snapshot import Snapshot, either, every, slower


@event("snapshot-added")
class Added:
    item: str
    count: int = 1


@dataclass(frozen=True)
class Basket:
    items: dict[str, int] = field(default_factory=dict)


def evolve(basket: Basket, added: Added) -> Basket:
    return Basket({**basket.items, added.item: basket.items.get(added.item, 0) + added.count})


def evolve_otherwise(basket: Basket, added: Added) -> Basket:
    return Basket({**basket.items, added.item: basket.items.get(added.item, 0) + 100 * added.count})


def decide(item: str, _: Basket) -> list[Added]:
    return [Added(item)]


baskets = Decider(Basket, evolve, decide)


@pytest.fixture
def snapshots(store: PostgresEventStore) -> PostgresSnapshots:
    return PostgresSnapshots(store.engine)


async def fill(store: PostgresEventStore, snapshots: PostgresSnapshots, count: int = 10) -> Snapshot:
    """Put *count* things into basket b, and give the snapshot of them all."""
    async with Repository(store, baskets, snapshots=snapshots, policy=every(1)) as repository:
        for number in range(count):
            await repository.handle("b", f"item-{number % 3}")
            await repository.settle()
    found = await snapshots.find("b", baskets.fingerprint, count)
    assert found is not None
    assert found.version == count
    return found


async def spoil(store: PostgresEventStore, statement: str, *values: object) -> None:
    async with checkout(store.engine) as connection:
        assert (await connection.execute(statement, values)).rowcount == 1


async def test_tail_only(store: PostgresEventStore, snapshots: PostgresSnapshots) -> None:
    """With a snapshot only what came after it is folded, and the state is that of the full fold."""
    await fill(store, snapshots)
    await store.append("b", [Added("late")])
    folded: list[Added] = []

    def spy(basket: Basket, added: Added) -> Basket:
        folded.append(added)
        return evolve(basket, added)

    spied = Decider(Basket, spy, decide)
    spied.__dict__["fingerprint"] = baskets.fingerprint
    loaded = await Repository(store, spied, snapshots=snapshots).load("b")
    assert loaded.state == (await Repository(store, baskets).load("b")).state
    assert folded == [Added("late")]


@pytest.mark.parametrize(
    "other",
    [
        Decider(Basket, evolve_otherwise, decide),
        Decider(lambda: Basket({"gift": 1}), evolve, decide),
        dataclasses.replace(baskets, version=2),
    ],
    ids=["evolve", "initial", "version"],
)
async def test_code_changed(store: PostgresEventStore, snapshots: PostgresSnapshots, other: Decider[str, Added, Basket]) -> None:
    """A state that other code folded is never used, nor does the other release lose its own."""
    before = await fill(store, snapshots)
    changed = Repository(store, other, snapshots=snapshots, policy=every(1))
    assert (await changed.load("b")).state == (await Repository(store, other).load("b")).state
    await changed.settle()
    assert await snapshots.find("b", baskets.fingerprint, 99) == before
    assert await snapshots.find("b", other.fingerprint, 99) is not None


async def test_event_changed(store: PostgresEventStore, snapshots: PostgresSnapshots) -> None:
    """A state that an event type went into which reads otherwise now is not used, though the fold is the same."""
    await fill(store, snapshots, 2)
    kind = registry.named("snapshot-added")
    kind.version = 2
    kind.upcasters[1] = lambda data: {**data, "count": 7}
    try:
        async with Repository(store, baskets, snapshots=snapshots) as repository:
            loaded = await repository.load("b")
    finally:
        kind.version = 1
        del kind.upcasters[1]
    assert loaded.state == Basket({"item-0": 7, "item-1": 7})


@pytest.mark.parametrize(
    "statement",
    [
        r"UPDATE eventstore.snapshot SET state = '{\"items\": {\"item-0\": 999}}' WHERE stream = 'b'",
        "UPDATE eventstore.snapshot SET state = 'no JSON', checksum = sha256('no JSON') WHERE stream = 'b'",
        "UPDATE eventstore.snapshot SET event_id = gen_random_uuid() WHERE stream = 'b'",
        "UPDATE eventstore.snapshot SET version = 50 WHERE stream = 'b'",
        """UPDATE eventstore.snapshot SET kinds = '{"gone": "f00"}' WHERE stream = 'b'""",
    ],
    ids=["bits", "no-json", "other-history", "beyond-the-end", "unknown-event"],
)
async def test_damaged(
    store: PostgresEventStore, snapshots: PostgresSnapshots, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged snapshot, or one of another history, is passed over, told, and replaced by a good one."""
    good = await fill(store, snapshots)
    await spoil(store, statement.replace("\\", ""))
    async with Repository(store, baskets, snapshots=snapshots, policy=every(1)) as repository:
        assert (await repository.load("b")).state == (await Repository(store, baskets).load("b")).state
        assert "is passed over" in caplog.text
        await repository.settle()
        await repository.load("b")
    assert await snapshots.find("b", baskets.fingerprint, 99) == good


async def test_unreachable(store: PostgresEventStore, caplog: pytest.LogCaptureFixture) -> None:
    """A place for snapshots that fails fails no command."""

    class Broken:
        async def find(self, *_: object) -> None:
            raise ConnectionError("down")

        save = drop = find

    async with Repository(store, baskets, snapshots=Broken(), policy=every(1)) as repository:  # type: ignore[arg-type]
        assert (await repository.handle("b", "x")).state == Basket({"x": 1})
    assert "down" in caplog.text


async def test_not_within_transaction(store: PostgresEventStore, snapshots: PostgresSnapshots) -> None:
    """What a transaction recorded gets no snapshot before it commits, so a rollback leaves none behind."""
    repository = Repository(store, baskets, snapshots=snapshots, policy=every(1))
    async with checkout(store.engine) as connection, connection.transaction() as transaction:
        await repository.handle("b", "x", connection=connection)
        raise psycopg.Rollback(transaction)
    await repository.settle()
    assert await snapshots.drop() == 0


async def test_unfit_state(store: PostgresEventStore, snapshots: PostgresSnapshots, caplog: pytest.LogCaptureFixture) -> None:
    """A state that would not read back equal from JSON is never written, and the log says what to do."""
    sets = Decider(set[object], lambda state, added: state | {(added.item, 1)}, decide)  # type: ignore[arg-type]
    async with Repository(store, sets, snapshots=snapshots, policy=every(1)) as repository:
        await repository.handle("b", "x")
    assert "Decider(state=...)" in caplog.text
    assert await snapshots.drop() == 0


async def test_policies(store: PostgresEventStore, snapshots: PostgresSnapshots) -> None:
    """A snapshot is written every n events, or when loading took long, or when either says so."""
    async with Repository(store, baskets, snapshots=snapshots, policy=either(every(4), slower(3_600))) as repository:
        written = []
        for _ in range(9):
            await repository.handle("b", "x")
            await repository.settle()
            found = await snapshots.find("b", baskets.fingerprint, 99)
            written.append(found.version if found else 0)
    assert written == [0, 0, 0, 4, 4, 4, 4, 8, 8]
    async with Repository(store, baskets, snapshots=snapshots, policy=slower(0)) as repository:
        await repository.load("b")
    assert (await snapshots.find("b", baskets.fingerprint, 99)).version == 9
