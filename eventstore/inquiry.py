"""A decider over a query: one decision about facts that lie in many streams, such as "is there a seat left, and may she take it?".

What the query finds is folded, the command decided, and the append put under the condition that nothing which matches the query has
been recorded meanwhile; otherwise all is done again. Use `Repository` where a rule concerns one stream: it is cheaper and has
snapshots.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Generic, TypeVar
from uuid import UUID

from eventstore.backoff import jitter_s
from eventstore.decider import Decider
from eventstore.envelope import NewEvent
from eventstore.errors import ConditionFailed, DuplicateEvent
from eventstore.identity import derive_id, make_id
from eventstore.query import FailIf, Query
from eventstore.repository import COMMAND, Handled
from eventstore.store import EventStore

C = TypeVar("C")
E = TypeVar("E")
S = TypeVar("S")


class Inquiry(Generic[C, E, S]):
    """One decider in one store, asked about queries. *attempts*: how often a command is decided in all."""

    def __init__(self, store: EventStore, decider: Decider[C, E, S], *, attempts: int = 16) -> None:
        self.decider = decider
        self._store = store
        self._attempts = attempts

    async def handle(
        self,
        query: Query,
        command: C,
        *,
        stream: str,
        command_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Handled[E, S]:
        """Decide *command* on what *query* finds, and record what follows at the end of *stream*, whatever version that is at.

        *command_id*: the same id again records nothing; then *state* is what the query finds now. Raises what `decide` raises;
        ConditionFailed when other writers came first in every attempt.
        """
        cause = command_id or make_id()
        for attempt in range(1, self._attempts + 1):
            try:
                return await self._try(query, command, stream, cause, metadata)
            except (ConditionFailed, DuplicateEvent):
                if attempt == self._attempts:
                    raise
            await asyncio.sleep(jitter_s(attempt))
        raise AssertionError("the last attempt returns or raises")

    async def _try(self, query: Query, command: C, stream: str, cause: UUID, metadata: Mapping[str, Any] | None) -> Handled[E, S]:
        found = await self._store.read(query)
        state = self.decider.fold(each.data for each in found.events)
        recorded = await self._store.find(derive_id(cause, stream, 0))
        if recorded is not None:
            return await self._repeat(stream, cause, recorded[1], state)
        events = tuple(self.decider.decide(command, state))
        last = found.events[-1] if found.events else None
        if not events:
            return Handled((), state, last.version if last else 0, last.token if last else None)
        told = {**(metadata or {}), COMMAND: str(cause)}
        new = [NewEvent(each, id=derive_id(cause, stream, n), metadata=told) for n, each in enumerate(events)]
        token = await self._store.append(stream, new, condition=FailIf(query, found.marker))
        for each in events:
            state = self.decider.evolve(state, each)
        return Handled(events, state, token.version, token)

    async def _repeat(self, stream: str, cause: UUID, first: int, state: S) -> Handled[E, S]:
        events: list[E] = []
        token = None
        async for each in self._store.read_stream(stream, from_version=first):
            if each.id != derive_id(cause, stream, len(events)):
                break
            events.append(each.data)
            token = each.token
        return Handled(tuple(events), state, first + len(events) - 1, token, repeated=True)
