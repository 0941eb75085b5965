"""The read models of a Starlette or FastAPI app: one session a request, tokens in and out, ETags, and problems that say what to do.

`app.add_middleware(ReadModelMiddleware, models=...)`, then `session = await read_session(request)`, or in FastAPI
`session: Annotated[AsyncSession, Depends(read_session)]`. Background tasks run after the session has ended and open their own.
"""

# No postponed annotations: FastAPI reads those of dependencies at run time.

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventstore.errors import UsageError
from eventstore.stream import Token
from projections.declaration.projection import Projection
from projections.serving.session import ReadModels
from projections.settings import WebSettings
from projections.web.policy import Policy
from projections.web.problem import find_problem
from projections.web.visit import Visit

log = logging.getLogger(__name__)
KEY: Final = "refold.visit"
Reading = Callable[[Request], Awaitable[AsyncSession]]


class ReadModelMiddleware:
    """Gives each request of *app* its session over *models*, and its answer what belongs to it."""

    def __init__(
        self, app: ASGIApp, models: ReadModels, policy: Policy | None = None, settings: WebSettings | None = None
    ) -> None:
        self._app = app
        self._models = models
        self._policy = policy or Policy()
        self._settings = settings or WebSettings()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or hand on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        visit = Visit(self._models, self._policy, self._settings, request)
        scope[KEY] = visit
        is_begun = False

        async def answer(message: Message) -> None:
            nonlocal is_begun
            if message["type"] == "http.response.start":
                is_begun = True
                _add_headers(message, await visit.headers(message["status"]))
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                await visit.close()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            problem = find_problem(error)
            if problem is None or is_begun:
                raise
            if problem.told:
                log.warning("%s %s: %s", request.method, request.url.path, error)
            await problem.answer(error, request.url.path)(scope, receive, answer)
        finally:
            await visit.close()


def _add_headers(message: Message, told: dict[str, str]) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in told.items():
        if name == "Vary":
            headers.add_vary_header(value)
        elif name == "Set-Cookie":
            headers.append(name, value)
        else:
            headers.setdefault(name, value)


def reading(*projections: Projection, stale: bool = False, conditional: bool = True) -> Reading:
    """Make a dependency that gives a request its session, once it contains the request's token.

    *projections* are those that must contain it, and whose changes make a new ETag; none named = the whole app. *stale* = when they
    take too long, serve what there is, with the header `Refold-Stale`, instead of 503. *conditional* = answer 304 where nothing
    changed; say False for an answer that depends on anything else: the clock, another database.
    """

    async def read(request: Request) -> AsyncSession:
        return await _find_visit(request).open(projections, stale=stale, conditional=conditional)

    return read


async def read_session(request: Request) -> AsyncSession:
    """Give *request* its session over the whole app, once it contains the request's token; the same one however often it is asked for."""
    return await _find_visit(request).open((), stale=False, conditional=True)


def note_write(request: Request, token: Token) -> None:
    """Let the answer carry *token*, as header and cookie, so that this client's next read sees what it wrote."""
    _find_visit(request).note(token)


def _find_visit(request: Request) -> Visit:
    found = request.scope.get(KEY)
    if not isinstance(found, Visit):
        raise UsageError("this request did not pass ReadModelMiddleware: app.add_middleware(ReadModelMiddleware, models=...)")
    return found
