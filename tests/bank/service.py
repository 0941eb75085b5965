"""The bank as a FastAPI service: the same dependency, typed as FastAPI wants it."""

from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncSession

from eventstore.stream import Token
from projections.serving import ReadModels
from projections.settings import WebSettings
from projections.web import Policy, ReadModelMiddleware, note_write, read_session, reading
from tests.bank.release1 import bank
from tests.bank.web import total

Session = Annotated[AsyncSession, Depends(read_session)]
BankSession = Annotated[AsyncSession, Depends(reading(bank.projection))]


async def find_total(session: BankSession) -> dict[str, Any]:
    """Sum the balances, in a dependency of its own."""
    return await total(session)


def make_service(models: ReadModels, policy: Policy, **settings: Any) -> FastAPI:
    """Make the service over *models*."""
    app = FastAPI()
    app.add_middleware(ReadModelMiddleware, models=models, policy=policy, settings=WebSettings(**settings))

    @app.get("/total")
    async def show_total(session: Session, found: Annotated[dict[str, Any], Depends(find_total)]) -> dict[str, Any]:
        return found | {"same": await total(session) == found}

    @app.post("/write", status_code=204)
    async def write(request: Request, token: Annotated[str, Body()]) -> None:
        note_write(request, Token.parse(token))

    return app
