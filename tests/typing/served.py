"""The public face of read models in web apps. Never run: pyright must accept every line (tests/architecture/test_typing.py)."""

from dataclasses import dataclass
from typing import Any, assert_type

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import ASGIApp

from eventstore import event
from eventstore.postgres import PostgresEventStore
from projections import Projection
from projections.serving import Bookmark, ReadModels
from projections.web import Policy, Reading, ReadModelMiddleware, everybody, nobody, note_write, read_session, reading


@event("guest-arrived")
class GuestArrived:
    name: str


@dataclass(slots=True)
class Arrival:
    name: str
    times: int = 0


guests = Projection("arrivals")
book = guests.table(Arrival, key="name")


@book.on(GuestArrived, key=lambda arrived: arrived.name)
def arrive(arrived: GuestArrived, row: Arrival | None) -> Arrival:
    row = row or Arrival(arrived.name)
    row.times += 1
    return row


read_book = reading(guests, stale=True)
assert_type(read_book, Reading)


async def list_guests(request: Request, store: PostgresEventStore, models: ReadModels) -> list[Any]:
    token = await store.append("guest-2", [GuestArrived("ada")])
    note_write(request, token)
    mark = assert_type(await models.bookmark(token), Bookmark)
    await models.reach(mark | Bookmark.parse(str(mark)), timeout_s=1)
    assert_type(await read_book(request), AsyncSession)
    session = await read_session(request)
    return list((await session.execute(sa.select(book.table))).all())


def serve(models: ReadModels) -> ASGIApp:
    policy = Policy(tenant=lambda request: request.headers.get("x-tenant"), as_of=everybody, preview=nobody, release="r1")
    return ReadModelMiddleware(Starlette(), models, policy)
