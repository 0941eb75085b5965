"""A copy in another PostgreSQL database: a schema per generation, and views that follow the live one.

copy_orders_g4.order           the rows, with the columns and the key of the table
copy_orders_g4."copy:order"    whose it is, epochs, offsets: a row per partition, one more for the copy itself
orders.order                   the view, for reports
orders.tenant_role             for tables with tenants: which role sees whose rows; who is not in it sees none
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, cast
from uuid import uuid4

from psycopg import Error
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import Fenced, PreconditionFailed, Unreachable
from eventstore.postgres.engine import Connection, ConnectionLost, checkout, open_engine
from eventstore.settings import PostgresSettings
from projections.control.checkpoint import Partition, Vector
from projections.copies.contract import Address, Changes, CopyLost, Standing
from projections.copies.statements import WHOLE, compose, make_guarded_view, name_schema, name_tenant
from projections.declaration.projection import RowTable
from projections.declaration.sink import Postgres, Sink
from projections.fold.sheet import Sheet
from projections.readmodels.postgres import ReadModel
from projections.readmodels.stream import stream_rows
from projections.settings import SinkSettings


def open_other(settings: SinkSettings) -> AsyncEngine:
    """Make the engine of the other database. Raises PreconditionFailed without an address."""
    if settings.postgres_dsn is None:
        raise PreconditionFailed("a sink in another PostgreSQL database needs its address: set REFOLD_SINKS_POSTGRES_DSN")
    chosen = PostgresSettings(dsn=settings.postgres_dsn, pool_size=2, connect_timeout_s=settings.timeout_s)
    return open_engine(chosen, application="refold sink")


class PostgresCopy:
    """One copy. *sink* None = only `stand`, `count`, `drop` and `pointed` are asked for."""

    def __init__(self, address: Address, sink: Sink[Any, Postgres] | None, settings: SinkSettings) -> None:
        self.address = address
        self.schema = name_schema(address)
        self._engine = open_other(settings)
        self._statements = compose(address)
        self._table = sink.table if sink else None
        self._read_model: ReadModel | None = None
        if sink:
            assert isinstance(sink.table, RowTable)
            self._read_model = ReadModel(sink.table.projection, self.schema)

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    async def claim(self, epochs: dict[Partition, int]) -> Standing:
        """Fence earlier owners; what an earlier database's generation of this number left is deleted."""
        async with self._transaction() as connection:
            await self._make_tables(connection)
            mark = (await self._lock_whole(connection))[0]
            if mark > self.address.mark:
                raise Fenced(f"the copy of {self.address} belongs to a newer database")
            if mark < self.address.mark:
                await connection.execute(self._statements.drop_rows)
                await self._make_tables(connection)
            topics, numbers = zip(*sorted(epochs), strict=True) if epochs else ((), ())
            values = [epochs[each] for each in sorted(epochs)]
            cursor = await connection.execute(self._statements.claim, (list(topics), list(numbers), values))
            if cursor.rowcount != len(epochs):
                raise Fenced(f"the copy of {self.address} has a newer owner; this worker joins again")
            return await self._read(connection)

    async def apply(self, changes: Changes) -> None:
        """Write a batch and move its offsets in one transaction."""
        async with self._transaction() as connection:
            row = await (await connection.execute(self._statements.share_whole)).fetchone()
            if not row or not row[1]:
                raise CopyLost(f"the copy of {self.address} is not filled; that is done now")
            if await self._is_repeated(connection, changes):
                return
            await self._write(connection, changes.rows, changes.gone)
            moved = [(*each.partition, each.following) for each in changes.fences]
            await connection.execute(self._statements.advance, _turn(moved))

    async def _is_repeated(self, connection: Connection, changes: Changes) -> bool:
        """Hold *changes* against both fences, and lock them; say whether all of it is here already."""
        found = await (await connection.execute(self._statements.fences)).fetchall()
        known = {(topic, number): (epoch, offset) for topic, number, epoch, offset in found}
        repeated = changes.owned and bool(changes.fences)
        for each in changes.fences:
            epoch, offset = known.get(each.partition, (None, -1))
            if epoch != each.epoch:
                raise Fenced(f"the copy of {self.address} has a newer owner; nothing of this batch was written to it")
            if offset < each.expected:
                raise CopyLost(f"the copy of {self.address} lost rows (an older one was restored?); it is filled anew")
            repeated = repeated and each.following > each.expected and offset >= each.following
        return repeated

    async def begin(self) -> str:
        """Give a ticket, and delete the rows."""
        ticket = uuid4().hex
        async with self._transaction() as connection:
            await self._lock_whole(connection)
            await connection.execute(self._statements.mark_filling, (ticket,))
            await connection.execute(self._statements.empty)
        return ticket

    async def put(self, ticket: str, rows: Sequence[Any]) -> None:
        """Add rows in one transaction."""
        async with self._transaction() as connection:
            await self._require_ticket(connection, ticket)
            await self._write(connection, rows, ())

    async def finish(self, ticket: str, vector: Vector) -> None:
        """Declare the copy filled."""
        async with self._transaction() as connection:
            await self._require_ticket(connection, ticket)
            await connection.execute(self._statements.settle, _turn([(*each, vector[each]) for each in sorted(vector)]))
            await connection.execute(self._statements.mark_filled)

    async def stand(self) -> Standing | None:
        """Read the checkpoint."""
        async with self._transaction() as connection:
            if not (await self._find(connection))[0]:
                return None
            found = await (await connection.execute(self._statements.read)).fetchall()
            is_mine = any(mark == self.address.mark for topic, _, _, mark in found if topic == WHOLE)
            return await self._read(connection) if is_mine else None

    async def count(self) -> int:
        """Count the rows."""
        async with self._transaction() as connection:
            row = await (await connection.execute(self._statements.count)).fetchone()
        return row[0] if row else 0

    async def rows(self) -> AsyncIterator[Any]:
        """Read every row in one snapshot."""
        assert self._table is not None, "opened without its declaration"
        async with self._transaction() as connection:
            async for row in stream_rows(connection, self._table, self.schema):
                yield row

    async def point(self, turn: int) -> bool:
        """Let the view show this copy."""
        async with self._transaction() as connection:
            await connection.execute(self._statements.make_home)
            await connection.execute(self._statements.make_pointer)
            cursor = await connection.execute(self._statements.move_pointer, (turn, self.address.number))
            if cursor.rowcount:
                await connection.execute(self._statements.drop_view)
                await self._make_view(connection)
            return bool(cursor.rowcount)

    async def _make_view(self, connection: Connection) -> None:
        row = await (await connection.execute(self._statements.find_tenant)).fetchone()
        if row is None or row[0] is None:
            await connection.execute(self._statements.make_view)
            return
        await connection.execute(self._statements.make_tenants)
        await connection.execute(make_guarded_view(self.address, row[0]))

    async def pointed(self) -> int | None:
        """Read whose rows the view shows."""
        async with self._transaction() as connection:
            if not (await self._find(connection))[1]:
                return None
            row = await (await connection.execute(self._statements.read_pointer)).fetchone()
        return row[0] if row else None

    async def drop(self) -> None:
        """Drop the tables; a view that still shows them goes too."""
        async with self._transaction() as connection:
            await connection.execute(self._statements.drop_rows)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[Connection]:
        try:
            async with checkout(self._engine) as connection, connection.transaction():
                yield connection
        except ConnectionLost as error:
            raise Unreachable(f"the database of the copy of {self.address} went away: {error}") from error
        except Error as error:
            raise CopyLost(f"the copy of {self.address} refuses: {error}") from error

    async def _make_tables(self, connection: Connection) -> None:
        await connection.execute(self._statements.make_schema)
        assert self._table is not None, "opened without its declaration"
        await connection.execute(cast("LiteralString", self._table.ddl_in(self.schema)))
        if self._table.tenant:  # no policy: whoever does not own the rows reads them by way of the view
            await connection.execute(self._statements.hide_rows)
            await connection.execute(name_tenant(self.address, self._table.tenant))
        await connection.execute(self._statements.make_checkpoint)
        await connection.execute(self._statements.make_whole, (self.address.mark,))

    async def _find(self, connection: Connection) -> tuple[bool, bool]:
        """Say whether there is a checkpoint, and a pointer."""
        row: Any = await (await connection.execute(self._statements.find)).fetchone()
        return row

    async def _lock_whole(self, connection: Connection) -> Any:
        row = await (await connection.execute(self._statements.lock_whole)).fetchone()
        if row is None:
            raise CopyLost(f"the copy of {self.address} is gone; it is made anew")
        return row

    async def _require_ticket(self, connection: Connection, ticket: str) -> None:
        if (await self._lock_whole(connection))[2] != ticket:
            raise Fenced(f"the copy of {self.address} is filled by someone else by now")

    async def _read(self, connection: Connection) -> Standing:
        found = await (await connection.execute(self._statements.read)).fetchall()
        vector = {(topic, number): offset for topic, number, offset, _ in found if topic != WHOLE}
        return Standing(any(topic == WHOLE and offset == 1 for topic, _, offset, _ in found), vector)

    async def _write(self, connection: Connection, rows: Sequence[Any], gone: Sequence[Any]) -> None:
        """Write as a read model does: all of these keys may be there already."""
        assert self._table is not None, "opened without its declaration"
        assert self._read_model is not None
        sheet = Sheet(self._table, complete=False)
        sheet.rows = {**{self._table.key_of(each): each for each in rows}, **dict.fromkeys(gone)}
        sheet.dirty, sheet.stored = set(sheet.rows), set(sheet.rows)
        await self._read_model.write(connection, sheet)


def _turn(moved: Sequence[tuple[str, int, int]]) -> list[list[Any]]:
    return [[each[column] for each in moved] for column in range(3)]
