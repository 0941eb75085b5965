"""What is committed in an experiment, as a database would give it back, and the one transaction that is open above it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from projections.control.outbox import Derived
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.experiment.telling import Partition, name_topic

Rows = dict[str, dict[Any, Any]]
"""By table and key."""


class Store:
    """Rows of *tables*, where each of *partitions* is, and what was derived, by partition. Rows go in and out as copies."""

    def __init__(self, tables: Iterable[Table[Any]], partitions: Iterable[Partition]) -> None:
        self._tables = {each.name: each for each in tables}
        self._rows: Rows = {each: {} for each in self._tables}
        self._draft: Rows = {each: {} for each in self._tables}
        self.offsets = dict.fromkeys(partitions, 0)
        self.derived: dict[int, list[Derived]] = {}

    @classmethod
    def of(cls, projection: Projection, log: Iterable[Partition]) -> Store:
        """Make the store of *projection*, which reads its part of *log*."""
        topics = {name_topic(each.name) for each in projection.sources}
        return cls([*projection.tables, *projection.marks.values()], [each for each in log if each[0] in topics])

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was ever committed."""
        return not any(self.offsets.values())

    def get(self, table: str, key: Any) -> Any:
        """Give a row; None = there is none."""
        draft = self._draft[table]
        return copy.deepcopy(draft[key] if key in draft else self._rows[table].get(key))

    def scan(self, table: str) -> list[Any]:
        """Give all rows of a table."""
        rows = {**self._rows[table], **self._draft[table]}
        return [copy.deepcopy(each) for each in rows.values() if each is not None]

    def put(self, table: str, key: Any, row: Any) -> None:
        """Write a row, None = it goes. Raises ValueError for one that PostgreSQL would refuse."""
        if row is not None:
            self._tables[table].check(row, key)
        self._draft[table][key] = copy.deepcopy(row)

    def add(self, table: str, row: Any) -> None:
        """Write a row that must not be there yet. Raises ValueError for one that is."""
        key = self._tables[table].key_of(row)
        if self.get(table, key) is not None:
            raise ValueError(f"{table} has a row under key {key!r} already; a table whose rows change takes @table.on")
        self.put(table, key, row)

    def commit(self, moves: Mapping[Partition, int], derived: Iterable[Derived]) -> None:
        """Keep what was written, where partitions are now, and what followed."""
        for table, draft in self._draft.items():
            held = self._rows[table]
            for key, row in draft.items():
                held.pop(key, None)
                if row is not None:
                    held[key] = row
            draft.clear()
        self.offsets |= moves
        for each in derived:
            self.derived.setdefault(each.partition, []).append(each)

    def rollback(self) -> None:
        """Forget what was written."""
        for each in self._draft.values():
            each.clear()

    def rows(self, tables: Iterable[str]) -> Rows:
        """Give the committed rows of *tables*."""
        return {each: self._rows[each] for each in tables}
