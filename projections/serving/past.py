"""Joining what happened with what a captured table said at that time.

Between an event and a table's changes the log gives no order, so a handler that looked into another table would find whatever was there
when it happened to run. A table of *versions* settles it: its handler keeps a row for each change, under the row's key and the time of
its commit, so its rows are the same whatever came first. The join picks, for each event, the version of its time, when somebody reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.selectable import LateralFromClause

from eventstore.errors import UsageError
from projections.declaration.table import Table


def as_of(versions: Table[Any], at: sa.ColumnElement[Any], *key: sa.ColumnElement[Any]) -> LateralFromClause:
    """Give the row of *versions* under *key* that was valid at the time *at*, to be joined `ON true`; none = nothing was known yet.

    The last column of the key of *versions* is the time from which a version holds; *key* are the columns before it. A version that says
    that the row was gone is given like any other: let its row class say so.
    """
    columns = versions.table.alias(f"{versions.name}_then")
    *named, since = versions.key
    if len(key) != len(named):
        raise UsageError(f"table {versions.name!r} has the key {versions.key}: give {len(named)} columns for {', '.join(named)}")
    return _pick(columns, named, key, since, at).lateral(f"{versions.name}_as_of")


def _pick(
    versions: sa.FromClause, named: Sequence[str], key: Sequence[sa.ColumnElement[Any]], since: str, at: sa.ColumnElement[Any]
) -> sa.Select[Any]:
    """Select the newest version under *key* that is not newer than *at*; the primary key's index finds it."""
    matches = [versions.c[name] == column for name, column in zip(named, key, strict=True)]
    return sa.select(versions).where(*matches, versions.c[since] <= at).order_by(versions.c[since].desc()).limit(1)
