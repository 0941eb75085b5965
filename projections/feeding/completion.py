"""Joined columns, inside of the transaction that moves a checkpoint: filled in rows that changed, and anew where a version came late.

Versions are written before anything is looked up, so that PostgreSQL answers from all of them. A row's columns are a function of the row
and of the version of its time; both look-ups are made within the one transaction, whose lock keeps out whoever else feeds the
generation. So the tables at a vector of offsets are the same whatever the way there: other batches, workers, or a crash.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

from eventstore.postgres.engine import Connection
from projections.declaration.join import Join, Point, as_point
from projections.declaration.projection import Projection
from projections.fold.sheet import Sheet
from projections.fold.step import HalfApplied, Plan, SweepFailed
from projections.readmodels.joining import Joining

Place = tuple[str, int, int]


class Completion:
    """Completes the rows of one generation in the *sheets* of its fold. *describe* says what a function raised."""

    def __init__(
        self, projection: Projection, schema: str, sheets: Mapping[str, Sheet], describe: Callable[[BaseException], str]
    ) -> None:
        self._sheets = sheets
        self._describe = describe
        self._joinings = [Joining(each, schema) for each in projection.joins]
        self._joins = projection.joins
        self._came: dict[str, dict[Point, Place | None]] = {}
        self._touched: dict[tuple[str, Any], Place] = {}
        self._carefully = False

    @property
    def versions(self) -> set[str]:
        """The tables of versions; empty for a projection without joins, and then nothing here costs anything."""
        return {each.past.name for each in self._joins}

    def forget(self) -> None:
        """Forget which versions came: they are committed, or rolled back."""
        self._came.clear()
        self._touched.clear()

    def strip(self) -> None:
        """Take what was joined from all rows that were loaded, before handlers see them."""
        for join in self._joins:
            for row in self._sheets[join.table.name].rows.values():
                if row is not None:
                    join.strip(row)

    def note(self, plans: Iterable[Plan], *, carefully: bool) -> None:
        """Note which versions came, and which record brought what, should a function refuse it.

        *carefully*: look whether PostgreSQL would take what is joined, so that it is known whose fault it is.
        """
        self._carefully = carefully
        joined = {each.table.name for each in self._joins}
        for name in self.versions:
            self._came.setdefault(name, {}).update(dict.fromkeys(map(as_point, self._sheets[name].dirty)))
        for plan in plans:
            for index, sheet, _, key, _, _ in plan.steps:
                name = sheet.table.name
                if not plan.records or (name not in joined and name not in self._came):
                    continue
                record = plan.records[index]
                place = record.topic, record.partition, record.offset
                if name in self._came and (point := as_point(key)) in self._came[name]:
                    self._came[name][point] = place
                if name in joined:
                    self._touched[name, key] = place

    async def fill(self, connection: Connection) -> None:
        """Fill the joined columns of all changed rows. Raises HandlerFailed with the record that a function refuses."""
        for joining in self._joinings:
            join = joining.join
            sheet = self._sheets[join.table.name]
            rows = {key: row for key in sheet.dirty if (row := sheet.rows[key]) is not None}
            for row in rows.values():
                join.strip(row)
            made = await self._work_out(connection, joining, rows)
            for key, values in made.items():
                join.write(rows[key], values)

    async def find_late(self, connection: Connection) -> AsyncIterator[None]:
        """Put the stored rows that versions of this transaction change into the sheets, thousands at a time, to be written."""
        for joining in self._joinings:
            came = self._came.get(joining.join.past.name)
            if not came:
                continue
            sheet = self._sheets[joining.join.table.name]
            async for found in joining.find_touched(connection, list(came)):
                if changed := await self._complete_anew(connection, joining, found):
                    yield
                for key in changed:
                    del sheet.rows[key]

    async def _complete_anew(self, connection: Connection, joining: Joining, found: Sequence[tuple[Point, Any]]) -> list[Any]:
        join = joining.join
        sheet = self._sheets[join.table.name]
        rows = {sheet.table.key_of(row): row for _, row in found}
        for version, row in found:
            place = self._came[join.past.name].get(version)
            if place is not None:
                self._touched[join.table.name, sheet.table.key_of(row)] = place
        made = await self._work_out(connection, joining, rows)
        changed = [key for key, values in made.items() if values != join.read(rows[key])]
        for key in changed:
            join.write(rows[key], made[key])
            sheet.load([key], [rows[key]])
            sheet.dirty.add(key)
        return changed

    async def _work_out(self, connection: Connection, joining: Joining, rows: Mapping[Any, Any]) -> dict[Any, tuple[Any, ...]]:
        points = {key: joining.join.find_point(row) for key, row in rows.items()}
        then = await joining.find_then(connection, list({each for each in points.values() if each is not None}))
        return await asyncio.to_thread(
            self._call, joining.join, rows, {key: each and then.get(each) for key, each in points.items()}
        )

    def _call(self, join: Join, rows: Mapping[Any, Any], then: Mapping[Any, Any]) -> dict[Any, tuple[Any, ...]]:
        """Run the function over *rows*, each bare of whatever any join has set."""
        joins = [each for each in self._joins if each.table is join.table]
        made: dict[Any, tuple[Any, ...]] = {}
        for key, row in rows.items():
            bare = copy.copy(row)
            for each in joins:
                each.strip(bare)
            try:
                made[key] = join.work_out(bare, then[key])
                if self._carefully:
                    join.write(bare, made[key])
                    join.table.check(bare, key)
            except Exception as error:
                self._raise_refused(join, key, error)
        return made

    def _raise_refused(self, join: Join, key: Any, error: Exception) -> None:
        """Blame the record that touched the row, or brought its version; rows that went together have none of their own."""
        reason = f"join of {join.table.name} with {join.past.name}: {self._describe(error)}"
        place = self._touched.get((join.table.name, key))
        if place is None:
            raise SweepFailed(reason) from None
        raise HalfApplied({place: reason}) from None
