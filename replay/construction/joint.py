"""The pipeline of one of several processes that build one generation, each with partitions of its own.

No row is touched by two of them, but they share the tables, and what changes a table as a whole waits for everybody who wrote to it in an
open transaction. So primary keys are dropped before there are several processes, by whoever starts them, and added outside of any
transaction, by one process at a time: two that add or drop a key inside of theirs wait for each other (ADR 0034).
"""

from __future__ import annotations

from typing import Any

from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.feeding.pipeline import Pipeline
from projections.fold.sheet import Sheet
from projections.readmodels.postgres import ReadModel


class JointModel(ReadModel):
    """Tables that other processes fill too."""

    def __init__(self, projection: Projection, schema: str, generation: int) -> None:
        super().__init__(projection, schema)
        self._lock = {"generation": generation}

    async def drop_keys(self, connection: Connection) -> None:
        """Leave the keys as they are: whoever started this process has seen to them."""

    async def require_key(self, connection: Connection, name: str) -> None:
        """Add the primary key of table *name* unless it is there. Call it outside of any transaction."""
        if name in self._keyed:
            return
        await connection.execute(load("replay", "lock_keys"), self._lock)
        try:
            await super().require_key(connection, name)
        finally:
            await connection.execute(load("replay", "unlock_keys"), self._lock)


class Joint(Pipeline):
    """A pipeline beside others of the same generation; its tables must be owned by their partitions."""

    def _make_model(self) -> ReadModel:
        return JointModel(self._projection, self.generation.schema_name, self.generation.id)

    async def commit(self) -> None:
        """Write what was absorbed, once the keys are there that its transaction will ask for."""
        for name, sheet in self.folder.sheets.items():
            if needs_key(sheet):
                await self.read_model.require_key(self._connection, name)
        await super().commit()


def needs_key(sheet: Sheet) -> bool:
    """Say whether writing *sheet* may replace or delete a row that is stored: only then its table's key is needed already. Pure."""
    dirty: set[Any] = sheet.dirty
    return bool(dirty) and (not sheet.complete or bool(sheet.table.tenant) or not sheet.stored.isdisjoint(dirty))
