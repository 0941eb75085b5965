"""Change: one row of one table as Debezium saw it change, decoded and immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, cast

Row = dict[str, Any]
"""Column name to Python value."""

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Row)
else:
    from typing import TypeVar

    R = TypeVar("R")

Op = Literal["c", "u", "d", "r", "t", "m"]
"""create, update, delete, read (a snapshot's row), truncate, message (`pg_logical_emit_message`)."""

Swept = Literal["truncate", "snapshot", "unseen"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Origin:
    """Where a change comes from: the essentials of Debezium's source block, read when asked for."""

    __slots__ = ("_block",)

    def __init__(self, block: Mapping[str, Any]) -> None:
        self._block = block

    @property
    def lsn(self) -> int | None:
        """The WAL position of the row. Neither unique nor rising: order by `Change.order`."""
        return self._block.get("lsn")

    @property
    def tx_id(self) -> int | None:
        """The 32-bit transaction id, which wraps around; None for an incremental snapshot's rows."""
        return self._block.get("txId")

    @property
    def snapshot(self) -> str | None:
        """`first`, `true`, `last`, `incremental`, ... of a snapshot's row; None while streaming."""
        marker: str | None = self._block.get("snapshot")
        return None if marker == "false" else marker

    @property
    def committed_at(self) -> datetime:
        """When the transaction committed (snapshot: when the row was read), by the database server's clock."""
        return _EPOCH + timedelta(microseconds=self.committed_us)

    @property
    def knows_commit(self) -> bool:
        """Whether the connector knew of a commit before this change: not in the snapshot with which it began."""
        sequence: str | None = self._block.get("sequence")
        return sequence is not None and not sequence.startswith("[null")

    @property
    def committed_us(self) -> int:
        """The same in microseconds since 1970."""
        micros: int | None = self._block.get("ts_us")
        return self._block["ts_ms"] * 1000 if micros is None else micros

    @property
    def database(self) -> str:
        """The source database's name."""
        return self._block["db"]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origin) and self._block == other._block

    def __hash__(self) -> int:
        return hash((self.lsn, self.tx_id, self.snapshot))

    def __repr__(self) -> str:
        return f"Origin(lsn={self.lsn}, tx_id={self.tx_id}, snapshot={self.snapshot!r}, committed_at={self.committed_at})"


@dataclass(frozen=True, slots=True)
class Change(Generic[R]):
    """One decoded record; `Change[Airline]` where `cdc types` wrote a class for the table's rows.

    *table* is `schema.table` (empty for a message), *key* the primary key's values in the key's order (empty without one).
    *before* is None unless the reader was told that the table has REPLICA IDENTITY FULL: otherwise Debezium fills it with
    column defaults, which are no data. A column that an update did not send is `UNCHANGED`.
    *order* compares changes of one connector: (position of the last commit, position of the row). Equal pairs occur (COPY,
    a primary key's update); within a partition the Kafka offset decides. *total_order* is the place in the transaction, when
    the connector sends transaction metadata. *swept* says why a row went for which the log has no delete: with a `truncate`, or because
    a `snapshot` of the whole table does not hold it, or `unseen` (it came again, so it must have gone).
    """

    op: Op
    table: str
    key: tuple[Any, ...]
    before: R | None
    after: R | None
    source: Origin
    order: tuple[int, int]
    key_names: tuple[str, ...] = ()
    total_order: int | None = None
    swept: Swept | None = None

    @property
    def row(self) -> Row:
        """The row after the change; of a deleted one, its key."""
        if self.after is None:
            return dict(zip(self.key_names, self.key, strict=True))
        return cast("Row", self.after)
