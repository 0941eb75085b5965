"""Holds the read models against the oracle: every row of every table, in one snapshot, through the session that web apps use."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncSession

from eventstore.postgres import open_engine
from examples.flights import oracle
from examples.flights.data import FIRST_DAY, LAST_DAY
from examples.flights.operations import TABLES, operations_dsn
from examples.flights.release1 import app
from projections.declaration.table import Table
from projections.serving import ReadModels


class Finding(NamedTuple):
    """What an audit looked at and what it found; no *differences* means that everything is exactly as it should be."""

    rows: int
    differences: list[str]


def current_operations(dsn: str) -> dict[str, oracle.Frame]:
    """Read the operations tables as they are now."""
    frames: dict[str, oracle.Frame] = {}
    with psycopg.connect(dsn, options="-c timezone=UTC") as connection:
        for table in TABLES:
            cursor = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table)))
            names = [column.name for column in cursor.description or ()]
            frames[table] = oracle.pd.DataFrame(cursor.fetchall(), columns=names)
    return frames


async def compare(read_models: ReadModels, wanted: Mapping[str, oracle.Frame], *, most: int = 20) -> Finding:
    """Compare every table with *wanted*, all in one snapshot; stops after *most* differences."""
    tables: dict[str, Table[Any]] = {table.name: table for projection in app for table in projection.tables}
    said: list[str] = []
    async with read_models.session() as session:
        for name, frame in wanted.items():
            said += await _compare_table(session, tables[name], frame)
            if len(said) >= most:
                break
    return Finding(sum(len(frame) for frame in wanted.values()), said[:most])


async def _compare_table(session: AsyncSession, table: Table[Any], frame: oracle.Frame) -> list[str]:
    names = oracle.columns(table.name, frame)
    count = await session.scalar(sa.select(sa.func.count()).select_from(table.table))
    said = [] if count == len(frame) else [f"{table.name}: has {count} rows, not {len(frame)}"]
    for condition, part in _slices(table, frame):
        found = await session.execute(sa.select(*(table.table.c[name] for name in names)).where(condition))
        rows: Iterable[Any] = map(tuple, found)
        said += oracle.differences(table.name, part, rows)
    return said


def _slices(table: Table[Any], frame: oracle.Frame) -> Iterator[tuple[sa.ColumnElement[bool], oracle.Frame]]:
    """Cut the one large table by month, so that a year is never in memory twice."""
    if table.name != "departure":
        yield sa.true(), frame
        return
    for month in range(1, 13):
        prefix = f"flight-2013-{month:02}-"
        yield table.table.c.stream.startswith(prefix), frame[frame["stream"].str.startswith(prefix)]


async def _main(first: date, last: date, release: int) -> int:
    wanted = oracle.expected(oracle.facts(first, last), current_operations(operations_dsn()), release=release)
    engine = open_engine(application="flights audit")
    try:
        finding = await compare(ReadModels(engine, app), wanted)
    finally:
        await engine.dispose()
    print("\n".join(finding.differences) or f"all {finding.rows:,} rows of {len(wanted)} tables equal the oracle")
    return 1 if finding.differences else 0


def main() -> None:
    """Read the command line and audit what is live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST_DAY, help="first day of 2013 that was imported")
    parser.add_argument("--last", type=date.fromisoformat, default=LAST_DAY, help="last day of 2013 that was imported or played")
    parser.add_argument("--release", type=int, choices=(1, 2), default=1, help="the release whose punctuality is live")
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(given.first, given.last, given.release)))


if __name__ == "__main__":
    main()
