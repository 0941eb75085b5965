"""The bank's web app: what a Starlette app does with the read models, and two addresses that wait inside of a request."""

import asyncio
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from eventstore.errors import PreconditionFailed, WrongExpectedVersion
from eventstore.stream import Token
from projections.serving import ReadModels
from projections.settings import WebSettings
from projections.web import Policy, ReadModelMiddleware, note_write, read_session, reading
from tests.bank.release1 import bank

BALANCE, KINDS = bank.balance.table, bank.kinds.table
read_late = reading(bank.projection, stale=True)
read_always = reading(conditional=False)


async def total(session: AsyncSession) -> dict[str, Any]:
    """Sum the balances, and say where they were read."""
    cents = await session.scalar(sa.select(sa.func.coalesce(sa.func.sum(BALANCE.c.cents), 0)))
    return {"cents": int(cents), "generation": session.info["generations"]["bank"].number}


class Bank:
    """The handlers, and what a test holds in its hands: *paused* is set while a request waits for *go_on*."""

    def __init__(self) -> None:
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.asked = 0
        self.background: list[Exception] = []

    async def total(self, request: Request) -> Response:
        session = await read_session(request)
        self.asked += 1
        return JSONResponse(await total(session))

    async def late(self, request: Request) -> Response:
        return JSONResponse(await total(await read_late(request)))

    async def always(self, request: Request) -> Response:
        return JSONResponse(await total(await read_always(request)))

    async def twice(self, request: Request) -> Response:
        first = await total(await read_session(request))
        self.paused.set()
        await self.go_on.wait()
        return JSONResponse([first, await total(await read_session(request))])

    async def stream(self, request: Request) -> Response:
        session = await read_session(request)

        async def rows() -> Any:
            for (account,) in await session.execute(sa.select(BALANCE.c.account)):
                yield f"{account}\n"

        async def afterwards() -> None:
            try:
                await read_session(request)
            except Exception as error:
                self.background.append(error)
            self.paused.set()

        return StreamingResponse(rows(), background=BackgroundTask(afterwards))

    async def write(self, request: Request) -> Response:
        for each in (await request.body()).decode().split():
            note_write(request, Token.parse(each))
        return Response(status_code=204)

    async def fail(self, request: Request) -> Response:
        await read_session(request)
        raise {
            "second": WrongExpectedVersion("stream a is at version 2, not 1: load it, decide and append again", version=2),
            "held": PreconditionFailed("something of the app's own"),
            "broken": ValueError("a mistake"),
        }[request.path_params["how"]]

    async def narrow(self, request: Request) -> Response:
        await read_late(request)
        return JSONResponse(await total(await reading(bank.projection)(request)))

    async def wide(self, request: Request) -> Response:
        await read_late(request)
        return JSONResponse(await total(await read_session(request)))


def make_app(models: ReadModels, policy: Policy | None = None, **settings: Any) -> Starlette:
    """Make the app over *models*; `app.state.bank` is its Bank."""
    handlers = Bank()
    names = ("total", "late", "always", "twice", "stream", "narrow", "wide")
    app = Starlette(
        routes=[
            *(Route(f"/{each}", getattr(handlers, each)) for each in names),
            Route("/write", handlers.write, methods=["POST"]),
            Route("/fail/{how}", handlers.fail),
        ],
        middleware=[
            Middleware(
                ReadModelMiddleware,
                models=models,
                policy=policy or Policy(release="r1"),
                settings=WebSettings(**settings),
            )
        ],
    )
    app.state.bank = handlers
    return app
