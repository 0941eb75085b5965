"""Tenants: streams by name, rows under row-level security, for logins that are no superusers."""

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from pydantic import SecretStr

import replay.cli
from eventstore import (
    Append,
    ConditionFailed,
    Decider,
    FailIf,
    NewEvent,
    PostgresSettings,
    Query,
    QueryItem,
    Repository,
    event,
)
from eventstore.errors import UsageError
from eventstore.postgres import PostgresEventStore, checkout, open_engine
from eventstore.relay.relay import Relay
from projections import Projection, Projections
from projections.serving import ReadModels
from tests.stack.waiting import eventually

NAME = __name__
LOGIN = "refold_test_{}"


@event("tenants-test-ordered")
class Ordered:
    customer: str
    cents: int


@dataclass(slots=True)
class Total:
    tenant: str
    customer: str
    cents: int = 0


@dataclass(slots=True)
class Order:
    tenant: str
    order: str
    cents: int = 0


bank = Projection("bank")
totals = bank.table(Total, key="customer", tenant="tenant")
orders = bank.table(Order, key="order", tenant="tenant")


@totals.on(Ordered, key=lambda event: event.customer)
def add(event, row, envelope):
    row = row or Total(envelope.tenant, event.customer)
    row.cents += event.cents
    return row


@orders.on(Ordered)
def place(event, row, envelope):
    return Order("evil" if event.customer == "mixed up" else envelope.tenant, envelope.stream.partition("/")[2], event.cents)


app = Projections(bank)
ALL = ("acme", "globex")


@pytest.fixture
async def store(engine):
    async with PostgresEventStore.open(engine=engine) as store:
        yield store


@pytest.fixture
def logins(postgres_dsn):
    """Make logins of the five duties for this database's tests, none of them a superuser."""
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        roles = dict(connection.execute("SELECT name, role FROM eventstore.duty").fetchall())
        for duty in ("projector", "reader"):
            login = sql.Identifier(LOGIN.format(duty))
            with suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                role = sql.Identifier(roles[duty])
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x' IN ROLE {}").format(login, role))
        connection.execute("SELECT eventstore.settle_roles_v1()")  # a copied database has no grants of its own
    return {duty: _as(postgres_dsn, LOGIN.format(duty)) for duty in ("projector", "reader")}


def _as(dsn: str, login: str) -> str:
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}:x@{host}"))


@asynccontextmanager
async def opened(dsn):
    engine = open_engine(PostgresSettings(dsn=SecretStr(dsn), pool_size=20))
    try:
        yield engine
    finally:
        await engine.dispose()


async def readable(store, events):
    """Wait until no transaction of another database holds these events back."""

    async def there() -> bool:
        return await store.count() >= events

    await eventually(there, f"{events} readable events")


async def fill(store, runs, count=3):
    for number in range(count):
        for tenant in ALL:
            await store.tenant(tenant).append(f"order-{number}", [Ordered("ada", number + (1 if tenant == "acme" else 1000))])
    await readable(store, (await runs.query("SELECT count(*) AS n FROM eventstore.event"))[0]["n"])
    await Relay(store.engine, runs.kafka).drain()


async def test_names(store):
    """A tenant's store adds the tenant to names, takes full names of its own, refuses others', and reads nothing of others."""
    acme, globex = (store.tenant(each) for each in ALL)
    token = await acme.append("order-1", [Ordered("ada", 1)])
    await globex.append("order-1", [Ordered("bob", 2)])
    assert token.stream == "@acme/order-1"
    await acme.append(token.stream, [Ordered("ada", 3)], expected=1)
    assert [each.data.cents async for each in acme.read_stream("order-1")] == [1, 3]
    for stream in ("@globex/order-1", "@acme", "@"):
        with pytest.raises(UsageError, match="not of tenant"):
            await acme.append(stream, [Ordered("eve", 1)])
        with pytest.raises(UsageError, match="not of tenant"):
            _ = [each async for each in acme.read_stream(stream)]
    for name in ("", "*", "a/b", "@x", "A", "a" * 64):
        with pytest.raises(UsageError, match="tenant"):
            store.tenant(name)
    await readable(store, 3)
    assert [(each.tenant, each.data.cents) async for each in globex.read_all()] == [("globex", 2)]
    assert len([each async for each in store.read_all()]) == 3


async def test_rules_of_one_tenant(store):
    """Tags and conditions of different tenants never meet, a decider works within one, and a query without a tag is refused."""
    acme, globex = (store.tenant(each) for each in ALL)
    rule = Query(QueryItem(tags=["seat:7"]))
    first = FailIf(rule)
    taken = NewEvent(Ordered("ada", 7), tags=["seat:7"])
    await acme.append("order-1", [taken], condition=first)
    token = await globex.append("order-1", [replace(taken, id=uuid4())], condition=first)
    with pytest.raises(ConditionFailed):
        await acme.append("order-2", [Ordered("eve", 1)], condition=first)
    found = await globex.read(rule)
    assert [(each.stream, each.tags) for each in found.events] == [("@globex/order-1", {"@globex/seat:7"})]
    assert await globex.find(found.events[0].id) == ("@globex/order-1", 1)
    assert await acme.find(found.events[0].id) is None
    tokens = await globex.append_all([Append("a", [Ordered("ada", 1)]), Append("b", [Ordered("ada", 2)])])
    assert [each.stream for each in tokens] == ["@globex/a", "@globex/b"]
    for query in (Query(), Query(QueryItem(types=[Ordered]))):
        with pytest.raises(UsageError, match="needs a tag"):
            await acme.read(query)
    with pytest.raises(UsageError, match="not of tenant"):
        await acme.read(Query(QueryItem(tags=["@globex/seat:7"])))
    spent = Decider(int, lambda cents, event: cents + event.cents, lambda command, cents: [Ordered("ada", command - cents)])
    assert (await Repository(globex, spent).handle("order-1", 10)).state == 10
    assert token.stream == "@globex/order-1"


async def test_rows_of_one_tenant(store, runs, log, logins, kafka):
    """A worker that is no superuser writes the rows of all; a reader sees those of the tenant it acts for, by session, view and SQL."""
    await fill(store, runs)
    async with opened(logins["projector"]) as workers, runs.worker(app, workers):
        await runs.current()
    assert (await runs.query("SELECT count(*) AS n FROM projections.parked"))[0]["n"] == 0
    live = await runs.live()
    async with opened(logins["reader"]) as readers:
        models = ReadModels(readers, app, kafka=kafka)
        for tenant, cents in (("acme", 6), ("globex", 3003)):
            async with models.session(tenant=tenant) as session:
                assert (await session.execute(sa.select(totals.table))).all() == [(tenant, "ada", cents)]
                await session.rollback()
                assert await session.scalar(sa.select(sa.func.count()).select_from(orders.table)) == 3
        with pytest.raises(UsageError, match="session\\(tenant"):
            async with models.session():
                pass
        with pytest.raises(UsageError):
            async with models.session(tenant="*"):
                pass
        async with checkout(readers) as psql:
            for acting, rows in (("", 0), ("*", 0), ("acme", 1)):
                await psql.execute("SELECT set_config('refold.tenant', %s, false)", (acting,))
                assert await (await psql.execute(f"SELECT count(*) FROM {live.schema_name}.total")).fetchone() == (rows,)


async def test_superuser_session(store, runs, engine, log, logins, kafka):
    """A session of a login that policies don't hold for acts as a reader, so that a tenant's session never shows more."""
    await fill(store, runs)
    await runs.serve(app)
    models = ReadModels(engine, app, kafka=kafka)
    async with models.session(tenant="acme") as session:
        assert {each.tenant for each in (await session.execute(sa.select(orders.table))).all()} == {"acme"}
    async with models.session(every_tenant=True) as session:
        assert {each.tenant for each in (await session.execute(sa.select(orders.table))).all()} == set(ALL)


async def test_no_foreign_row_ever(store, runs, log, logins, kafka, monkeypatch):
    """While generations are rebuilt, swapped and rolled back, no read of a tenant shows a row of another, and none is empty."""
    await fill(store, runs)
    seen, stopping = dict.fromkeys(ALL, 0), asyncio.Event()

    async def read(models, tenant):
        while not stopping.is_set():
            async with models.session(tenant=tenant) as session:
                rows = (await session.execute(sa.select(orders.table.c.tenant, sa.func.count()).group_by(sa.text("1")))).all()
            assert rows == [(tenant, 3)], rows
            seen[tenant] += 1

    monkeypatch.setenv("REFOLD_POSTGRES_DSN", logins["projector"])
    flags = ("--projection", "bank", "--from-beginning", "--app", f"{NAME}:app", "--json")
    async with opened(logins["projector"]) as workers, opened(logins["reader"]) as readers, runs.worker(app, workers):
        await runs.current()
        models = ReadModels(readers, app, kafka=kafka)
        reading = [asyncio.create_task(read(models, tenant)) for tenant in ALL]
        for _ in range(2):
            done = await runs.program(replay.cli.main, *flags)
            assert done.code == 0, done.err
            assert done.facts["verification"]["equal"] is True
        back = await runs.program(replay.cli.main, "rollback", "--projection", "bank", "--json")
        assert back.code == 0, back.err

        async def enough() -> bool:
            return min(seen.values()) >= 20 or any(each.done() for each in reading)

        await eventually(enough, "20 reads a tenant")
        stopping.set()
        await asyncio.gather(*reading)
    live = await runs.live()
    guarded = await runs.query(
        "SELECT relrowsecurity AND relforcerowsecurity AS yes FROM pg_class WHERE oid = %s::regclass", f"{live.schema_name}.order"
    )
    assert guarded == [{"yes": True}]
    async with opened(logins["reader"]) as readers, checkout(readers) as psql:
        count = 'SELECT count(*) FROM bank."order"'
        assert (await (await psql.execute(count)).fetchone())[0] == 0
        await psql.execute("SELECT set_config('refold.tenant', 'globex', false)")
        assert (await (await psql.execute(count)).fetchone())[0] == 3


async def test_no_foreign_write(store, runs, log):
    """A handler that names another tenant is parked, as is an event of no tenant; everything else goes on."""
    await store.tenant("acme").append("order-1", [Ordered("mixed up", 5)])
    await store.append("order-2", [Ordered("nobody", 5)])
    await fill(store, runs, 1)
    await runs.serve(app)
    parked = {each["key"]: each["reason"] for each in await runs.parked()}
    assert set(parked) == {"@acme/order-1", "order-2"}
    assert "under key ('evil', 'order-1')" in parked["@acme/order-1"]
    assert "of no tenant" in parked["order-2"]
    live = await runs.live()
    assert len(await runs.query(f"SELECT * FROM {live.schema_name}.total")) == 2


async def test_bound_role(store, runs, logins, postgres_dsn):
    """A login that is bound to a tenant reads its events only, whatever it sets."""
    for tenant in ALL:
        await store.tenant(tenant).append("order-1", [Ordered("ada", 1)])
    for tenant in ("globex", "acme"):
        await runs.query("SELECT eventstore.bind_role_v1(%s, %s)", LOGIN.format("reader"), tenant)
    async with opened(logins["reader"]) as readers, checkout(readers) as psql:
        for setting in ("", "globex", "*"):
            await psql.execute("SELECT set_config('refold.tenant', %s, false)", (setting,))
            for query in ("SELECT stream FROM eventstore.event", "SELECT name FROM eventstore.stream"):
                assert await (await psql.execute(query)).fetchall() == [("@acme/order-1",)]
            assert await (await psql.execute("SELECT eventstore.tenant_v1()")).fetchone() == ("acme",)
    await runs.query("SELECT eventstore.unbind_role_v1(%s)", LOGIN.format("reader"))
    async with opened(logins["reader"]) as readers, checkout(readers) as psql:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await psql.execute("SELECT stream FROM eventstore.event")


async def test_policies_cost_nothing(store):
    """Who is bound to no tenant reads events by plans without a trace of a policy."""
    async with checkout(store.engine) as connection:
        role = (await (await connection.execute("SELECT role FROM eventstore.duty WHERE name = 'relay'")).fetchone())[0]
        await connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        plan = await (await connection.execute("EXPLAIN (COSTS OFF) SELECT * FROM eventstore.event")).fetchall()
        await connection.execute("RESET ROLE")
    assert plan == [("Seq Scan on event",)]
