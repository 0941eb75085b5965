"""One tenant's view of the store: it names its streams without the tenant, and can name no other's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Protocol

from eventstore.envelope import Envelope
from eventstore.stream import ANY_VERSION, START, Position, Token
from eventstore.tenant import prefix_of, qualify


class _Shared(Protocol):
    """What a tenant's view needs of the store under it."""

    async def append(
        self, stream: str, events: Iterable[object], *, expected: int = ANY_VERSION, connection: Any = None
    ) -> Token: ...

    def read_stream(
        self, stream: str, *, from_version: int = 1, to_version: int | None = None
    ) -> AsyncIterator[Envelope[Any]]: ...

    def read_all(
        self, after: Position = START, limit: int | None = None, *, prefix: str = ""
    ) -> AsyncIterator[Envelope[Any]]: ...


class TenantStore:
    """The streams of one tenant. Envelopes and tokens carry full names (`@acme/order-1`), which are taken here as well."""

    def __init__(self, store: _Shared, name: str) -> None:
        self._store = store
        self._prefix = prefix_of(name)
        self.name = name

    async def append(
        self, stream: str, events: Iterable[object], *, expected: int = ANY_VERSION, connection: Any = None
    ) -> Token:
        """Append to a stream of this tenant, as the store does. Raises UsageError for the name of another tenant's."""
        return await self._store.append(qualify(self.name, stream), events, expected=expected, connection=connection)

    def read_stream(self, stream: str, *, from_version: int = 1, to_version: int | None = None) -> AsyncIterator[Envelope[Any]]:
        """Read a stream of this tenant. Raises UsageError for the name of another tenant's."""
        return self._store.read_stream(qualify(self.name, stream), from_version=from_version, to_version=to_version)

    def read_all(self, after: Position = START, limit: int | None = None) -> AsyncIterator[Envelope[Any]]:
        """Read all events of this tenant in order; takes time in proportion to all events after *after*, others' too."""
        return self._store.read_all(after, limit, prefix=self._prefix)
