"""One request's dealings with the read models: its session, opened when it is first asked for, and the tokens of its writes.

However often and wherever a request reads, it has one session: one snapshot, one generation of every table, whatever is swapped
meanwhile. The session ends before the last byte of the answer leaves, so that a slow client holds no connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import Request

from eventstore.errors import PreconditionFailed, TimedOut, Unreachable, UsageError
from eventstore.postgres.engine import ConnectionLost
from eventstore.stream import Token
from eventstore.tenant import EVERY_TENANT
from projections.control.generation import Generation
from projections.declaration.projection import Projection
from projections.serving.bookmark import Bookmark
from projections.serving.session import ReadModels
from projections.serving.state import read_state
from projections.settings import WebSettings
from projections.web.condition import is_known, make_etag
from projections.web.policy import VARYING, Policy, nobody, settle
from projections.web.problem import Refused
from projections.web.seal import Seal
from projections.web.wish import AS_OF, GENERATION, TOKEN, Wish, read_wish, write_builds

STALE = "Refold-Stale"


class Visit:
    """What *request* does with *models*, by the app's *policy*."""

    def __init__(self, models: ReadModels, policy: Policy, settings: WebSettings, request: Request) -> None:
        self._models = models
        self._policy = policy
        self._settings = settings
        self._request = request
        self._seal = Seal.of(settings.token_keys.get_secret_value() if settings.token_keys else None)
        self._lock = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._session: AsyncSession | None = None
        self._names: frozenset[str] = frozenset()
        self._tokens: list[Token] = []
        self._told: dict[str, str] = {}
        self._ended = False

    def note(self, token: Token) -> None:
        """Remember a write, for the answer to carry its token."""
        self._tokens.append(token)

    async def open(self, projections: Sequence[Projection], *, stale: bool, conditional: bool) -> AsyncSession:
        """Give the request's session. Raises UsageError when *projections* are more than those that it was opened for."""
        names = frozenset(each.name for each in projections or self._models.app)
        async with self._lock:
            if self._ended:
                raise UsageError("this request's session ended with its answer: open one of your own, with ReadModels.session()")
            if self._session is None:
                self._session = await self._begin(names, stale=stale, conditional=conditional)
                self._names = names
        if names - self._names:
            raise UsageError(
                f"this request's session was opened for {', '.join(sorted(self._names))}, and is asked for "
                f"{', '.join(sorted(names - self._names))} too: name all of them where it is opened first"
            )
        return self._session

    async def _begin(self, names: frozenset[str], *, stale: bool, conditional: bool) -> AsyncSession:
        wish = read_wish(self._request, self._settings.cookie, self._seal, query=self._policy.as_of is not nobody)
        await self._permit(wish)
        is_stale = not await self._catch_up(wish, names, stale=stale)
        tenant = await settle(self._policy.tenant(self._request))
        session = await self._enter(wish, tenant)
        read: dict[str, Generation] = session.info["generations"]
        self._told = {"Cache-Control": "private, no-cache", "Vary": ", ".join((*VARYING, AS_OF, GENERATION))}
        self._told[GENERATION] = write_builds({each.name: read[each.name].number for each in self._models.app})
        if is_stale:
            self._told[STALE] = "true"
        elif conditional and self._policy.release is not None:
            state = await read_state(session, [read[each] for each in names])
            etag = make_etag(state, self._policy.release, tenant, self._request, self._settings.cookie)
            self._told["ETag"] = etag
            if is_known(self._request, etag):
                raise HTTPException(304)
        return session

    async def _permit(self, wish: Wish) -> None:
        if wish.as_of and not await settle(self._policy.as_of(self._request)):
            raise Refused("this app shows you no past times: ask without as_of", 403)
        if wish.generations and not await settle(self._policy.preview(self._request)):
            raise Refused(f"this app shows you no builds but the live ones: ask without {GENERATION}", 403)
        for name in wish.generations:
            if name not in {each.name for each in self._models.app}:
                raise Refused(f"{GENERATION}: no projection is called {name!r}")

    async def _catch_up(self, wish: Wish, names: frozenset[str], *, stale: bool) -> bool:
        """Wait for what the request must see; builds that it names itself and past times are what they are. False = not there."""
        live = [each for each in self._models.app if each.name in names and each.name not in wish.generations]
        if not wish.bookmark or wish.as_of or not live:
            return True
        try:
            await self._models.reach(wish.bookmark, *live, timeout_s=self._settings.wait_s)
        except TimedOut as error:
            if not stale:
                behind = error.facts["behind"]
                raise TimedOut(
                    f"{', '.join(behind)} did not reach {wish.bookmark} within {self._settings.wait_s:g} s. What was written is recorded: "
                    "ask again, or leave the token out to see what there is.",
                    behind=behind,
                ) from None
            return False
        return True

    async def _enter(self, wish: Wish, tenant: str | None) -> AsyncSession:
        every = tenant == EVERY_TENANT
        opening = self._models.session(
            tenant=None if every else tenant, every_tenant=every, generations=wish.generations, as_of=wish.as_of
        )
        try:
            return await self._stack.enter_async_context(opening)
        except PreconditionFailed as error:
            if error.facts.get("missing"):
                raise Refused(str(error), 503, **error.facts) from None
            if (wish.generations or wish.as_of) and type(error) is PreconditionFailed:
                raise Refused(str(error), 404) from None
            raise
        except ConnectionLost as error:
            raise Unreachable("the connection to PostgreSQL was lost; ask again") from error

    async def close(self) -> None:
        """End the session, if there is one. Safe to repeat."""
        self._ended = True
        await self._stack.aclose()

    async def headers(self, status: int) -> dict[str, str]:
        """Give what an answer with *status* tells of the read models and of its writes."""
        told = {name: value for name, value in self._told.items() if name != "ETag" or status in {200, 304}}
        if self._tokens:
            bookmark = await self._models.bookmark(*self._tokens) | self._carried()
            told[TOKEN] = self._seal.write(str(bookmark))
            if self._settings.cookie:
                told["Set-Cookie"] = self._bake(told[TOKEN])
        return told

    def _carried(self) -> Bookmark:
        try:
            return read_wish(self._request, self._settings.cookie, self._seal, query=False).bookmark
        except Refused:
            return Bookmark()

    def _bake(self, value: str) -> str:
        secure = "; Secure" if self._request.url.scheme == "https" else ""
        age = f"{self._settings.cookie_s:.0f}"
        return f'{self._settings.cookie}="{value}"; Max-Age={age}; Path=/; HttpOnly; SameSite=Lax{secure}'
