"""The rows in PostgreSQL: every column type, and reading them through sessions and tokens."""

import dataclasses
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from eventstore.errors import PreconditionFailed, TimedOut
from eventstore.postgres.engine import checkout
from eventstore.stream import Position, Token
from projections.declaration.projection import Projection
from projections.readmodels.postgres import ReadModel, create_indexes, create_tables, drop_schema
from projections.readmodels.upsert import FEW
from projections.serving import ReadModels
from tests.bank.oracle import expect
from tests.bank.release1 import app, bank


@dataclass(slots=True)
class Everything:
    number: int
    name: str
    truth: bool
    ratio: float
    raw: bytes
    money: Decimal
    id: UUID
    day: date
    clock: time
    span: timedelta
    at: datetime
    document: dict[str, Any]
    items: list[Any]
    short: Annotated[str, sa.String(10)]
    small: Annotated[int, sa.SmallInteger]
    price: Annotated[Decimal, sa.Numeric(10, 2)]
    tags: Annotated[list[str], postgresql.ARRAY(sa.Text)]
    note: str | None = None
    seen: datetime | None = None
    extra: dict[str, Any] | None = None
    limited: Annotated[str, sa.String(5)] | None = None


FULL = Everything(
    number=-(2**63),
    name="tab\t newline\n back\\slash \\N ünï 🛫 'quote' \"double\"",
    truth=True,
    ratio=0.1 + 0.2,
    raw=bytes(range(256)),
    money=Decimal("12345678901234567890.123456789012345678900"),
    id=uuid4(),
    day=date(2024, 2, 29),
    clock=time(23, 59, 59, 999999),
    span=timedelta(days=-3, hours=5, microseconds=7),
    at=datetime(2026, 1, 1, 12, tzinfo=UTC),
    document={"a": [1, 2.5, None, {"b": "c"}], "ü": True},
    items=[1, "two", [3]],
    short="ten chars!",
    small=-32768,
    price=Decimal("10.20"),
    tags=["a", "b,c", '"', ""],
    note="",
    seen=datetime(1970, 1, 1, tzinfo=UTC),
    extra={},
    limited="five!",
)
EMPTY = dataclasses.replace(FULL, number=0, name="", raw=b"", document={}, items=[], tags=[], note=None, seen=None, extra=None)
EMPTY.limited = None

KEYS = ["number", "name", "truth", "money", "id", "day", "clock", "span", "at", "raw", "short", "small"]


async def test_every_column_type(engine):
    """A row of every type comes back as it was written, fresh or merged, and equal rows have equal digests."""
    wide = Projection("wide")
    table = wide.table(Everything, key=("number", "name"), indexes=[("day",)])
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        for complete in (True, False):
            sheet = _sheet(table, complete=complete)
            for row in (FULL, EMPTY):
                sheet.rows[table.key_of(row)] = row
            sheet.dirty.update(sheet.rows)
            async with connection.transaction():
                await model.write(connection, sheet)
            assert await _load(connection, model, table, [table.key_of(FULL), table.key_of(EMPTY), (9, "none")]) == {
                table.key_of(FULL): FULL,
                table.key_of(EMPTY): EMPTY,
                (9, "none"): None,
            }
        digest = (await model.digest(connection))["everything"]
        assert digest.rows == 2
        [shown] = await model.rows(connection, "everything", [table.key_of(EMPTY)])
        assert (shown["number"], shown["note"]) == (0, None)
        async with connection.transaction():
            keys = [key async for key, _ in model.hashes(connection, "everything", table.columns)]
        assert keys == sorted(keys)
        assert len(keys) == 2


@pytest.mark.parametrize("key", KEYS)
async def test_every_key_type(engine, key):
    """Rows are found, merged, deleted and compared under a key of any type."""
    wide = Projection("wide")
    table = wide.table(Everything, key=key)
    value = table.key_of(FULL)
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        assert await _load(connection, model, table, [value]) == {value: None}
        sheet = _sheet(table, complete=True)
        sheet.rows[value] = FULL
        sheet.dirty.add(value)
        async with connection.transaction():
            await model.write(connection, sheet)
        assert await _load(connection, model, table, [value]) == {value: FULL}
        sheet = _sheet(table, complete=False)
        sheet.load([value], [FULL])
        sheet.rows[value] = None
        sheet.dirty.add(value)
        async with connection.transaction():
            await model.write(connection, sheet)
        assert await _load(connection, model, table, [value]) == {value: None}


async def test_digest_sees_every_column(engine):
    """A change of any one column changes the digest; the order of writing does not."""
    wide = Projection("wide")
    table = wide.table(Everything, key="number")
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        seen = {(await model.digest(connection))["everything"]}
        for each in (name for name in table.columns if name != "number"):
            changed = dataclasses.replace(FULL, **{each: getattr(EMPTY, each) if each != "truth" else False})
            if getattr(changed, each) == getattr(FULL, each):
                continue
            sheet = _sheet(table, complete=False)
            sheet.rows[changed.number] = changed
            sheet.dirty.add(changed.number)
            async with connection.transaction():
                await model.write(connection, sheet)
            found = (await model.digest(connection))["everything"]
            assert found not in seen, each
            seen.add(found)


async def test_long_names_stay_apart(engine):
    """Two tables whose long names begin alike never mix their rows on the way in."""
    wide = Projection("a-projection-with-the-longest-name-of-3")

    @dataclass(slots=True)
    class Row:
        id: int
        value: str

    first = wide.table(Row, key="id", name="a_table_with_a_long_name_1")
    second = wide.table(Row, key="id", name="a_table_with_a_long_name_2")
    schema = f"rm_{wide.slug}_g1234"
    async with _made(engine, wide, schema) as (connection, model):
        async with connection.transaction():
            for table, value in ((first, "first"), (second, "second")):
                sheet = _sheet(table, complete=False)
                sheet.rows[1 if table is first else 2] = Row(1 if table is first else 2, value)
                sheet.dirty.update(sheet.rows)
                await model.write(connection, sheet)
        assert await _load(connection, model, first, [1, 2]) == {1: Row(1, "first"), 2: None}
        assert await _load(connection, model, second, [1, 2]) == {1: None, 2: Row(2, "second")}


async def test_ways_in(engine, monkeypatch):
    """A row has the same digest whether it was copied, merged with many others or written with a few, over nothing or over another row."""
    wide = Projection("wide")
    table = wide.table(Everything, key="number")
    rows = [dataclasses.replace(each, number=number) for number in range(10) for each in (FULL if number % 2 else EMPTY,)]
    digests = []
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        for complete, few, before in (
            (True, FEW, None),
            (False, 0, None),
            (False, 0, FULL),
            (False, FEW, None),
            (False, FEW, EMPTY),
        ):
            monkeypatch.setattr("projections.readmodels.postgres.FEW", few)
            await connection.execute("TRUNCATE rm_wide_g1.everything")
            for some in ([dataclasses.replace(before, number=each.number) for each in rows] if before else [], rows):
                sheet = _sheet(table, complete=complete)
                sheet.rows |= {each.number: each for each in some}
                sheet.dirty.update(sheet.rows)
                async with connection.transaction():
                    await model.write(connection, sheet)
            assert await _load(connection, model, table, range(10)) == {each.number: each for each in rows}
            digests.append(await model.digest(connection))
    assert digests[0]["everything"].rows == 10
    assert digests == digests[:1] * 5


@pytest.mark.parametrize("few", [0, FEW])
async def test_refused_alike(engine, monkeypatch, few):
    """What PostgreSQL refuses of a row it refuses whichever way the row comes: too long, out of range, missing, not of the type."""
    monkeypatch.setattr("projections.readmodels.postgres.FEW", few)
    wide = Projection("wide")
    table = wide.table(Everything, key="number")
    wrong = {
        "limited": "longer",
        "small": 2**15,
        "name": None,
        "price": Decimal("1e9"),
        "note": "\x00",
        "seen": "soon",
    }
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        refused = set()
        for name, value in wrong.items():
            sheet = _sheet(table, complete=False)
            sheet.rows[FULL.number] = dataclasses.replace(FULL, **{name: value})
            sheet.dirty.add(FULL.number)
            try:
                async with connection.transaction():
                    await model.write(connection, sheet)
            except (psycopg.Error, AttributeError, TypeError):
                refused.add(name)
        assert refused == set(wrong)
        assert (await model.digest(connection))["everything"].rows == 0


async def test_key_only_table(engine):
    """A table of nothing but its key can be written twice."""
    wide = Projection("wide")

    @dataclass(slots=True)
    class Member:
        name: str

    table = wide.table(Member, key="name")
    async with _made(engine, wide, "rm_wide_g1") as (connection, model):
        for _ in range(2):
            sheet = _sheet(table, complete=False)
            sheet.rows["a"] = Member("a")
            sheet.dirty.add("a")
            async with connection.transaction():
                await model.write(connection, sheet)
        assert await _load(connection, model, table, ["a"]) == {"a": Member("a")}


async def test_reads_own_writes(runs, log, ledger):
    """Waiting for a token returns once the live generation shows the event, and times out when nobody feeds it."""
    models = ReadModels(runs.engine, app, kafka=runs.kafka)
    async with runs.worker(app):
        await runs.current()
        for _ in range(5):
            made = ledger.move("account-1", 5)
            await log.write([made])
            await models.wait_for(made.token, bank.projection, timeout_s=60)
            async with models.session() as session:
                row = (
                    await session.execute(sa.select(bank.balance.table).where(bank.balance.table.c.account == "account-1"))
                ).one()
            assert row.moves == made.version
    ahead = Token("account-1", 99, Position(10**6, 1))
    with pytest.raises(TimedOut, match="did not reach"):
        await models.wait_for(ahead, bank.projection, timeout_s=0.1)


async def test_waits_past_undecodable(runs, log, ledger):
    """A token is reached although the record after it in the log can't be read."""
    models = ReadModels(runs.engine, app, kafka=runs.kafka)
    made = ledger.move("account-1")
    await log.write_raw(("account-1", made.document()), ("account-1", b"nothing"))
    async with runs.worker(app):
        await models.wait_for(made.token, bank.projection, timeout_s=60)


async def test_session_needs_live(runs):
    """A session before the first generation says what to start."""
    with pytest.raises(PreconditionFailed, match="projections run"):
        async with ReadModels(runs.engine, app, kafka=runs.kafka).session():
            pass


async def test_session_is_read_only(runs, log, ledger):
    """A session keeps its generation across a swap, and refuses to write."""
    await log.write(ledger.some(50))
    await runs.serve(app)
    models = ReadModels(runs.engine, app, kafka=runs.kafka)
    total = sa.select(sa.func.sum(bank.balance.table.c.cents))
    async with models.session() as session:
        before = await session.scalar(total)
        assert (await runs.rebuild(release=2)).code == 0
        assert await session.scalar(total) == before == sum(e["cents"] for e in expect(ledger.events)["balance"].values())
        with pytest.raises(sa.exc.DBAPIError, match="read-only"):
            await session.execute(sa.delete(bank.balance.table))
    async with models.session() as session:
        assert await session.scalar(total) != before
        assert session.info["generations"]["bank"].number == 2


def _sheet(table, *, complete):
    from projections.fold.sheet import Sheet

    return Sheet(table, complete=complete)


async def _load(connection, model, table, keys):
    sheet = _sheet(table, complete=False)
    await model.load(connection, sheet, list(keys))
    return sheet.rows


def _made(engine, projection, schema):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def made():
        async with engine.begin() as transaction:
            await create_tables(transaction, projection, schema)
            await create_indexes(transaction, projection, schema)
        async with checkout(engine) as connection:
            yield connection, ReadModel(projection, schema)
        async with engine.begin() as transaction:
            await drop_schema(transaction, schema)

    return made()
