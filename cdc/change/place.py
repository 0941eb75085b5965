"""Where a change stands in the order of its connector, and the changes that rows go by when the log has none for each of them.

A truncate is one record for all rows, and a row that a new snapshot does not hold any more has no record at all. Whoever keeps the keys
of the rows that are there gets a delete for each of them, which says in `Change.swept` why there is one.
"""

from __future__ import annotations

from dataclasses import replace

from cdc.change.change import Change, Op, Origin
from cdc.change.text import read_row, write_key
from eventstore.source import Act, Place, Sweep

_ACTS: dict[Op, Act] = {"c": "appear", "r": "read", "u": "change", "d": "vanish", "t": "sweep", "m": "change"}
_ENDS = ("last", "last_in_data_collection")


def find_place(change: Change) -> Place:
    """Give where *change* stands.

    A row of an incremental snapshot stands beside the stream, its positions being watermarks. Only a snapshot before which the connector
    knew of no commit is one of the whole table: one that was asked for while it streamed may be of any part of it.
    """
    source, op, order = change.source, change.op, change.order
    marker = source.snapshot
    key = write_key(change.key_names, change.key) if change.key else None
    if marker is None and op != "r":
        return Place(key, _ACTS[op], order, source.committed_us)
    beside = marker == "incremental"
    whole = op == "r" and not beside and not source.knows_commit
    snapshot = f"{order[1]}:{source.tx_id}" if whole else None
    return Place(key, _ACTS[op], order, source.committed_us, snapshot, marker in _ENDS, beside)


def remove_row(table: str, key: str, row: str | None, sweep: Sweep) -> Change:
    """Make the delete of the row of *table* under *key*, last known as *row*."""
    parts = read_row(key)
    origin = Origin({"ts_us": sweep.at, "lsn": sweep.order[1]})
    before = None if row is None else read_row(row)
    return Change("d", table, (*parts.values(),), before, None, origin, sweep.order, (*parts,), None, sweep.why)


def revise_row(change: Change, row: str | None) -> Change:
    """Make an update of the row that a snapshot found although it was known, as *row*."""
    return replace(change, op="u", before=None if row is None else read_row(row))
