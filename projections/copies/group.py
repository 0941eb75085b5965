"""All copies of one generation, as the process that feeds it uses them.

A generation that workers feed has every copy level with its tables: one that is missing, or has lost something, is filled from them while
the checkpoint is locked. A generation that is being built has none until its tables are complete; then each copy is filled once, which
writes every row once, and is compared with the tables row by row.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from eventstore.errors import RefoldError
from eventstore.moments import reach
from eventstore.postgres.engine import Connection
from projections.control.checkpoint import Advance, Claim, Partition, Vector, has_reached, read_vector
from projections.control.generation import FED, Generation
from projections.copies.contract import Address, Changes, Copy, Fence, Standing
from projections.copies.form import Form, Sum
from projections.copies.make import make_copy
from projections.declaration.projection import Projection
from projections.declaration.sink import Place, Sink
from projections.fold.sheet import Sheet
from projections.readmodels.stream import PAGE, stream_rows
from projections.settings import SinkSettings


class Kept(NamedTuple):
    """A declared sink and its copy."""

    sink: Sink[Any, Place]
    copy: Copy
    owned: bool


class Comparison(NamedTuple):
    """A copy beside its table: rows and sums of both."""

    sink: str
    here: Sum
    there: Sum

    @property
    def is_equal(self) -> bool:
        """True when both hold the same rows."""
        return self.here == self.there

    def __str__(self) -> str:
        verdict = "as the table" if self.is_equal else f"but the table {self.here.rows:,}, or rows differ"
        return f"{self.sink}: {self.there.rows:,} rows, {verdict}"


class Copies:
    """The copies of one generation; *kept* is empty for a projection without sinks, and then nothing here costs anything."""

    def __init__(self, generation: Generation, kept: Sequence[Kept] = ()) -> None:
        self.generation = generation
        self._kept = list(kept)
        self._ready: set[int] = set()
        self._noted: dict[str, dict[Any, Any]] = {}

    async def claim(self, connection: Connection, held: Mapping[Partition, Claim]) -> None:
        """Fence earlier owners of *held* in every copy, and see to it that a copy of a fed generation is level with its table."""
        self._ready.clear()
        for number, kept in enumerate(self._kept):
            standing = await kept.copy.claim({each: claimed.epoch for each, claimed in held.items()})
            if not is_level(standing, held):
                if self.generation.state not in FED:
                    continue
                await self._refill(connection, kept)
            self._ready.add(number)

    def note(self, sheets: Mapping[str, Sheet]) -> None:
        """Remember what *sheets* wrote to the tables; one transaction may do so several times."""
        for name in {self._kept[number].sink.table.name for number in self._ready}:
            sheet, noted = sheets[name], self._noted.setdefault(name, {})
            noted.update({key: sheet.rows[key] for key in sheet.dirty})
            noted.update({sheet.table.key_of(row): row for row in sheet.added})

    def forget(self) -> None:
        """Forget what was noted, at the beginning of a transaction."""
        self._noted.clear()

    async def write(self, held: Mapping[Partition, Claim], moves: Mapping[Partition, Advance]) -> None:
        """Bring what a transaction noted and is about to commit to every copy that was filled."""
        fences = [Fence.of(each, held[each], moves[each].next_offset) for each in moves]
        fences = fences or [Fence.of(each, claimed, None) for each, claimed in held.items()]
        for number in sorted(self._ready):
            kept = self._kept[number]
            noted = self._noted.get(kept.sink.table.name, {})
            rows, gone = [row for row in noted.values() if row is not None], [key for key, row in noted.items() if row is None]
            reach("copy.before_apply")
            await kept.copy.apply(Changes(fences, rows, gone, kept.owned))
            reach("copy.after_apply")
        self.forget()

    async def fill(self, connection: Connection, vector: Vector) -> None:
        """Fill the copies that were not filled yet, by the one process that writes this generation's tables."""
        for number, kept in enumerate(self._kept):
            if number not in self._ready:
                async with connection.transaction():
                    await self._fill(connection, kept, vector)
                self._ready.add(number)

    async def compare(self, connection: Connection) -> list[Comparison]:
        """Compare every copy with its table, while nobody writes."""
        found: list[Comparison] = []
        for kept in self._kept:
            form = Form(kept.sink.table)
            async with connection.transaction():
                here = await _sum(form, stream_rows(connection, kept.sink.table, self.generation.schema_name))
            found.append(Comparison(str(kept.sink), here, await _sum(form, kept.copy.rows())))
        return found

    async def close(self) -> None:
        """Close what the copies opened."""
        for kept in self._kept:
            with suppress(RefoldError):
                await kept.copy.close()

    async def _refill(self, connection: Connection, kept: Kept) -> None:
        """Fill a copy of a generation that others may feed: their checkpoints are locked until it is done."""
        async with connection.transaction():
            vector = await read_vector(connection, self.generation.id, lock=True)
            standing = await kept.copy.stand()
            if standing is None or not standing.filled or not has_reached(standing.vector, vector):
                await self._fill(connection, kept, vector)

    async def _fill(self, connection: Connection, kept: Kept, vector: Vector) -> None:
        ticket = await kept.copy.begin()
        reach("copy.filling")
        page: list[Any] = []
        async for row in stream_rows(connection, kept.sink.table, self.generation.schema_name):
            page.append(row)
            if len(page) == PAGE:
                await kept.copy.put(ticket, page)
                page = []
        if page:
            await kept.copy.put(ticket, page)
        reach("copy.filled")
        await kept.copy.finish(ticket, vector)


def is_level(standing: Standing, held: Mapping[Partition, Claim]) -> bool:
    """Say whether a copy has all that the checkpoint says. Pure."""
    return standing.filled and has_reached(standing.vector, {each: claimed.next_offset for each, claimed in held.items()})


async def _sum(form: Form[Any], rows: AsyncIterator[Any]) -> Sum:
    found = Sum()
    async for each in rows:
        found = found.add(form.texts(each))
    return found


@asynccontextmanager
async def opened_copies(
    projection: Projection, generation: Generation, settings: SinkSettings | None = None
) -> AsyncGenerator[Copies]:
    """Open the copies of *generation*, and close them. Raises PreconditionFailed for a sink without library or address."""
    chosen = settings or SinkSettings()
    kept = [
        Kept(each, make_copy(each.place.kind, Address.of(generation, each.table.name), each, chosen), projection.owns(each.table))
        for each in projection.sinks
    ]
    copies = Copies(generation, kept)
    try:
        yield copies
    finally:
        await copies.close()
