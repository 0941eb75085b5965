"""Rows joined with a table as it was at their own time are the same whatever came first, in whatever batches, through any crash."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from cdc import CapturedTable, Change
from cdc.change import Origin
from eventstore.errors import UsageError
from eventstore.postgres.engine import Connection, checkout
from eventstore.source import Message
from projections import Projection, Projections
from projections.chaos import Chaos
from projections.control.catalogue import create_generation
from projections.feeding.pipeline import Pipeline
from projections.readmodels.postgres import create_indexes, create_tables
from projections.release.fingerprint import fingerprint
from projections.testing import Fold
from replay.evidence.cause import Teller
from replay.evidence.past import Past
from replay.evidence.sieve import Sieve, Touch
from replay.evidence.versions import find_lineages, list_set, name_lineage
from tests.bank.events import MoneyMoved
from tests.properties.projections.test_order import Rec

START = datetime(2026, 1, 1, tzinfo=UTC)
STORIES = 12
TOPICS = {"rate": 1, "sale": 2}


@dataclass(frozen=True, slots=True)
class Table(CapturedTable):
    """A captured table whose records need no decoding."""

    def reader(self, wanted):
        def read(record):
            found = CHANGES[record.value]
            return Message(self.table, found, found.key, None)

        return read


CHANGES: dict[bytes, Change] = {}


RATES, SALES = Table("shop", "public.rate"), Table("shop", "public.sale")
NAMES = {RATES.name: "rate", SALES.name: "sale"}


@dataclass(slots=True)
class Rate:
    currency: str
    since: datetime
    cents: int | None


@dataclass(slots=True)
class Sale:
    id: int
    currency: str
    at: datetime
    count: int
    cents: int | None = None
    worth: int | None = None
    seen: int | None = None


@dataclass(slots=True)
class Visit:
    account: str
    day: datetime
    region: str
    name: str | None = None


projection = Projection("joined-sales")
rates = projection.table(Rate, key=["currency", "since"])
sales = projection.table(Sale, key="id")


@rates.on_change(RATES, key=lambda change: (change.key[0], change.source.committed_at))
def remember(change: Change, row: Rate | None) -> Rate:
    return Rate(change.key[0], change.source.committed_at, change.after and change.after["cents"])


@sales.on_change(SALES)
def sell(change: Change, row: Sale | None) -> Sale | None:
    if change.after is None:
        return None
    at = row.at if row else change.source.committed_at
    return Sale(change.key[0], change.after["currency"], at, change.after["count"], seen=row and row.cents)


@sales.join(rates, on="currency", at="at", sets=["cents", "worth"])
def price(sale: Sale, rate: Rate | None) -> tuple[int | None, int | None]:
    if rate is None or rate.cents is None:
        return None, None
    if rate.cents == 13:
        raise ValueError("no rate is 13")
    return rate.cents, rate.cents * sale.count


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what pipelines say."""
    caplog.set_level("WARNING")


def change(table: str, op: str, key: Any, after: dict[str, Any] | None, minute: int) -> Change:
    """Make a change that was committed *minute* minutes after the start."""
    at = START + timedelta(minutes=minute)
    origin = Origin({"ts_us": int(at.timestamp() * 1_000_000), "sequence": f'["{minute + 1}","{minute + 1}"]'})
    return Change(op, table, () if key is None else (key,), None, after, origin, (minute + 1, minute + 1), ("id",))  # type: ignore[arg-type]


def record(topic: str, partition: int, offset: int, key: str, made: Change) -> Rec:
    """Make the record of a change; a set-aside one is kept as bytes, and read again from them."""
    value = str(len(CHANGES)).encode()
    CHANGES[value] = made
    return Rec(topic, partition, offset, 0, key.encode(), value)


def tell(dice: Random) -> tuple[dict[tuple[str, int], list[Rec]], dict[int, tuple[str, int, int | None]]]:
    """Give a story as the logs have it, and what the sales must look like: currency, minute, rate of that minute."""
    logs: dict[tuple[str, int], list[Rec]] = {(topic, each): [] for topic, count in TOPICS.items() for each in range(count)}
    known: dict[str, int] = {}
    sold: dict[int, tuple[str, int, int]] = {}
    history: dict[str, list[tuple[int, int | None]]] = {"EUR": [], "USD": []}

    def write(topic: str, partition: int, key: str, made: Change) -> None:
        log = logs[topic, partition]
        log.append(record(topic, partition, len(log), key, made))

    for minute in range(dice.randint(10, 40)):
        currency, what = dice.choice(("EUR", "USD")), dice.random()
        if what < 0.35:
            op = "u" if currency in known else "c"
            known[currency] = dice.choice((101, 102, 103))
            history[currency].append((minute, known[currency]))
            write("rate", 0, currency, change("public.rate", op, currency, {"cents": known[currency]}, minute))
        elif what < 0.42 and currency in known:
            del known[currency]
            history[currency].append((minute, None))
            write("rate", 0, currency, change("public.rate", "d", currency, None, minute))
        elif what < 0.46:
            for gone in known:
                history[gone].append((minute, None))
            known.clear()
            write("rate", 0, "", change("public.rate", "t", None, None, minute))
        else:
            number = dice.randint(1, 6)
            op, begun, after = (
                ("u", sold[number][1], {"currency": currency, "count": minute}) if number in sold else ("c", minute, None)
            )
            after = after or {"currency": currency, "count": minute}
            sold[number] = (currency, begun, minute)
            write("sale", number % 2, str(number), change("public.sale", op, number, after, minute))
    return logs, {
        number: (currency, count, next((cents for since, cents in reversed(history[currency]) if since <= begun), None))
        for number, (currency, begun, count) in sold.items()
    }


class Build:
    """One generation, and how it is fed."""

    def __init__(self, engine: AsyncEngine, connection: Connection, generation: Any) -> None:
        self.engine, self.connection, self.generation = engine, connection, generation

    @classmethod
    @asynccontextmanager
    async def make(cls, engine: AsyncEngine) -> AsyncIterator[Build]:
        """Make a generation with its tables and indexes."""
        async with checkout(engine) as connection:
            facts = {"projection": projection.name, "slug": projection.slug, "prefix": "t", "version": 1}
            generation = await create_generation(connection, {**facts, "fingerprint": fingerprint(projection), "topics": TOPICS})
            async with engine.begin() as making:
                await create_tables(making, projection, generation.schema_name)
                await create_indexes(making, projection, generation.schema_name)
            yield cls(engine, connection, generation)

    async def begin(
        self, partitions: list[tuple[str, int]], *, exclusive: bool = False
    ) -> tuple[Pipeline, dict[tuple[str, int], int]]:
        """Take *partitions* over, as a process does that has just started."""
        pipeline = Pipeline(projection, self.generation, NAMES, self.connection, exclusive=exclusive)
        return pipeline, await pipeline.claim(partitions, "test")

    async def feed(self, logs: dict[tuple[str, int], list[Rec]], dice: Random) -> list[tuple[str, int, str]]:
        """Feed all of *logs* in pieces, by one process or a process a partition, some of which die before they commit."""
        owners = [[each] for each in logs] if dice.random() < 0.5 else [list(logs)]
        workers = [await self.begin(each, exclusive=dice.random() < 0.3) for each in owners]
        while any(len(logs[each]) > offset for _, here in workers for each, offset in here.items()):
            number = dice.randrange(len(workers))
            pipeline, here = workers[number]
            left = [each for each in here if here[each] < len(logs[each])]
            chosen = dice.sample(left, dice.randint(0, len(left)))
            batch = {each: logs[each][here[each] :][: dice.choice((1, 2, 5, 100))] for each in chosen}
            if dice.random() < 0.2:
                async with self.connection.transaction():
                    await pipeline.apply(batch, {})
                    raise psycopg.Rollback
                workers[number] = await self.begin(owners[number])
            elif batch:
                await pipeline.apply(batch, {})
                workers[number] = pipeline, {each: here[each] + len(batch.get(each, ())) for each in here}
        query = 'SELECT topic, "offset", reason FROM projections.parked WHERE generation = %s ORDER BY 1, 2'
        return await (await self.connection.execute(query, [self.generation.id])).fetchall()

    async def rows(self) -> dict[int, tuple[Any, ...]]:
        """Give the sales: currency, count, cents, worth, what a handler saw of cents."""
        query = f"SELECT id, currency, count, cents, worth, seen FROM {self.generation.schema_name}.sale"
        return {each[0]: tuple(each[1:]) for each in await (await self.connection.execute(query)).fetchall()}

    async def digest(self) -> Any:
        """Digest all tables."""
        pipeline = Pipeline(projection, self.generation, NAMES, self.connection, exclusive=False)
        return await pipeline.read_model.digest(self.connection)


async def test_same_whatever_came_first(engine):
    """Every sale has the rate of its own time, as a model has it, and two ways of feeding end in equal digests."""
    for seed in range(STORIES):
        logs, expected = tell(Random(seed))
        digests = []
        for way in range(2):
            async with Build.make(engine) as build:
                assert not await build.feed(logs, Random((seed + 1) * 1000 + way))
                found = await build.rows()
                wanted = {
                    number: (currency, count, cents, cents and cents * count, None)
                    for number, (currency, count, cents) in expected.items()
                }
                assert found == wanted, f"story {seed}, way {way}"
                digests.append(await build.digest())
        assert digests[0] == digests[1], f"story {seed}"


async def sift(logs: dict[tuple[str, int], list[Rec]], dice: Random, wanted: Any) -> dict[tuple[str, Any], list[Touch]]:
    """Give the touches of *logs*, read in random pieces, by table and key."""
    sieve, here = Sieve(projection, NAMES, wanted), dict.fromkeys(logs, 0)
    found: dict[tuple[str, Any], list[Touch]] = {}
    while left := [each for each in logs if here[each] < len(logs[each])]:
        each, many = dice.choice(left), dice.choice((1, 2, 5, 100))
        for touch in await sieve.sift({each: logs[each][here[each] :][:many]}):
            found.setdefault((touch.table.name, touch.key), []).append(touch)
        here[each] += many
    return found


async def test_told_from_the_log():
    """What explains a row works out the same as workers store, from its own records and from those of its lineages alone."""
    teller, nothing = Teller(veiled=False), frozenset[Any]()
    for seed in range(STORIES * 10):
        logs, expected = tell(Random(seed))
        touches = await sift(logs, Random(seed), lambda table, _: table is sales)
        folded = {key: teller.retell(mine, nothing, list_set(projection, sales))[1] for (_, key), mine in touches.items()}
        lineages = find_lineages(projection, ((sales, row) for row in folded.values()))
        past = await sift(logs, Random(seed + 1), lambda table, key: table is rates and name_lineage(table, key) in lineages)  # noqa: B023
        told = Past(projection, teller, past, nothing)
        for number, row in folded.items():
            [join], obstacle = told.complete(sales, row)
            currency, count, cents = expected[number]
            assert (row.currency, row.count, row.cents, row.worth) == (currency, count, cents, cents and cents * count)
            assert not obstacle
            assert join.gives == {"cents": row.cents, "worth": row.worth}
            if join.key is not None:
                assert join.version == {**join.key, "cents": cents}
                assert join.key["since"] <= row.at
                assert join.causes[-1].row == join.version
                assert join.until is None or row.at.isoformat() < join.until
            else:
                assert (cents, join.note) in ((None, "nothing was known yet"), (None, "nothing is known at all"))


async def test_refused_version_is_parked(engine):
    """A version that the join refuses is parked with its reason, the rows keep what they had, and a sale of that time is parked too."""
    logs = {
        ("rate", 0): [
            record("rate", 0, 0, "EUR", change("public.rate", "c", "EUR", {"cents": 101}, 1)),
            record("rate", 0, 1, "EUR", change("public.rate", "u", "EUR", {"cents": 13}, 3)),
        ],
        ("sale", 0): [
            record("sale", 0, 0, "2", change("public.sale", "c", 2, {"currency": "EUR", "count": 1}, 5)),
            record("sale", 0, 1, "4", change("public.sale", "c", 4, {"currency": "USD", "count": 1}, 6)),
        ],
        ("sale", 1): [],
    }
    async with Build.make(engine) as build:
        pipeline, _ = await build.begin(list(logs))
        await pipeline.apply({("sale", 0): logs["sale", 0], ("rate", 0): logs["rate", 0][:1]}, {})
        await pipeline.apply({("rate", 0): logs["rate", 0][1:]}, {})
        [(topic, offset, reason)] = await build.feed(logs, Random(1))
        assert (topic, offset) == ("rate", 1)
        assert "no rate is 13" in reason
        assert await build.rows() == {2: ("EUR", 1, 101, 101, None), 4: ("USD", 1, None, None, None)}
    async with Build.make(engine) as build:
        pipeline, _ = await build.begin(list(logs))
        await pipeline.apply({("rate", 0): logs["rate", 0]}, {})
        await pipeline.apply({("sale", 0): logs["sale", 0]}, {})
        [(topic, offset, reason)] = await build.feed(logs, Random(1))
        assert (topic, offset) == ("sale", 0)
        assert await build.rows() == {4: ("USD", 1, None, None, None)}


def joined(**changes: Any) -> Projection:
    """Declare visits joined with names of regions, with *changes* to what fits."""
    made = Projection("visits")
    names = made.table(Name, key=changes.pop("key", ["region", "since"]))
    visits = made.table(Visit, key="account")
    names.on(MoneyMoved, key=lambda event: (event.kind, START + timedelta(minutes=event.amount)))(
        lambda event, row: Name(event.kind, START + timedelta(minutes=event.amount), event.account)
    )
    visits.on(MoneyMoved)(lambda event, row, envelope: Visit(event.account, START + timedelta(minutes=10), event.kind))
    visits.join(names, **{"on": "region", "at": "day", "sets": "name", **changes})(lambda visit, name: name and name.text)
    Projections(made)
    return made


@dataclass(slots=True)
class Name:
    region: str
    since: datetime
    text: str


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"on": "rigion"}, "rigion is no column of Visit"),
        ({"on": ["region", "account"]}, "give 1 columns for region"),
        ({"on": "day"}, "different types"),
        ({"at": "region"}, "must be datetimes"),
        ({"sets": "account"}, "account can't be set"),
        ({"sets": "region"}, "region can't be set"),
        ({"key": ["since", "region"]}, "must be datetimes"),
    ],
)
def test_unfit_joins(changes, words):
    """A join that could not be kept right is refused when it is declared, with the column at fault."""
    with pytest.raises(UsageError, match=words):
        joined(**changes)


def test_known_without_database():
    """A scenario folds joins as a worker does; what can't be told without one says so."""
    made = joined()
    visits = made.tables[1]
    early, late = MoneyMoved("ada", 5, "north"), MoneyMoved("bob", 15, "north")
    Fold(made, [("ada", early), ("bob", late)]).then_rows(
        visits,
        Visit("ada", START + timedelta(minutes=10), "north", "ada"),
        Visit("bob", START + timedelta(minutes=10), "north", "ada"),
    )
    assert {each.name for each in Chaos(made).run([("ada", early), ("bob", late)])["visit"].values()} == {"ada"}


def test_changes_its_fingerprint():
    """Another function, or another column of the time, makes another projection."""
    plain = joined()
    other = joined()
    other.joins[0] = type(other.joins[0])(
        other.tables[1], other.tables[0], ("region",), "day", ("name",), lambda visit, name: "nobody"
    )
    assert fingerprint(plain) == fingerprint(joined()) != fingerprint(other)
