"""Mistakes that a type checker must find: every line marked `# refused` and no other (tests/architecture/test_typing.py)."""

from dataclasses import dataclass
from datetime import date
from typing import assert_type

from cdc import Change
from eventstore import NO_STREAM, Decider, Personal, Query, QueryItem, Repository, event
from eventstore.postgres import PostgresEventStore, checkout
from projections import Projection
from tests.typing.shop_rows import PublicOrder


@event("parcel-sent")
class ParcelSent:
    to: str
    grams: int


@dataclass(slots=True)
class Weight:
    to: str
    grams: int = 0


ParcelSent("ada", "heavy")  # refused
ParcelSent("ada")  # refused
sent = ParcelSent("ada", 5)
sent.grams = 6  # refused
parcels = Projection("parcels", version="2")  # refused
weights = parcels.table(Weight, "to")  # refused


@event("parcel-received")
class ParcelReceived:
    by: Personal[str]
    born: Personal[date]


def age(received: ParcelReceived) -> int:
    assert_type(len(received.by), int)
    return received.born.year  # refused


async def append(store: PostgresEventStore, name: str) -> None:
    await store.append("parcel-1", sent, expected=NO_STREAM)  # refused
    await store.append("parcel-1", [sent], NO_STREAM)  # refused
    await store.append("parcel-1", [sent], condition=Query())  # refused
    await store.append_all([("parcel-1", [sent])])  # refused
    await store.read(QueryItem(tags=("parcel:1",)))  # refused
    async with checkout(store.engine) as connection:
        await connection.execute(f"SELECT * FROM {name}")  # refused


def add_weight(grams: int, happened: ParcelSent) -> int:
    return grams + happened.grams


def weigh(wanted: str, grams: int) -> list[ParcelSent]:
    return [ParcelSent(wanted, grams)]


def weigh_badly(wanted: str, grams: str) -> list[ParcelSent]:
    return [ParcelSent(wanted, len(grams))]


scales = Decider(int, add_weight, weigh)
Decider(int, add_weight, weigh_badly)  # refused


async def handle(store: PostgresEventStore) -> None:
    repository = Repository(store, scales)
    await repository.handle("parcel-1", 5)  # refused
    (await repository.handle("parcel-1", "ada")).state.upper()  # refused


def read_total(change: Change[PublicOrder]) -> int:
    assert change.after is not None
    return change.after["total"]  # refused


def read_note(change: Change[PublicOrder]) -> str:
    assert change.after is not None
    return change.after["note"] or change.after["colour"]  # refused
