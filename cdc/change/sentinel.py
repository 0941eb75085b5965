"""Values that a changed row may hold and that are not data: unchanged, infinite, or beyond what Python's datetime can say.

`UNCHANGED` stands where Debezium puts its placeholder: the column is stored out of line (TOAST) and the update did not touch
it, so the log does not carry it. Whoever writes a row must leave such a column as it is. PostgreSQL also knows dates and times
that `datetime` does not (infinity, 44 BC, the year 12024, 24:00); these stay text that PostgreSQL accepts back.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final


class Unchanged(Enum):
    """The type of `UNCHANGED`, of which there is one value, also after pickling."""

    UNCHANGED = "UNCHANGED"

    def __repr__(self) -> str:
        return "UNCHANGED"

    def __bool__(self) -> bool:
        return False


UNCHANGED: Final = Unchanged.UNCHANGED
"""The column's value was not sent because it did not change: keep what is stored."""


class Infinity(StrEnum):
    """PostgreSQL's infinite dates and timestamps; as text, PostgreSQL reads them back."""

    POSITIVE = "infinity"
    NEGATIVE = "-infinity"


class Beyond(str):
    """A date or time outside of what `datetime` holds, as text that PostgreSQL reads back: `0044-03-15 BC`, `24:00:00`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Beyond({str(self)!r})"
