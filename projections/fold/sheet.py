"""The working copy of one table while records are folded: pure, and all that the fold knows of the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventstore.errors import UsageError
from projections.declaration.table import Table


class Sheet:
    """Rows by key, which of them changed, rows to add, and what is known of the database.

    While *complete* is true a key outside *stored* has no row in the database: true only for a table that this fold alone has
    written since it was empty. *stored* holds the keys that the database is known to have, *absent* those that were looked for in vain.
    *added* are rows that no handler will ever see again; they are written once and not kept.
    """

    def __init__(self, table: Table[Any], *, complete: bool) -> None:
        self.table = table
        self.complete = complete
        self.rows: dict[Any, Any] = {}
        self.dirty: set[Any] = set()
        self.stored: set[Any] = set()
        self.absent: set[Any] = set()
        self.added: list[Any] = []
        self._evicted = False

    @property
    def is_whole(self) -> bool:
        """True when nothing ever has to be loaded: every row of the table is here."""
        return self.complete and not self._evicted

    @property
    def pending(self) -> int:
        """How many rows wait to be written."""
        return len(self.dirty) + len(self.added)

    def missing(self, keys: Iterable[Any]) -> list[Any]:
        """Give those of *keys* that must be loaded before the fold."""
        if self.is_whole:
            return []
        if self.complete:
            return [key for key in self.stored.intersection(keys) if key not in self.rows]
        return [key for key in set(keys) if key not in self.rows]

    def load(self, keys: Iterable[Any], rows: Iterable[Any]) -> None:
        """Take over what the database holds under *keys*: *rows* exist, the others don't.

        Raises UsageError for a row under a key that nobody asked for: the handlers' key has another type than the column.
        """
        self.rows.update(dict.fromkeys(keys))
        self.absent.update(keys)
        key_of = self.table.key_of
        for row in rows:
            key = key_of(row)
            if key not in self.rows:
                raise UsageError(
                    f"table {self.table.name!r}: a row was found under key {key!r}, which no handler asked for in this form; let the "
                    f"key function give the type of {self.table.row.__name__}'s key"
                )
            self.rows[key] = row
            self.stored.add(key)
            self.absent.discard(key)

    def changed(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Give what to write beside *added*: rows the database has not, rows that it has or may have, keys to delete."""
        rows, stored = self.rows, self.stored
        absent = None if self.complete else self.absent
        fresh: list[Any] = []
        known: list[Any] = []
        gone: list[Any] = []
        for key in self.dirty:
            row = rows[key]
            if key in stored:
                if row is None:
                    gone.append(key)
                else:
                    known.append(row)
            elif row is not None:
                (fresh if absent is None or key in absent else known).append(row)
        return fresh, known, gone

    def settle(self) -> None:
        """Note that the changes are committed."""
        gone = [key for key in self.dirty if self.rows[key] is None]
        self.stored |= self.dirty
        self.stored.difference_update(gone)
        self.absent.difference_update(self.dirty)
        self.absent.update(gone)
        if self.complete:
            for key in gone:
                del self.rows[key]
        self.dirty.clear()
        self.added.clear()

    def evict(self, most_keys: int) -> None:
        """Give the memory of committed rows back; up to *most_keys* keys are kept, so that new ones need no look-up."""
        if self.complete and len(self.stored) <= most_keys:
            self.rows.clear()
            self.absent.clear()
            self._evicted = True
        else:
            self.clear()

    def clear(self) -> None:
        """Forget all rows; whatever is needed next must be loaded."""
        self.complete = self._evicted = False
        self.rows.clear()
        self.dirty.clear()
        self.stored.clear()
        self.absent.clear()
        self.added.clear()
