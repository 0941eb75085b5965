"""One tenant's view of the store: it names its streams and tags without the tenant, and can name no other's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from eventstore.envelope import Envelope
from eventstore.errors import UsageError
from eventstore.query import FailIf, Marker, Query, QueryItem
from eventstore.store import Append, EventStore, Found
from eventstore.stream import ANY_VERSION, START, Position, Token
from eventstore.tenant import prefix_of, qualify


class _Shared(EventStore, Protocol):
    """What a tenant's view needs of the store under it."""

    def read_all(
        self, after: Position = START, limit: int | None = None, *, prefix: str = ""
    ) -> AsyncIterator[Envelope[Any]]: ...


class TenantStore:
    """The streams of one tenant, as an EventStore. Envelopes and tokens carry full names (`@acme/order-1`), taken here as well.

    Events of a tenant's stream have their tags under the tenant too, so that conditions of different tenants never meet; hence
    every item of a query needs a tag here.
    """

    def __init__(self, store: _Shared, name: str) -> None:
        self._store = store
        self._prefix = prefix_of(name)
        self.name = name

    async def append(
        self,
        stream: str,
        events: Iterable[object],
        *,
        expected: int = ANY_VERSION,
        condition: FailIf | None = None,
        connection: Any = None,
    ) -> Token:
        """Append to a stream of this tenant, as the store does. Raises UsageError for the name of another tenant's."""
        [token] = await self.append_all([Append(stream, tuple(events), expected)], condition=condition, connection=connection)
        return token

    async def append_all(
        self, appends: Iterable[Append], *, condition: FailIf | None = None, connection: Any = None
    ) -> list[Token]:
        """Append to several streams of this tenant, all or none."""
        own = [replace(each, stream=self._qualify(each.stream)) for each in appends]
        guard = condition and FailIf(self._narrow(condition.query), condition.after)
        return await self._store.append_all(own, condition=guard, connection=connection)

    async def read(self, query: Query, *, after: Marker | None = None, limit: int | None = None, newest: bool = False) -> Found:
        """Read what matches *query* in this tenant. Raises UsageError for an item without a tag."""
        return await self._store.read(self._narrow(query), after=after, limit=limit, newest=newest)

    def read_stream(
        self,
        stream: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        as_of: datetime | None = None,
        connection: Any = None,
    ) -> AsyncIterator[Envelope[Any]]:
        """Read a stream of this tenant. Raises UsageError for the name of another tenant's."""
        name = self._qualify(stream)
        return self._store.read_stream(name, from_version=from_version, to_version=to_version, as_of=as_of, connection=connection)

    async def find(self, event_id: UUID, *, connection: Any = None) -> tuple[str, int] | None:
        """Give stream and version of an event of this tenant, None for one of another."""
        found = await self._store.find(event_id, connection=connection)
        return found if found and found[0].startswith(self._prefix) else None

    async def hold(self, stream: str, connection: Any) -> None:
        """Let nobody else append to a stream of this tenant until the transaction of *connection* ends."""
        await self._store.hold(self._qualify(stream), connection)

    def read_all(self, after: Position = START, limit: int | None = None) -> AsyncIterator[Envelope[Any]]:
        """Read all events of this tenant in order; takes time in proportion to all events after *after*, others' too."""
        return self._store.read_all(after, limit, prefix=self._prefix)

    async def head(self) -> Position:
        """Give where a reader of all events stands that has read everything, whoever's it is."""
        return await self._store.head()

    async def count(self, after: Position = START) -> int:
        """Count this tenant's events after *after*, by reading them."""
        return sum([1 async for _ in self.read_all(after)])

    def _qualify(self, name: str) -> str:
        return qualify(self.name, name)

    def _narrow(self, query: Query) -> Query:
        if not all(each.tags for each in query.items):
            raise UsageError(
                f"a query of tenant {self.name!r} needs a tag in each of its items: tags are what tells tenants apart"
            )
        return Query(*(QueryItem(each.types, tuple(map(self._qualify, each.tags))) for each in query.items))
