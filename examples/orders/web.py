"""The shop as a web app: `uvicorn examples.orders.web:app`.

Each request reads one generation of each read model, wherever its rows are, and a browser that wrote sees its own writes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from eventstore.codec import encode
from eventstore.postgres import PostgresEventStore, open_engine
from eventstore.repository import Repository
from examples.orders.ordering import OrderCommand, Receive, Refused, Ship, orders
from examples.orders.read_models import app as projections
from examples.orders.read_models import customer_cache, order_search, revenue
from projections.serving import ReadModels, Sinks
from projections.web import Policy, ReadModelMiddleware, note_write, read_session

RECEIVE = TypeAdapter(Receive)
engine = open_engine(application="shop")
sinks = Sinks(engine)


async def receive(request: Request) -> Response:
    """Take an order in. What is no order is refused here: an event stays for ever."""
    try:
        wanted = RECEIVE.validate_json(await request.body(), strict=True)
    except ValidationError as error:
        return _answer({"error": error.errors(include_url=False, include_input=False)}, 422)
    return await _record(request, wanted)


async def ship(request: Request) -> Response:
    """Ship an order."""
    return await _record(request, Ship())


async def search(request: Request) -> Response:
    """Find orders: `/orders?q=kettle status:open`."""
    index = await sinks.read(order_search, await read_session(request))
    found = await index.find(request.query_params.get("q", ""), order="cents")
    return _answer({"total": found.total, "orders": [asdict(each) for each in found.rows]})


async def list_customers(request: Request) -> Response:
    """Give the best customers."""
    cache = await sinks.read(customer_cache, await read_session(request))
    return _answer([asdict(each) for each in await cache.ranked("cents", 10)])


async def show_customer(request: Request) -> Response:
    """Give one customer, by a single look-up in Valkey."""
    cache = await sinks.read(customer_cache, await read_session(request))
    found = await cache.get(request.path_params["name"])
    return _answer(asdict(found)) if found else _answer({"error": "no such customer"}, 404)


async def list_revenue(request: Request) -> Response:
    """Give the revenue of each country, by SQL."""
    session = await read_session(request)
    rows = await session.execute(sa.select(revenue.table).order_by("country"))
    return _answer([dict(each) for each in rows.mappings()])


async def _record(request: Request, wanted: OrderCommand) -> Response:
    async with PostgresEventStore.open(engine=engine) as store:
        try:
            handled = await Repository(store, orders).handle(request.path_params["order"], wanted)
        except Refused as error:
            return _answer({"error": str(error)}, 409)
    if handled.token:
        note_write(request, handled.token)
    return _answer({"status": handled.state, "version": handled.version}, 201)


def _answer(content: Any, status: int = 200) -> Response:
    return Response(encode(content), status, media_type="application/json")


@asynccontextmanager
async def _lifespan(_: Starlette) -> AsyncGenerator[None]:
    async with sinks:
        yield
    await engine.dispose()


app = Starlette(
    routes=[
        Route("/orders", search),
        Route("/orders/{order}", receive, methods=["PUT"]),
        Route("/orders/{order}/shipment", ship, methods=["PUT"]),
        Route("/customers", list_customers),
        Route("/customers/{name}", show_customer),
        Route("/revenue", list_revenue),
    ],
    middleware=[Middleware(ReadModelMiddleware, models=ReadModels(engine, projections), policy=Policy(release="1"))],
    lifespan=_lifespan,
)
