"""Sinks: further places for the rows of a table, declared beside it. Pure; `projections.copies` does the writing.

PostgreSQL stays what decides: it holds the fold's state and the checkpoint. A sink holds a *copy* of the same rows for what PostgreSQL
does less well: reads by key in microseconds (Valkey), words (a search index), another department's SQL (another database). Each
generation has its own copy, so a rebuild, a swap and a rollback mean for it what they mean for the tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

from eventstore.errors import UsageError
from projections.declaration.table import Table

R = TypeVar("R")
P_co = TypeVar("P_co", bound="Valkey | Search | Postgres", covariant=True)
NUMBERS: Final = (int, float, Decimal)
LANGUAGES: Final = ("ar", "da", "nl", "en", "fi", "fr", "de", "el", "hu", "it", "no", "pt", "ro", "ru", "es", "sv", "ta", "tr")
"""Languages whose words the search index can reduce to their stems."""


@dataclass(frozen=True)
class Valkey:
    """Valkey or Redis: a hash per row. *ranked* columns, of numbers, can be read in their order."""

    ranked: Sequence[str] = ()
    kind = "valkey"

    def check(self, table: Table[Any]) -> None:
        """Raise UsageError for a column that can't be ranked."""
        _require(table, "ranked", self.ranked, NUMBERS)


@dataclass(frozen=True)
class Search:
    """A search index: *text* columns by their words, stemmed as in *language*; *exact* ones by value, range and order."""

    text: Sequence[str] = ()
    exact: Sequence[str] = ()
    language: str = "en"
    kind = "search"

    def check(self, table: Table[Any]) -> None:
        """Raise UsageError for a column that can't be found by."""
        _require(table, "text", self.text, (str, list))
        _require(table, "exact", self.exact, (str, bool, *NUMBERS, date, datetime))
        if not self.text and not self.exact:
            raise UsageError(f"table {table.name!r}: name the columns to search by, Search(text=[...], exact=[...])")
        if self.language not in LANGUAGES:
            raise UsageError(
                f"table {table.name!r}: knows no stems of language {self.language!r}; choose one of {' '.join(LANGUAGES)}"
            )
        if twice := set(self.text) & set(self.exact):
            raise UsageError(f"table {table.name!r}: {', '.join(sorted(twice))} is either text or exact")


@dataclass(frozen=True)
class Postgres:
    """Another PostgreSQL database, for reports that must not meet the app's own reads."""

    kind = "postgres"

    def check(self, table: Table[Any]) -> None:
        """Take any table."""


Place = Valkey | Search | Postgres


@dataclass(frozen=True)
class Sink(Generic[R, P_co]):
    """A table's rows in *place*."""

    table: Table[R]
    place: P_co

    def __str__(self) -> str:
        return f"{self.place.kind}:{self.table.name}"

    def describe(self) -> str:
        """Say what a copy holds, for the fingerprint: another shape is another generation."""
        return f"{self.table.name} {self.place!r}"

    def check(self) -> None:
        """Raise UsageError for a table whose rows this place can't hold."""
        self.place.check(self.table)


def _require(table: Table[Any], what: str, columns: Sequence[str], kinds: tuple[type, ...]) -> None:
    for each in columns:
        if each not in table.columns:
            raise UsageError(f"table {table.name!r}: {what} column {each!r} is no field of {table.row.__name__} {table.columns}")
        if not issubclass(table.kind(each), kinds):
            names = ", ".join(kind.__name__ for kind in kinds)
            raise UsageError(
                f"table {table.name!r}: {what} column {each!r} is {table.kind(each).__name__}, and must be one of {names}"
            )
