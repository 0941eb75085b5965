"""The public face as an application uses it. Never run: pyright must accept every line (tests/architecture/test_typing.py)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, assert_type

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.types import ASGIApp

from cdc import UNCHANGED, CapturedTable, Change, Infinity, Interval, Modes, Range
from cdc.avro import AvroTable
from cdc.change import Op
from cdc.feed import ChangeFeed, FeedSettings, Offer
from cdc.translate import Translation, Translations
from eventstore import (
    ANY_VERSION,
    NO_STREAM,
    REDACTED,
    SEALED,
    START,
    STREAM_EXISTS,
    Append,
    ConditionFailed,
    Decider,
    DuplicateEvent,
    Envelope,
    Events,
    EventStore,
    FailIf,
    ForgottenSubject,
    Found,
    Handled,
    Inquiry,
    KafkaSettings,
    Loaded,
    Marker,
    NewEvent,
    Personal,
    Position,
    PostgresSettings,
    PrivacySettings,
    ProcessSettings,
    Query,
    QueryItem,
    RawEvent,
    Redacted,
    RefoldError,
    RelaySettings,
    Repository,
    Subject,
    SubjectForgotten,
    Token,
    UnknownEvent,
    WrongExpectedVersion,
    event,
    is_redacted,
    registry,
    upcast,
)
from eventstore.postgres import Agenda, PostgresEventStore, PostgresSnapshots, checkout, load, open_engine
from eventstore.process import Call, Cancel, Complete, Effect, Process, Processes, Record, Schedule, Send, command
from eventstore.relay import Relay
from eventstore.schema import (
    Break,
    Recorded,
    Step,
    Verdict,
    check_history,
    convert,
    defaults,
    drop,
    merge,
    move,
    rename,
    split,
    within,
)
from eventstore.snapshot import either, every, slower
from eventstore.testing import Clock, MemoryEventStore, MemorySnapshots, given_for
from projections import (
    Aggregate,
    Attempt,
    Count,
    Day,
    Distinct,
    First,
    Hour,
    Last,
    Max,
    Min,
    Month,
    Postgres,
    Projection,
    Projections,
    Search,
    Sink,
    Sum,
    Table,
    Valkey,
)
from projections.serving import ReadModels, Sinks, as_of
from tests.typing.shop_rows import PUBLIC_ORDER, PublicOrder


@event("order-placed", version=2)
class OrderPlaced:
    customer: str
    cents: int
    currency: str = "EUR"


@event("order-noted")
@dataclass(frozen=True)
class OrderNoted:
    text: str


@upcast("order-placed", version=1)
def add_currency(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "currency": "EUR"}


@dataclass(slots=True)
class Revenue:
    customer: str
    cents: int = 0


revenue = Projection("revenue", version=2)
totals = revenue.table(Revenue, key="customer", indexes=[["cents"]])
customers = CapturedTable("crm", "public.customers", full=True, modes=Modes())
translation = Translation("customers", customers, stream="customer-{id}")
translations = Translations(translation)
in_avro = AvroTable("crm", "public.orders", framing="apicurio")
changes: ASGIApp = ChangeFeed(Offer(customers, hidden=("email",), tenant="firm"), settings=FeedSettings(heartbeat_s=5))


@translation.on("c", "u")
def translate(change: Change) -> OrderNoted | None:
    return None if change.after is None else OrderNoted(change.after["name"])


@totals.on_change(PUBLIC_ORDER, key=lambda change: str(change.key[0]))
def add_order(change: Change[PublicOrder], row: Revenue | None) -> Revenue | None:
    order = change.after
    return None if order is None else Revenue(str(order["id"]), int((order["total"] or 0) * 100))


@totals.on(OrderPlaced, key=lambda placed: placed.customer)
def add(placed: OrderPlaced, row: Revenue | None) -> Revenue:
    row = row or Revenue(placed.customer)
    row.cents += placed.cents
    return row


statements = Projection("statements")


@statements.effect(OrderPlaced, begin="beginning")
async def thank(placed: OrderPlaced, attempt: Attempt) -> str:
    assert_type(attempt.key, str)
    assert_type(attempt.number, int)
    return f"{placed.customer} {attempt.envelope.stream}"


@totals.on(OrderNoted)
def note(noted: OrderNoted, row: Revenue | None, envelope: Envelope[OrderNoted]) -> Revenue | None:
    assert_type(envelope.recorded_at, datetime)
    assert_type(envelope.data, OrderNoted)
    return row if noted.text else None


@totals.on_change(customers)
def relabel(change: Change, row: Revenue | None) -> Revenue | None:
    assert_type(change.op, Op)
    return None if change.after is None or change.after["name"] is UNCHANGED else row


@revenue.check
def no_debts() -> sa.Select[Any]:
    return sa.select(totals.table).where(totals.table.c.cents < 0)


app = Projections(revenue)


async def write(settings: PostgresSettings) -> Token:
    async with PostgresEventStore.open(settings) as store:
        protocol: EventStore = store
        try:
            token = await protocol.append("order-1", [OrderPlaced("ada", 4_200)], expected=NO_STREAM)
        except (WrongExpectedVersion, DuplicateEvent, UnknownEvent) as error:
            assert_type(error.exit_code, int)
            raise RefoldError("not recorded", stream="order-1") from error
        await store.append(
            "order-1", [NewEvent(OrderNoted("paid")), RawEvent("order-noted", {"text": ""})], expected=STREAM_EXISTS
        )
        await store.append("order-1", [OrderNoted("again")], expected=token.version)
        async with checkout(store.engine) as connection:
            await store.append("order-1", [OrderNoted("mine")], expected=ANY_VERSION, connection=connection)
            await connection.execute(load("eventstore.postgres", "head"))
        found: AsyncIterator[Envelope[Any]] = store.read_all(START, limit=10)
        async for envelope in found:
            assert_type(envelope.position, Position)
            assert_type(envelope.token, Token)
        return token


@event("seat-taken", tags=lambda taken: {f"show:{taken.show}", f"guest:{taken.guest}"})
class SeatTaken:
    show: int
    guest: str


async def take_seat(store: EventStore, show: int, guest: str) -> list[Token]:
    query = Query(QueryItem(types=[SeatTaken, "seat-freed"], tags=[f"show:{show}"]), QueryItem(tags=(f"guest:{guest}",)))
    found = await store.read(query, limit=100, newest=True)
    assert_type(found, Found)
    assert_type(found.events[0].tags, frozenset[str])
    taken = NewEvent(SeatTaken(show, guest), tags={"season:1"})
    condition = FailIf(query, after=Marker(str(found.marker)))
    try:
        await store.append(f"seat-{show}", [taken], condition=condition)
    except ConditionFailed as error:
        assert_type(error.facts, dict[str, Any])
    return await store.append_all([Append("a", [taken], expected=NO_STREAM), Append("b", [OrderNoted("")])], condition=condition)


async def read(token: Token) -> int | None:
    engine = open_engine(application="shop")
    models = ReadModels(engine, app, kafka=KafkaSettings())
    await models.wait_for(token, revenue, timeout_s=5)
    async with models.session() as session:
        return await session.scalar(sa.select(totals.table.c.cents).where(totals.table.c.customer == "ada"))


@event("guest-registered")
class GuestRegistered:
    guest: Subject[str]
    name: Personal[str]
    born: Personal[date | None] = None


@dataclass(slots=True)
class Guest:
    tenant: str
    guest: str
    name: str
    born: date | None


guests = Projection("guests")
book = guests.table(Guest, key="guest", tenant="tenant")


@book.on(GuestRegistered, key=lambda registered: registered.guest)
def enter(registered: GuestRegistered, row: Guest | None, envelope: Envelope[GuestRegistered]) -> Guest:
    born = None if is_redacted(registered.born) else registered.born
    return Guest(envelope.tenant or "", registered.guest, registered.name, born)


@book.on(SubjectForgotten)
def blank(forgotten: SubjectForgotten, row: Guest | None) -> Guest | None:
    if row:
        row.name, row.born = REDACTED, None
    return row


def look_back(at: datetime) -> sa.Select[Any]:
    then = as_of(totals, sa.literal(at))
    return sa.select(then.c.cents)


async def welcome(store: PostgresEventStore, models: ReadModels, name: str) -> Guest | None:
    acme = store.tenant("acme")
    try:
        await acme.append("guest-1", [GuestRegistered("g-1", name, date(2000, 1, 1))])
    except ForgottenSubject as error:
        assert_type(error.exit_code, int)
    async with models.session(tenant=acme.name) as session:
        found = (await session.execute(sa.select(book.table))).one()
    return None if found.name == SEALED else Guest(*found)


def privacy() -> tuple[type[PrivacySettings], type[Redacted]]:
    return PrivacySettings, Redacted


def others() -> tuple[Events, type[Relay], type[RelaySettings], type[Table[Any]], type[Range], type[Interval], type[Infinity]]:
    return registry, Relay, RelaySettings, Table, Range, Interval, Infinity


def halves(name: str) -> tuple[str, str]:
    return name, name


def upcasters() -> list[Verdict]:
    step: Step = rename(qty="quantity") | defaults(currency="EUR") | drop("legacy") | move("zip", "address.zip")
    step = step | convert("cents", by=str) | split("name", into=("first", "last"), by=halves)
    upcast("order-noted", version=1)(step | within("lines", merge("a", "b", into="c", by=max)))
    verdicts = check_history(registry, [Recorded("order-noted", 1, {"type": "object"})])
    breaks: list[Break] = [each for verdict in verdicts for each in verdict.breaks]
    return verdicts if breaks else []


@command("place-order")
class PlaceOrder:
    customer: str
    cents: int


@command("order-overdue")
class OrderOverdue:
    pass


@dataclass(frozen=True)
class Order:
    cents: int = 0


OrderEvent = OrderPlaced | OrderNoted


def evolve(order: Order, happened: OrderEvent) -> Order:
    return Order(happened.cents) if isinstance(happened, OrderPlaced) else order


def decide(wanted: PlaceOrder, order: Order) -> list[OrderEvent]:
    return [] if order.cents else [OrderPlaced(wanted.customer, wanted.cents)]


def react(state: Order, happened: OrderEvent | OrderOverdue) -> list[Effect]:
    if isinstance(happened, OrderPlaced):
        return [
            Schedule("overdue", OrderOverdue(), after=timedelta(days=1)),
            Send("order-2", PlaceOrder(happened.customer, state.cents)),
            Record("order-3", OrderNoted("placed")),
            Call("mail", {"to": happened.customer}, at_most_once=True),
        ]
    return [Cancel("overdue"), Complete()]


def remember(state: Order, happened: OrderEvent | OrderOverdue) -> Order:
    return state if isinstance(happened, OrderOverdue) else evolve(state, happened)


def begin(instance: str) -> Order:
    return Order(len(instance))


orders = Decider(Order, evolve, decide)
chain: Process[OrderEvent | OrderOverdue, Order] = Process("chain", begin, remember, react, events=[OrderPlaced, OrderNoted])
program = Processes(chain)
program.route(orders, PlaceOrder)


async def place(store: PostgresEventStore) -> None:
    policy = either(every(100), slower(0.1))
    async with Repository(store, orders, snapshots=PostgresSnapshots(store.engine), policy=policy) as repository:
        handled = await repository.handle("order-1", PlaceOrder("ada", 5), expected=0)
        assert_type(handled, Handled[OrderEvent, Order])
        assert_type(await repository.load("order-1", version=1), Loaded[Order])
    over = await Inquiry(store, orders).handle(Query(QueryItem((OrderPlaced,))), PlaceOrder("ada", 5), stream="order-4")
    assert_type(over.state, Order)
    task_id = await Agenda(store.engine).send("order-1", PlaceOrder("ada", 5), after=timedelta(hours=1))
    assert_type(await Agenda(store.engine).cancel(task_id), bool)


async def rehearse() -> type[ProcessSettings]:
    clock = Clock()
    repository = Repository(MemoryEventStore(clock), orders, snapshots=MemorySnapshots())
    await repository.handle("order-1", PlaceOrder("ada", 5))
    given_for(orders)().when(PlaceOrder("ada", 5)).then(OrderPlaced("ada", 5))
    return ProcessSettings


def declare_aggregates(projection: Projection) -> Table[Any]:
    sold: Aggregate = Count()
    keys = {"day": Day("at"), "month": Month("at"), "hour": Hour("at")}
    projection.aggregate(OrderPlaced, by=keys, name="times", sold=sold, first=First("cents"), last=Last("cents"))
    return projection.aggregate(
        OrderPlaced, by="customer", name="totals", cents=Sum("cents"), least=Min("cents"), most=Max("cents"), n=Distinct("cents")
    )


def declare_sinks(projection: Projection) -> tuple[Sink[Revenue, Valkey], Sink[Revenue, Search], Sink[Revenue, Postgres]]:
    table = projection.table(Revenue, key="customer", name="kept")
    return table.into(Valkey(ranked=["cents"])), table.into(Search(text=["customer"])), table.into(Postgres())


async def read_sinks(sinks: Sinks, cache: Sink[Revenue, Valkey], index: Sink[Revenue, Search], session: AsyncSession) -> None:
    assert_type(await (await sinks.read(cache, session)).get("ada"), Revenue | None)
    assert_type((await (await sinks.read(index)).find("ada", limit=5)).rows, list[Revenue])
