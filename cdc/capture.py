"""A captured table as a source for projections."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cdc.change import Change, Decoder, Modes
from cdc.change.column import Schema
from cdc.change.drift import list_columns, require_shape
from cdc.change.place import find_place, remove_row, revise_row
from cdc.change.text import write_row
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings
from eventstore.source import Message, Place, Reader, Record, Sweep
from eventstore.stream import Position

_UNSAFE = re.compile(r"[^a-zA-Z0-9._-]")


@dataclass(frozen=True, slots=True)
class CapturedTable:
    """The changes of one table that a connector captures; implements `eventstore.source.OrderedSource`.

    *connector* is its name in the TOML file, *table* `schema.table`. Handlers subscribe to the table's name and receive a
    `Change`, keyed by the primary key's values. *full* says that the table has REPLICA IDENTITY FULL: then `before` is given.
    *columns* (name -> PostgreSQL type) and *modes* are for topics written without schemas, and for single columns that the
    schema leaves open (a domain over numeric arrives as text). *prefix* is the `topic.prefix` of an adopted connector; None = the one
    that ours have. *row* is the class that `cdc types` wrote for the table's rows: records that no longer are like it are refused, so that
    they wait for code that fits. Columns in *young* may be missing, as they are in records from before they were added.
    """

    connector: str
    table: str
    full: bool = False
    columns: Mapping[str, str] | None = field(default=None, hash=False)
    modes: Modes = field(default_factory=Modes)
    prefix: str | None = None
    row: type | None = field(default=None, compare=False)
    young: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        schema, dot, name = self.table.partition(".")
        if not (schema and dot and name):
            raise UsageError(f"the table {self.table!r} needs its schema: write public.{self.table}")

    @property
    def name(self) -> str:
        """Stable name of the source."""
        return f"cdc:{self.connector}:{self.table}"

    def topic(self, settings: KafkaSettings) -> str:
        """Name the topic Debezium writes to, with `_` where the table's name holds what a topic's may not."""
        prefix = self.prefix or f"{settings.topic_prefix}.{self.connector}"
        return f"{prefix}.{_UNSAFE.sub('_', self.table)}"

    def reader(self, wanted: frozenset[str]) -> Reader:
        """Make a reader of this table's changes; tombstones, and everything when the table is not wanted, give None."""
        table = self.table
        if table not in wanted:
            return _pass_over
        decode = Decoder(full=self.full, columns=self.columns, modes=self.modes, require=self.find_requirement()).decode

        def read(record: Record) -> Message | None:
            change = decode(record.key, record.value)
            if change is None:
                return None
            return Message(table, change, change.key, None)

        return read

    def find_requirement(self) -> Callable[[Sequence[Schema]], None] | None:
        """Give what refuses records that have drifted away from *row*; None where there is no such class."""
        if self.row is None:
            return None
        declared, table, known = list_columns(self.row), self.table, self.columns or {}

        def require(fields: Sequence[Schema]) -> None:
            there = {each["field"] for each in fields}
            expected = {name: kind for name, kind in declared.items() if name in there or name not in self.young}
            require_shape(table, expected, fields, known)

        return require

    @property
    def messages(self) -> Sequence[str]:
        """The one name under which its changes come."""
        return (self.table,)

    def detail(self, body: Any, raw: Any) -> Any:  # noqa: ARG002 - every source has the same signature
        """Give the change itself."""
        return body

    def position(self, record: Record) -> Position | None:  # noqa: ARG002
        """Give None: a change has no position in the event store."""
        return None

    @property
    def recalls(self) -> bool:
        """True when changes hold the row as it was."""
        return self.full

    def place(self, body: Change) -> Place:
        """Give where a change stands in the connector's order."""
        return find_place(body)

    def recall(self, body: Change) -> str:
        """Give the row after a change as text."""
        return write_row(body.row)

    def remove(self, key: str, row: str | None, sweep: Sweep) -> Message:
        """Make the delete of a row for which the log has none."""
        change = remove_row(self.table, key, row, sweep)
        return Message(self.table, change, change.key, None)

    def revise(self, body: Change, row: str | None) -> Message:
        """Make an update of a row that a snapshot found although it was known."""
        change = revise_row(body, row)
        return Message(self.table, change, change.key, None)


def _pass_over(record: Record) -> Any:  # noqa: ARG001 - a Reader takes the record
    return None
