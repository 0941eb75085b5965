"""What happens to the rows of a captured table, in the words of a test, and the changes that a connector would make of it.

    goods = CapturedRows(GOODS, key="id")
    given(goods.insert(id=1, price=5), goods.update(id=1, price=7), goods.truncate()).then_nothing()

Nothing happens when a method is called: it says what does, and the scenario lets it happen, in its place among all others. So one object
serves any number of tests. Values are those that a handler gets; how they are written in a record is not gone through
(`cdc.change.decode`): a recorded one can be given as `(table, key, value)`, in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from cdc.capture import CapturedTable
from cdc.change import UNCHANGED, Change, Op, Origin, Row
from cdc.change.drift import list_columns
from cdc.change.text import write_key
from eventstore.errors import UsageError
from eventstore.source import Message, Told

Kind = Literal["insert", "update", "delete", "truncate", "snapshot"]
_STRIDE = 1_000
"""Positions between two deeds; the rows of one snapshot share theirs."""


class CapturedRows:
    """The rows of the captured *table*, whose primary key has the columns *key*; *partitions* is how many its topic has."""

    def __init__(self, table: CapturedTable, *, key: str | Sequence[str], partitions: int = 1) -> None:
        self.source = table
        self.key = (key,) if isinstance(key, str) else tuple(key)
        self.partitions = partitions
        self._declared = frozenset(list_columns(table.row)) if table.row is not None else None

    def insert(self, **row: Any) -> RowDeed:
        """Insert *row*, of all columns."""
        return self._say("insert", row)

    def update(self, **columns: Any) -> RowDeed:
        """Update the row that the columns of the key name; one that is `UNCHANGED` is a large value that was not sent."""
        return self._say("update", columns)

    def delete(self, **key: Any) -> RowDeed:
        """Delete the row under *key*."""
        return self._say("delete", key)

    def truncate(self) -> RowDeed:
        """Empty the table, in one record."""
        return RowDeed(self, "truncate", ())

    def snapshot(self, *rows: Mapping[str, Any]) -> RowDeed:
        """Let a connector that lost its place read the whole table again: *rows*, or those that it had before if there are none.

        What is missing or different in *rows* happened while nobody listened.
        """
        for each in rows:
            self._require(each)
        return RowDeed(self, "snapshot", tuple(map(dict, rows)))

    def _say(self, kind: Kind, columns: Mapping[str, Any]) -> RowDeed:
        self._require(columns)
        return RowDeed(self, kind, (dict(columns),))

    def _require(self, columns: Mapping[str, Any]) -> None:
        if missing := [each for each in self.key if each not in columns]:
            raise UsageError(f"{self.source.table}: a row is named by its key, and {', '.join(missing)} is not given")
        unknown = sorted(columns.keys() - self._declared) if self._declared is not None and self.source.row else []
        if unknown and self.source.row:
            raise UsageError(f"{self.source.table}: {', '.join(unknown)} is no column of {self.source.row.__name__}")


@dataclass(frozen=True, slots=True)
class RowDeed:
    """One thing that happens to *rows*; implements `eventstore.source.Deed`."""

    table: CapturedRows
    kind: Kind
    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}={value!r}" for row in self.rows[:1] for name, value in row.items())
        more = f", … {len(self.rows)} rows" if len(self.rows) > 1 else ""
        return f"{self.table.source.table}.{self.kind}({columns}{more})"

    @property
    def source(self) -> CapturedTable:
        """Give the captured table."""
        return self.table.source

    @property
    def partitions(self) -> int:
        """Give how many partitions its topic has."""
        return self.table.partitions

    def happen(self, kept: dict[str, Any], number: int, at: datetime) -> list[Told]:
        """Give what the connector would write. Raises UsageError for a row that is there already, or is not."""
        known: dict[tuple[Any, ...], Row] = kept.setdefault("rows", {})
        block: dict[str, Any] = {"ts_us": round(at.timestamp() * 1_000_000), "lsn": number * _STRIDE, "txId": number}
        if self.kind == "snapshot":
            return list(self._read(known, kept, block))
        commit: int | None = kept.get("commit")
        kept["commit"] = block["lsn"] + 1
        found = self._truncate(known) if self.kind == "truncate" else self._change(known)
        return [self._tell(*found, block, commit)]

    def _read(self, known: dict[tuple[Any, ...], Row], kept: dict[str, Any], block: dict[str, Any]) -> Iterator[Told]:
        rows = [dict(each) for each in self.rows] or list(known.values())
        known.clear()
        known.update({self._key_of(each): each for each in rows})
        kept["commit"] = None
        for at, row in enumerate(rows):
            marker = "last" if at + 1 == len(rows) else "true" if at else "first"
            yield self._tell("r", self._key_of(row), None, dict(row), {**block, "snapshot": marker}, None)

    def _truncate(self, known: dict[tuple[Any, ...], Row]) -> tuple[Op, tuple[Any, ...], Row | None, Row | None]:
        known.clear()
        return "t", (), None, None

    def _change(self, known: dict[tuple[Any, ...], Row]) -> tuple[Op, tuple[Any, ...], Row | None, Row | None]:
        [columns] = self.rows
        key = self._key_of(columns)
        before = known.get(key)
        if (before is None) != (self.kind == "insert"):
            raise UsageError(f"{self!r} can't happen: there is {'no row' if before is None else 'a row'} under {key} then")
        if self.kind == "delete":
            del known[key]
            return "d", key, before, None
        after = {**(before or {}), **columns}
        known[key] = {name: before[name] if value is UNCHANGED and before else value for name, value in after.items()}
        return ("u" if before else "c"), key, before, after

    def _key_of(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[each] for each in self.table.key)

    def _tell(
        self,
        op: Op,
        key: tuple[Any, ...],
        before: Row | None,
        after: Row | None,
        block: Mapping[str, Any],
        commit: int | None,
    ) -> Told:
        source, position = self.table.source, block["lsn"]
        sequence = f'[{"null" if commit is None else chr(34) + str(commit) + chr(34)},"{position}"]'
        schema, _, name = source.table.partition(".")
        origin = Origin({"snapshot": "false", "sequence": sequence, "db": "test", "schema": schema, "table": name, **block})
        order = (position if commit is None else commit, position)
        names = self.table.key if key else ()
        change = Change(op, source.table, key, before if source.full else None, after, origin, order, names)
        return Told(write_key(names, key).encode() if key else None, Message(source.table, change, key, None))
