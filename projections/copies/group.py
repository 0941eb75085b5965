"""All copies of one generation, as the process that feeds it uses them.

Which rows changed the fold says, and for tables that SQL handlers write, PostgreSQL (`readmodels.trace`).

A generation that workers feed has every copy level with its tables: one that is missing, or has lost something, is filled from them while
the checkpoint is locked. A generation that is being built has none until its tables are complete; then each copy is filled once, which
writes every row once, and is compared with the tables row by row.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

from eventstore.errors import RefoldError, Unreachable
from eventstore.moments import reach
from eventstore.postgres.engine import Connection
from projections.control.catalogue import note_mended
from projections.control.checkpoint import Advance, Claim, Partition, Vector, has_reached, read_vector
from projections.control.generation import FED, Generation
from projections.copies.arrears import Absent, Arrears
from projections.copies.contract import Address, Changes, Copy, CopyLost, Fence, Standing
from projections.copies.debt import Debt
from projections.copies.form import Form, Sum
from projections.copies.make import make_copy
from projections.declaration.projection import Projection
from projections.declaration.sink import Place, Sink
from projections.fold.sheet import Sheet
from projections.readmodels.stream import PAGE, load_rows, stream_rows
from projections.readmodels.trace import has_trace, lay_trace, take_touched
from projections.settings import SinkSettings

LOOK_S = 10.0
"""Seconds between two looks for what others owe to copies that take batches."""


class Kept(NamedTuple):
    """A declared sink and its copy."""

    sink: Sink[Any, Place]
    copy: Copy
    owned: bool
    written: bool = False
    """SQL handlers write the table, so PostgreSQL notes which rows they touched."""


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

    def __init__(self, generation: Generation, kept: Sequence[Kept] = (), settings: SinkSettings | None = None) -> None:
        chosen = settings or SinkSettings()
        self.generation = generation
        self._kept = list(kept)
        self._ready: set[int] = set()
        self._noted: dict[str, dict[Any, Any]] = {}
        self._connection: Connection | None = None
        self._lags = chosen.away == "lag"
        self._behind_s = chosen.behind_s
        self._look_at = 0.0
        self._arrears = Arrears(generation, self._fill_again)

    async def claim(self, connection: Connection, held: Mapping[Partition, Claim]) -> None:
        """Fence earlier owners of *held* in every copy, and see to it that a copy of a fed generation is level with its table."""
        self._ready.clear()
        await self._arrears.close()
        self._connection = connection
        self._look_at = time.monotonic() + LOOK_S
        blind = [number for number, kept in enumerate(self._kept) if await self._lacks_trace(connection, kept)]
        for number, kept in enumerate(self._kept):
            if self._lags and self.generation.state in FED:
                await self._arrears.lay(connection, self._make_absent(kept, ""))
            standing = await self._claim(connection, number, kept, held)
            if standing is None:
                if number in blind:
                    await self._owe_all(connection, kept)
                continue
            if not is_level(standing, held) or number in blind:
                if self.generation.state not in FED:
                    continue
                await self._refill(connection, kept, anew=number in blind)
            self._ready.add(number)

    async def _claim(self, connection: Connection, number: int, kept: Kept, held: Mapping[Partition, Claim]) -> Standing | None:
        """Claim one copy; None = it is absent: away, or with rows of these partitions still owed to it."""
        reason = "rows are still owed to it"
        fed = self.generation.state in FED
        owed = await self._debt(kept).read(connection) if fed else None
        try:
            standing = await kept.copy.claim({each: claimed.epoch for each, claimed in held.items()})
            if owed is None or not set(owed.offsets) & set(held):
                return standing
        except Unreachable as error:
            if isinstance(error, CopyLost) or not self._lags or not fed:
                raise
            reason = str(error)
        expected = {each: claimed.next_offset for each, claimed in held.items()}
        await self._arrears.add(connection, number, self._make_absent(kept, reason), expected)
        return None

    async def _owe_all(self, connection: Connection, kept: Kept) -> None:
        """Note every row, and from now on those that statements touch."""
        async with connection.transaction():
            await read_vector(connection, self.generation.id, lock=True)
            await lay_trace(connection, kept.sink.table, self.generation.schema_name)
            await self._debt(kept).owe_all(connection, kept.sink.table)

    def _make_absent(self, kept: Kept, reason: str) -> Absent:
        return Absent(str(kept.sink), kept.sink.table, kept.copy, self._debt(kept), reason)

    def _debt(self, kept: Kept) -> Debt:
        return Debt(str(kept.sink), self.generation.schema_name)

    async def tend(self, held: Mapping[Partition, Claim]) -> None:
        """Let copies catch up whose sinks are back, for a second at most; call it each second, outside of transactions. Raises Fenced."""
        if self._connection is None or not self._kept:
            return
        if time.monotonic() > self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            await self._look(self._connection)
        if self._arrears.absent:
            self._ready |= set(await self._arrears.tend(self._connection, held))

    async def _look(self, connection: Connection) -> None:
        """Find what others owe to copies, such as a repair that could not reach a sink."""
        for number in sorted(self._ready):
            if owed := await self._debt(self._kept[number]).read(connection):
                self._ready.discard(number)
                self._arrears.absent[number] = self._make_absent(self._kept[number], owed.reason)

    def describe(self) -> list[dict[str, Any]]:
        """Give the copies that are behind, for who asks how this worker is; *late*: longer than the setting allows."""
        return [
            {**facts, "late": facts["behind_s"] > self._behind_s} for facts in map(Absent.facts, self._arrears.absent.values())
        ]

    def note(self, sheets: Mapping[str, Sheet]) -> None:
        """Remember what *sheets* wrote to the tables; one transaction may do so several times."""
        for name in {self._kept[number].sink.table.name for number in self._followed}:
            sheet, noted = sheets[name], self._noted.setdefault(name, {})
            noted.update({key: sheet.rows[key] for key in sheet.dirty})
            noted.update({sheet.table.key_of(row): row for row in sheet.added})

    def forget(self) -> None:
        """Forget what was noted, at the beginning of a transaction."""
        self._noted.clear()

    async def write(self, held: Mapping[Partition, Claim], moves: Mapping[Partition, Advance]) -> None:
        """Bring what a transaction noted and is about to commit to every copy that was filled."""
        await self._take_written()
        fences = [Fence.of(each, held[each], moves[each].next_offset) for each in moves]
        fences = fences or [Fence.of(each, claimed, None) for each, claimed in held.items()]
        for number in sorted(self._ready):
            kept = self._kept[number]
            noted = self._noted.get(kept.sink.table.name, {})
            rows, gone = [row for row in noted.values() if row is not None], [key for key, row in noted.items() if row is None]
            reach("copy.before_apply")
            try:
                await kept.copy.apply(Changes(fences, rows, gone, kept.owned))
            except Unreachable as error:
                if isinstance(error, CopyLost) or not self._lags or self.generation.state not in FED:
                    raise
                self._ready.discard(number)
                self._arrears.absent[number] = self._make_absent(kept, str(error))
            reach("copy.after_apply")
        if self._arrears.absent:
            assert self._connection is not None, "claimed before anything is written"
            await self._arrears.note(self._connection, self._noted, {each.partition: each.expected for each in fences})
        self.forget()

    async def _take_written(self) -> None:
        """Note the rows that SQL handlers touched in the caller's transaction, as they are now."""
        schema = self.generation.schema_name
        for table in {id(each.sink.table): each.sink.table for each in self._written()}.values():
            assert self._connection is not None, "claimed before anything is written"
            if keys := await take_touched(self._connection, table, schema):
                noted = self._noted.setdefault(table.name, {})
                noted.update(await load_rows(self._connection, table, schema, keys))

    @property
    def _followed(self) -> set[int]:
        """The copies whose rows have to be known: those that take them, and those to which they are owed."""
        return self._ready | set(self._arrears.absent)

    def _written(self) -> list[Kept]:
        return [self._kept[number] for number in sorted(self._followed) if self._kept[number].written]

    async def _lacks_trace(self, connection: Connection, kept: Kept) -> bool:
        """Say whether rows may have changed that nobody noted, so that the copy has to be filled anew."""
        return kept.written and not await has_trace(connection, kept.sink.table, self.generation.schema_name)

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
        await self._arrears.close()
        for kept in self._kept:
            with suppress(RefoldError):
                await kept.copy.close()

    async def _refill(self, connection: Connection, kept: Kept, *, anew: bool) -> None:
        """Fill a copy of a generation that others may feed: their checkpoints are locked until it is done. *anew*: however it stands."""
        async with connection.transaction():
            vector = await read_vector(connection, self.generation.id, lock=True)
            standing = await kept.copy.stand()
            if anew or standing is None or not standing.filled or not has_reached(standing.vector, vector):
                await self._fill(connection, kept, vector)

    async def _fill_again(self, connection: Connection, number: int, vector: Vector) -> None:
        await self._fill(connection, self._kept[number], vector)

    async def _fill(self, connection: Connection, kept: Kept, vector: Vector) -> None:
        if kept.written:
            await lay_trace(connection, kept.sink.table, self.generation.schema_name)
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
        await self._debt(kept).clear(connection)
        if self.generation.state in FED:
            await note_mended(connection, self.generation.id)  # what was read of it before is out of date


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
        Kept(
            each,
            make_copy(each.place.kind, Address.of(generation, each.table.name), each, chosen),
            projection.owns(each.table),
            each.table in projection.free_tables,
        )
        for each in projection.sinks
    ]
    copies = Copies(generation, kept, chosen)
    try:
        yield copies
    finally:
        await copies.close()
