"""From a declared place to the copy there; each kind's library is imported when the first copy of that kind is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from eventstore.errors import UsageError
from projections.control.generation import Generation
from projections.copies.contract import Address, Copy
from projections.declaration.sink import Sink
from projections.settings import SinkSettings


def make_copy(kind: str, address: Address, sink: Sink[Any, Any] | None, settings: SinkSettings) -> Copy:
    """Make the copy at *address* in a sink of *kind*. Raises UsageError for a kind that this release does not know."""
    if kind == "valkey":
        from projections.copies.valkey import ValkeyCopy

        return ValkeyCopy(address, sink, settings)
    if kind == "search":
        from projections.copies.search import SearchCopy

        return SearchCopy(address, sink, settings)
    if kind == "postgres":
        from projections.copies.postgres import PostgresCopy

        return PostgresCopy(address, sink, settings)
    raise UsageError(f"{address} has a copy of kind {kind!r}, which this release does not know: use the release that made it")


@asynccontextmanager
async def recalled_copies(generation: Generation, settings: SinkSettings | None = None) -> AsyncGenerator[dict[str, Copy]]:
    """Open the copies that *generation* remembers, by name, without their declaration: to look at them or to drop them."""
    chosen = settings or SinkSettings()
    found: dict[str, Copy] = {}
    try:
        for name in generation.detail.get("parts", {}).get("sinks", ()):
            kind, _, table = name.partition(":")
            found[name] = make_copy(kind, Address.of(generation, table), None, chosen)
        yield found
    finally:
        for each in found.values():
            await each.close()
