"""Schema drift before a record brings it: the tables as PostgreSQL has them, against the row classes that handlers were written for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cdc.change.drift import Drift
from cdc.change.written import compare_written, read_written
from cdc.connect.declaration import Connector
from cdc.connect.scope import is_sent
from cdc.database import SourceDatabase
from cdc.finding import Finding
from eventstore.errors import UsageError

REMEDY = "write the row classes anew with `cdc types`, mend the handlers that the type checker names, and deploy before rows come"


@dataclass(frozen=True, slots=True)
class Written:
    """A module of row classes, as `cdc types` wrote it: its *name* for messages, and its *text*."""

    name: str
    text: str

    @classmethod
    async def read(cls, path: Path) -> Written:
        """Read it. Raises UsageError without it."""
        try:
            return cls(str(path), await asyncio.to_thread(path.read_text, "utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} can't be read: {error}; `cdc types FILE --out {path}` writes it") from error

    async def compare(self, database: SourceDatabase, connector: Connector) -> list[tuple[str, Drift]]:
        """Give what differs in *connector*'s tables, by table. Raises UsageError for a module of something else."""
        written = read_written(self.text, self.name)
        columns = [
            each
            for each in await database.ask("columns", tables=sorted(connector.tables))
            if not each["generated"] and is_sent(connector.options, str(each["table_name"]), str(each["column_name"]))
        ]
        there = {
            table: {str(each["column_name"]): f"{each['type']}{' not null' if each['required'] else ''}" for each in found}
            for table, found in groupby(columns, key=lambda each: str(each["table_name"]))
        }
        return compare_written({table: found for table, found in written.items() if table in connector.tables}, there)


def warn_drift(found: list[tuple[str, Drift]]) -> Iterator[Finding]:
    """Give what is to be told beside a connector's health; a column more does no harm."""
    for table, each in found:
        if each.is_breaking:
            yield Finding("warn", "schema", f"{table}: {each}; records of that form are parked", REMEDY)
