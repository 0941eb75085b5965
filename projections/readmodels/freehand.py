"""SQL handlers at work: their statements within the transaction that moves the checkpoint, and what they may reach.

Tables are found under their bare names in the schema of the generation that is written, by search path and, for SQLAlchemy's own tables,
by translation. Which relations the statements touched is then asked of PostgreSQL, whose locks it holds until the transaction ends: any
other than the projection's free tables, for reading too, undoes the work. So no handler reaches another projection, the live views, or a
table of the app, which would be another one at the next replay; and none reads rows that a fold still holds in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection as SqlAlchemyConnection
from sqlalchemy import event

from eventstore.errors import UsageError
from eventstore.postgres.engine import Connection, lent
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.declaration.refusal import refuse
from projections.fold.step import Call
from projections.readmodels.trace import name_notes

PACKAGE = "projections"
Work = tuple[Any, tuple[Any, ...]]
"""A handler and what it gets beside the connection."""


class Freehand:
    """Runs SQL handlers of *projection* on the tables in *schema* over *connection*, within its caller's transactions."""

    def __init__(self, projection: Projection, schema: str, connection: Connection) -> None:
        self._projection = projection
        self._schema = schema
        self._connection = connection
        self._plain: Any = None
        self._allowed = [each.name for each in projection.free_tables]
        self._notes = [name_notes(each) for each in self._allowed]

    async def run(self, calls: Sequence[Call]) -> None:
        """Make *calls*, in order. Raises whatever a handler raises, and UsageError for one that reached too far."""
        await self._connection.execute(load(PACKAGE, "enter_schema"), {"schema": f'"{self._schema}"'})
        plain = await self._wrap()
        await plain.run_sync(_work, list(cut_runs(calls)))
        await self._require_own()

    async def _wrap(self) -> Any:
        """Give SQLAlchemy's face of the connection, prepared once."""
        if self._plain is None:
            self._plain = lent(self._connection)
            await self._plain.execution_options(schema_translate_map={self._projection.slug: self._schema})
            event.listen(self._plain.sync_connection, "before_cursor_execute", _screen)
        return self._plain

    async def _require_own(self) -> None:
        values = {"schema": self._schema, "allowed": [*self._allowed, *self._notes]}
        found = await (await self._connection.execute(load(PACKAGE, "list_touched"), values)).fetchall()
        if found:
            named = ", ".join(f"{name} ({mode})" for name, mode in found)
            raise UsageError(
                f"an SQL handler of {self._projection.name} touched {named}; it may touch {', '.join(self._allowed) or 'no table'}, "
                "which are the tables of the projection that have no other handlers"
            )


def cut_runs(calls: Sequence[Call]) -> Iterator[Work]:
    """Give the work of *calls* in order: what one batch handler gets in a row is one list. Pure."""
    for function, run in groupby(calls, key=lambda each: each.function):
        mine = list(run)
        if mine[0].batch:
            yield function, ([each.given for each in mine],)
        else:
            for each in mine:
                yield function, each.given


def _work(connection: SqlAlchemyConnection, work: Sequence[Work]) -> None:
    for function, arguments in work:
        function(connection, *arguments)


def _screen(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
    if why := refuse(statement):
        raise UsageError(why)
