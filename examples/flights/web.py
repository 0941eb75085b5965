"""The web app: five JSON addresses and one plain page, all read from the live generations.

Run it with `uvicorn examples.flights.web:app`. Every answer says which generation of which projection it was read from, and
all rows of one answer come from one snapshot, whatever is swapped meanwhile. `?token=` waits until that write is in the board.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import date
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from eventstore.codec import encode
from eventstore.errors import PreconditionFailed, TimedOut
from eventstore.postgres import open_engine
from eventstore.stream import Token
from examples.flights import queries
from examples.flights.departures import board
from examples.flights.release1 import app as projections
from projections.serving import ReadModels

NEW_YORK = ZoneInfo("America/New_York")
PAGE = """<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="2"><title>Departures {origin}</title>
<style>body{{font:16px/1.4 monospace;margin:2rem}}td,th{{padding:0 1rem 0 0;text-align:left}}</style>
<h1>Departures {origin}, {day}</h1><table><tr><th>planned<th>flight<th>to<th>airline<th>status</tr>
{rows}</table>"""


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None]:
    engine = open_engine(application="flights web")
    app.state.read_models = ReadModels(engine, projections)
    try:
        yield
    finally:
        await engine.dispose()


async def show_board(request: Request) -> Response:
    """Show one airport's board of one day as a page that refreshes itself."""
    origin, day = _origin(request), _day(request)
    _, rows = await _read(request, queries.departures_of(origin, day))
    lines = "\n".join(_line(row) for row in rows)
    return HTMLResponse(PAGE.format(origin=escape(origin), day=day, rows=lines))


async def list_departures(request: Request) -> Response:
    """Give the same board as JSON."""
    return await _answer(request, queries.departures_of(_origin(request), _day(request)))


async def list_routes(request: Request) -> Response:
    """Give punctuality by airline and route: `?carrier=`, `?origin=`."""
    given = request.query_params
    return await _answer(request, queries.routes_of(given.get("carrier"), given.get("origin")))


async def sum_routes(request: Request) -> Response:
    """Give punctuality summed over all routes."""
    return await _answer(request, queries.punctuality_totals())


async def list_delays(request: Request) -> Response:
    """Give delays by hour with the weather: `?origin=`, `?day=`."""
    return await _answer(request, queries.delays_of(_origin(request), _day(request)))


async def list_aircraft(request: Request) -> Response:
    """Give the busiest aircraft, or the one in the path."""
    return await _answer(request, queries.aircraft_of(request.path_params.get("tail")))


async def _answer(request: Request, query: queries.Query) -> Response:
    generations, rows = await _read(request, query)
    return _json({"generations": generations, "rows": rows})


async def _read(request: Request, query: queries.Query) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    read_models: ReadModels = request.app.state.read_models
    token = request.query_params.get("token")
    if token:
        await read_models.wait_for(Token.parse(token), board)
    async with read_models.session() as session:
        found: Any = await session.execute(query)
        rows: list[dict[str, Any]] = [dict(row) for row in found.mappings()]
        live = session.info["generations"]
    return {name: {"generation": each.number, "version": each.version} for name, each in live.items()}, rows


def _origin(request: Request) -> str:
    return request.query_params.get("origin", "JFK")


def _day(request: Request) -> date:
    return date.fromisoformat(request.query_params.get("day", "2013-12-31"))


def _line(row: dict[str, Any]) -> str:
    planned = row["scheduled_departure"].astimezone(NEW_YORK)
    late = f" {row['departure_delay']:+} min" if row["departure_delay"] else ""
    to, airline = row["destination"] or row["dest"], row["airline"] or row["carrier"]
    cells = (f"{planned:%H:%M}", f"{row['carrier']} {row['number']}", to, airline, f"{row['status']}{late}")
    return f"<tr>{''.join(f'<td>{escape(cell)}' for cell in cells)}</tr>"


def _json(facts: object, status: int = 200) -> Response:
    return Response(encode(facts), status, media_type="application/json")


async def _bad_request(_request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


async def _unavailable(_request: Request, error: Exception) -> Response:
    return _json({"error": str(error)}, 503)


app = Starlette(
    routes=[
        Route("/", show_board),
        Route("/departures", list_departures),
        Route("/punctuality", list_routes),
        Route("/punctuality/total", sum_routes),
        Route("/delays", list_delays),
        Route("/aircraft", list_aircraft),
        Route("/aircraft/{tail}", list_aircraft),
    ],
    exception_handlers={ValueError: _bad_request, PreconditionFailed: _unavailable, TimedOut: _unavailable},
    lifespan=_lifespan,
)
