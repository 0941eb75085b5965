"""Stable names for psql and BI: what users have built upon them outlives swaps, or they are told why a name stays behind."""

import asyncio
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.postgres.engine import checkout
from projections import Projection
from projections.control.catalogue import create_generation, find_live, list_generations, move
from projections.control.generation import State
from projections.feeding.supervisor import make_live
from projections.readmodels.layout import BuiltUpon, Column, Relation, arrange
from projections.readmodels.postgres import create_indexes, create_tables
from projections.readmodels.views import move_views
from replay.cutover import swap
from tests.bank.events import MoneyMoved
from tests.bank.release1 import app
from tests.stack.waiting import eventually

COLUMNS = """SELECT string_agg(column_name, ' ' ORDER BY table_name, ordinal_position) AS found FROM information_schema.columns
WHERE table_schema = 'shop'"""


@dataclass(slots=True)
class First:
    id: str
    cents: int = 0
    note: str | None = None


@dataclass(slots=True)
class Wider:
    id: str
    colour: str | None = None
    note: str | None = None
    cents: int = 0


@dataclass(slots=True)
class Narrow:
    id: str
    cents: int = 0


@dataclass(slots=True)
class Owned:
    tenant: str
    id: str
    cents: int = 0


def declare(row, *more, tenant=None) -> Projection:
    """Declare a release of the shop's read model whose orders look like *row*."""
    shop = Projection("shop")
    for each, name in ((row, "orders"), *((one, one.__name__.lower()) for one in more)):
        shop.table(each, key="id", name=name, tenant=tenant).on(MoneyMoved)(lambda event, found: found)
    return shop


class Shop:
    """Generations without events: each holds one order of so many cents as its number says."""

    def __init__(self, runs) -> None:
        self.runs = runs
        self.engine = runs.engine

    async def add(self, projection, **columns):
        """Make a generation, live if it is the first, ready for a swap otherwise."""
        async with checkout(self.engine) as connection:
            known = await list_generations(connection, "shop")
            if not known:
                made = await make_live(self.engine, projection, "f1", {"t": 1}, "t")
            else:
                facts = {
                    "projection": "shop",
                    "slug": "shop",
                    "prefix": "t",
                    "version": 1,
                    "fingerprint": "f",
                    "topics": {"t": 1},
                }
                made = await create_generation(connection, facts)
                async with self.engine.begin() as transaction:
                    await create_tables(transaction, projection, made.schema_name)
                    await create_indexes(transaction, projection, made.schema_name)
                for state in (State.BUILDING, State.CAUGHT_UP, State.VERIFIED):
                    made = await move(connection, made, state)
        values = {"id": "'a'", "cents": str(made.number), **columns}
        await self.runs.query(
            f"INSERT INTO {made.schema_name}.orders ({', '.join(values)}) VALUES ({', '.join(values.values())})"
        )
        return made

    async def show(self, number: int, **limits) -> str | None:
        """Swap to generation *number* and let the views follow."""

        async def reached(_):
            pass

        async with checkout(self.engine) as connection:
            target = next(each for each in await list_generations(connection, "shop") if each.number == number)
            live = await find_live(connection, "shop")
        if live != target:
            await swap(self.engine, target, reached, action="swap", grace_s=900, limit_s=60, detail={})
        return await move_views(self.engine, target, **limits)

    async def cents(self, name: str = "shop.orders") -> int:
        [row] = await self.runs.query(f"SELECT cents FROM {name}")
        return int(row["cents"])

    async def noted(self) -> str | None:
        async with checkout(self.engine) as connection:
            live = await find_live(connection, "shop")
        return live.detail.get("views")


@pytest.fixture
def shop(runs):
    return Shop(runs)


async def test_from_the_first(runs, log, ledger):
    """The names are there as soon as a worker has made the first generation, and tell which generation they show."""
    await log.write(ledger.some(20))
    async with runs.worker(app):
        await runs.current()
        await eventually(lambda: _is_true(runs, "SELECT to_regclass('bank.trail') IS NOT NULL AS yes"), "the views are made", 60)
    assert await runs.query("SELECT * FROM bank.balance ORDER BY account") == await runs.query(
        "SELECT * FROM rm_bank_g1.balance ORDER BY account"
    )
    [told] = await runs.query("SELECT obj_description('bank.balance'::regclass) AS text")
    assert told["text"] == "refold: the live rows of bank, at present generation 1"


async def _is_true(runs, question: str) -> bool:
    return (await runs.query(question))[0]["yes"]


async def test_users_objects_survive(runs, shop):
    """Views, grants and privileges of readers upon the stable names outlive swaps to wider tables, and rollbacks, and show live rows."""
    await runs.query("SELECT eventstore.settle_roles_v1()")
    [reader] = [row["role"] for row in await runs.query("SELECT role FROM eventstore.duty WHERE name = 'reader'")]
    await shop.add(declare(First))
    assert await shop.show(1) is None
    await runs.query("CREATE VIEW public.report AS SELECT sum(cents) AS cents FROM shop.orders")
    await runs.query("GRANT INSERT ON shop.orders TO PUBLIC")
    await shop.add(declare(Wider))
    await shop.add(declare(First, Narrow))
    oid = (await runs.query("SELECT 'shop.orders'::regclass::oid AS oid"))[0]["oid"]
    for number in (2, 3, 2, 1, 3):
        assert await shop.show(number) is None
        assert [await shop.cents(), await shop.cents("public.report")] == [number, number]
        with psycopg.connect(runs.dsn) as connection:
            connection.execute(f'SET ROLE "{reader}"')
            assert connection.execute("SELECT cents FROM shop.orders").fetchone() == (number,)
        [view] = await runs.query("SELECT oid, reloptions, relacl::text AS acl FROM pg_class WHERE oid = 'shop.orders'::regclass")
        assert (view["oid"], view["reloptions"]) == (oid, ["security_invoker=true"])
        assert "=a/" in view["acl"]
        assert await _is_true(runs, "SELECT to_regclass('shop.narrow') IS NOT NULL AS yes") == (number == 3)
    assert await runs.query("SELECT id, note, colour FROM shop.orders") == [{"id": "a", "note": None, "colour": None}]
    await runs.query("DROP VIEW public.report")
    assert await shop.show(1) is None
    assert (await runs.query(COLUMNS))[0]["found"] == "id cents note", (
        "the empty one is gone with the last who might have read it"
    )


async def test_columns_go(runs, shop):
    """A column or table that is gone leaves its name when nothing was built upon it, and comes back with a rollback."""
    await shop.add(declare(First, Wider))
    await shop.add(declare(Narrow))
    await shop.show(1)
    first = await runs.query(COLUMNS)
    assert await shop.show(2) is None
    assert await runs.query(COLUMNS) == [{"found": "id cents"}]
    assert await shop.cents() == 2
    assert await shop.show(1) is None
    assert await runs.query(COLUMNS) == first


async def test_told_what_holds(runs, shop):
    """Where a column that is gone was built upon, all names stay as they are, the reason names what to drop, and gc waits."""
    await shop.add(declare(First))
    await shop.add(declare(Narrow))
    await shop.show(1)
    await runs.query("CREATE VIEW public.report AS SELECT id, note FROM shop.orders")
    reason = await shop.show(2)
    assert reason is not None
    assert "shop.orders can't lose note" in reason
    assert "(public.report)" in reason
    assert await shop.noted() == reason
    assert await shop.cents() == 1
    kept = await runs.replay("gc", "--force")
    assert (kept.code, "shop g1" in kept.error["message"], "shop.orders" in kept.error["message"]) == (3, True, True)
    await runs.query("DROP VIEW public.report")
    assert await shop.show(2) is None
    assert await shop.noted() is None
    assert await shop.cents() == 2
    await runs.query("CREATE VIEW public.direct AS SELECT id FROM rm_shop_g1.orders")
    assert "public.direct" in (await runs.replay("gc", "--force")).error["message"]
    await runs.query("DROP VIEW public.direct")
    assert [each["generation"] for each in (await runs.replay("gc", "--force")).facts] == [1]


async def test_reader_in_the_way(runs, shop):
    """A report that holds a name for long holds up neither the swap nor other readers for long; the name moves when it is done."""
    await shop.add(declare(First))
    await shop.add(declare(First))
    await shop.show(1)
    async with await psycopg.AsyncConnection.connect(runs.dsn) as report:
        await report.execute("SELECT * FROM shop.orders")
        reason = await shop.show(2, patience_s=0)
        assert reason is not None
        assert "a reader held" in reason
        assert await shop.cents() == 1
        moving = asyncio.create_task(shop.show(2, patience_s=60))
        await report.commit()
        assert await moving is None
    assert await shop.cents() == 2


async def test_name_taken(runs, shop):
    """A table of the user's that bears the name is left alone, and the reason says so."""
    await runs.query("CREATE SCHEMA shop")
    await runs.query("CREATE TABLE shop.orders (mine integer)")
    await shop.add(declare(First))
    reason = await shop.show(1)
    assert reason is not None
    assert "shop.orders is no view" in reason
    await runs.query("DROP TABLE shop.orders")
    assert await shop.show(1) is None


async def test_policies_kept(runs, shop):
    """Through the names a reader sees the rows of its tenant only, after swaps and rollbacks too."""
    await runs.query("SELECT eventstore.settle_roles_v1()")
    [reader] = [row["role"] for row in await runs.query("SELECT role FROM eventstore.duty WHERE name = 'reader'")]
    private = declare(Owned, tenant="tenant")
    for _ in range(2):
        made = await shop.add(private, tenant="'acme'")
        await runs.query(f"INSERT INTO {made.schema_name}.orders VALUES ('globex', 'a', 99)")
    for number in (1, 2, 1):
        assert await shop.show(number) is None
        with psycopg.connect(runs.dsn) as connection:
            connection.execute(f'SET ROLE "{reader}"')
            assert connection.execute("SELECT * FROM shop.orders").fetchall() == []
            connection.execute("SELECT set_config('refold.tenant', 'acme', true)")
            assert connection.execute("SELECT * FROM shop.orders").fetchall() == [("acme", "a", number)]


async def test_at_once(runs, shop):
    """Several processes that move the names at once, after swaps in between, leave them at the live generation."""
    for _ in range(3):
        made = await shop.add(declare(First))
    await asyncio.gather(*(move_views(shop.engine, each, patience_s=60) for each in [made] * 4))
    for number in (2, 3, 1, 2):
        await asyncio.gather(shop.show(number), *(move_views(shop.engine, made, patience_s=60) for _ in range(3)))
        assert await shop.show(number) is None
        assert await shop.cents() == number


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, min_size=1)
TYPES = st.sampled_from(["text", "bigint"])
TYPED = NAMES.flatmap(lambda names: st.tuples(*(st.builds(Column, st.just(each), TYPES, st.just("0")) for each in names)))


@given(TYPED, TYPED, st.none() | st.sets(st.sampled_from("abcdef")))
def test_arrangement(before, after, used):
    """A view shows every column of its table once, under its own type; what something was built upon stays where it was, or is refused."""
    table = Relation("rm_x_g2", "t", "r", None, after)
    view = Relation("x", "t", "v", None, before, frozenset(used or ()), used is not None)
    gone = set(before) - set(after)
    refused = used is not None and any(each.name in used or each.name in {one.name for one in after} for each in gone)
    if refused:
        with pytest.raises(BuiltUpon, match="can't lose"):
            arrange(table, view)
        return
    columns, empty, anew = arrange(table, view)
    assert [each for each in columns if each.name not in empty] == sorted(after, key=[*columns].index)
    assert anew == bool(gone and used is None)
    assert anew or columns[: len(before)] == before
    assert empty == (frozenset() if anew else frozenset(each.name for each in gone))
