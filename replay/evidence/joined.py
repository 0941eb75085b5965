"""Rows that a repair folded anew, completed by joins as workers do it: by the same code, in the transaction that writes them.

Versions are put right before rows are completed from them, so a mended row has what a rebuild would give it and keeps that. Whoever mends a
version also completes the rows anew about which it decides, selected or not, because a worker that brought the version would.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.feeding.completion import Completion
from projections.fold.sheet import Sheet
from projections.fold.step import HandlerFailed, describe
from projections.readmodels.joining import Joining
from projections.readmodels.postgres import ReadModel
from replay.evidence.address import Address
from replay.evidence.versions import Lineage, as_key


class Joined:
    """Completes rows of *projection* in the tables of *schema*."""

    def __init__(self, projection: Projection, schema: str, read_model: ReadModel) -> None:
        self._projection = projection
        self._schema = schema
        self._read_model = read_model

    def sort(self, tables: Iterable[Table[Any]]) -> list[Table[Any]]:
        """Give *tables* in an order in which versions come before what is completed from them."""
        past = {each.past.name for each in self._projection.joins}
        return sorted(tables, key=lambda each: each.name not in past)

    async def find_strays(self, connection: Connection, lineages: Iterable[Lineage]) -> set[Address]:
        """Give the stored versions of *lineages*, among which may be some that no event gives."""
        wanted, found = list(lineages), set[Address]()
        for past in {each.past.name: each.past for each in self._projection.joins}.values():
            if mine := [point for name, point in wanted if name == past.name]:
                joining = Joining(next(each for each in self._projection.joins if each.past is past), self._schema)
                found |= {Address(past, as_key(past, each)) for each in await joining.find_versions(connection, mine)}
        return found

    async def fill(self, connection: Connection, rows: Mapping[Address, Any]) -> None:
        """Fill the joined columns of *rows* from the versions that are stored. Raises PreconditionFailed when a function refuses one."""
        sheets = {each.name: Sheet(each, complete=False) for each in self._projection.tables}
        for address, row in rows.items():
            sheet = sheets[address.table.name]
            sheet.rows[address.key] = row
            sheet.dirty.add(address.key)
        try:
            await self._open(sheets).fill(connection)
        except HandlerFailed as error:
            raise PreconditionFailed(
                f"nothing was repaired: {error}. A row can't be completed from the versions that the log gives; `replay why` shows which."
            ) from error

    async def follow(self, connection: Connection, sheets: Mapping[str, Sheet]) -> AsyncGenerator[int]:
        """Complete and write the stored rows about which the versions written from *sheets* decide; gives how many, thousands at a time.

        While it is at one, *sheets* hold what was written. What they held before must have been written and noted; it is forgotten.
        """
        completion = self._open(sheets)
        completion.note([], carefully=False)
        for each in sheets.values():
            each.settle()
        try:
            async for _ in completion.find_late(connection):
                await self._read_model.begin_again(connection)
                yield sum([await self._read_model.write(connection, each) for each in sheets.values()])
                for each in sheets.values():
                    each.settle()
        except HandlerFailed as error:
            raise PreconditionFailed(f"nothing was repaired: {error}, with a version that was put right") from error

    def _open(self, sheets: Mapping[str, Sheet]) -> Completion:
        private = self._projection.has_personal
        return Completion(self._projection, self._schema, sheets, lambda error: describe(error, private=private))
