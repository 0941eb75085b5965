"""Reading sinks from web apps: rows of the generation that is live, or of the one that a session reads.

The catalogue says which generation that is, so a reader of a sink and a reader of the tables see the same one, and a swap is for both the
same moment. Without a session the answer is up to a second old: the generation before is whole, and still fed, for much longer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Self, TypeVar, overload

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from eventstore.errors import PreconditionFailed, UsageError
from eventstore.postgres.engine import checkout
from eventstore.tenant import check_tenant
from projections.control.catalogue import read_pointers
from projections.control.generation import Generation
from projections.copies.contract import Address
from projections.copies.reading import SearchRows, ValkeyRows
from projections.copies.valkey import open_client, translated
from projections.declaration.projection import RowTable
from projections.declaration.sink import Search, Sink, Valkey
from projections.settings import SinkSettings

R = TypeVar("R")
FRESH_S: Final = 1.0
MOST_READERS: Final = 1_000
"""Readers that are kept open, one a sink, generation and tenant."""


class Sinks:
    """The sinks of an app whose catalogue is in the database of *engine*. Open one per process: `async with Sinks(engine) as sinks`."""

    def __init__(self, engine: AsyncEngine, *, settings: SinkSettings | None = None) -> None:
        self._engine = engine
        self._settings = settings or SinkSettings()
        self._client: Any = None
        self._live: Mapping[str, Generation] = {}
        self._looked = float("-inf")
        self._readers: dict[tuple[str, int, str | None], Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            async with translated():
                await self._client.aclose()

    @overload
    async def read(
        self, sink: Sink[R, Valkey], session: AsyncSession | None = None, *, tenant: str | None = None
    ) -> ValkeyRows[R]: ...

    @overload
    async def read(
        self, sink: Sink[R, Search], session: AsyncSession | None = None, *, tenant: str | None = None
    ) -> SearchRows[R]: ...

    async def read(
        self, sink: Sink[R, Any], session: AsyncSession | None = None, *, tenant: str | None = None
    ) -> ValkeyRows[R] | SearchRows[R]:
        """Give the rows of *sink* in the generation that *session* reads (None = the live one), for this request.

        Of a table with tenants one sees those of *tenant* (None = the one that *session* was opened for), and gives keys without it.
        Raises UsageError when nobody says which, PreconditionFailed when nothing is live yet; what is given raises it for a copy that is
        not filled, and Unreachable.
        """
        generation = await self._find(sink, session)
        acting = _name_tenant(sink, session, tenant)
        known = (str(sink), generation.id, acting)
        if known not in self._readers:
            self._readers[known] = self._open(sink, Address.of(generation, sink.table.name), acting)
            while len(self._readers) > MOST_READERS:
                self._readers.pop(next(iter(self._readers)))
        return self._readers[known]

    def _open(self, sink: Sink[R, Any], address: Address, tenant: str | None) -> ValkeyRows[R] | SearchRows[R]:
        if isinstance(sink.place, Valkey):
            self._client = self._client or open_client(self._settings)
            return ValkeyRows(sink, address, self._settings, self._client, tenant)
        if isinstance(sink.place, Search):
            return SearchRows(sink, address, self._settings, tenant)
        raise UsageError(f"{sink} is another database: read its view {sink.table.name!r} with any PostgreSQL client")

    async def _find(self, sink: Sink[Any, Any], session: AsyncSession | None) -> Generation:
        assert isinstance(sink.table, RowTable)
        name = sink.table.projection.name
        found: Mapping[str, Generation] = session.info["generations"] if session is not None else await self._find_live()
        if name not in found:
            raise PreconditionFailed(
                f"no generation of {name} is live yet: start `projections run`, or `replay --projection {name} --from-beginning`"
            )
        return found[name]

    async def _find_live(self) -> Mapping[str, Generation]:
        if time.monotonic() - self._looked > FRESH_S:
            async with checkout(self._engine) as connection:
                self._live = await read_pointers(connection)
            self._looked = time.monotonic()
        return self._live


def _name_tenant(sink: Sink[Any, Any], session: AsyncSession | None, tenant: str | None) -> str | None:
    """Give the tenant to act for; None for a table without tenants. Raises UsageError when nobody says which, or two say different."""
    own = session.info.get("tenant") if session is not None else None
    if sink.table.tenant is None:
        return None
    if (chosen := tenant or own) is None or (own is not None and chosen != own):
        raise UsageError(
            f"{sink} holds rows of several tenants: read(sink, session) with a session(tenant=...), or read(sink, tenant=...), and say "
            "for whom"
        )
    return check_tenant(chosen)
