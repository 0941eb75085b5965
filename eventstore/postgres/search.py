"""Looking for texts in every table of a database, whatever the table: rows are compared as the text that PostgreSQL makes of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from psycopg import Error, sql
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres.engine import checkout
from eventstore.postgres.statements import load

_HERE: Final = "eventstore.postgres"
SHORTEST: Final = 4
"""Characters that a text must have to be looked for; shorter ones are found in anything."""
_BREAKS = re.compile(r'["\\\x00-\x1f]+')
Table = tuple[str, str]


class Search(NamedTuple):
    """What came of it: the number of tables *searched*, those *found* to hold a text and in how many rows, those *refused* and why."""

    searched: int
    found: dict[Table, int]
    refused: dict[Table, str]


def pick_needles(texts: Iterable[str]) -> set[str]:
    """Give what to look for: of each text the longest piece that is written alike in JSON, rows and records. Pure."""
    pieces = {max(_BREAKS.split(each), key=len) for each in texts}
    return {each for each in pieces if len(each) >= SHORTEST}


async def search_tables(engine: AsyncEngine, needles: Collection[str], only: Collection[Table] | None = None) -> Search:
    """Look for *needles* in all tables of the database of *engine*, or in those of *only*. Reads every row."""
    patterns = [f"%{_escape(form)}%" for each in sorted(needles) for form in (each, each.encode().hex())]
    found: dict[Table, int] = {}
    refused: dict[Table, str] = {}
    async with checkout(engine) as connection:
        tables = await (await connection.execute(load(_HERE, "searchable_tables"))).fetchall()
        wanted = [each for each in tables if only is None or (each[0], each[1]) in only]
        for schema, name, hidden in wanted:
            query = sql.SQL(load(_HERE, "search_table")).format(sql.Identifier(schema, name))
            try:
                async with connection.transaction():
                    await connection.execute(load(_HERE, "act_for_all"))
                    row = await (await connection.execute(query, (patterns,))).fetchone()
            except Error as error:
                refused[schema, name] = str(error.diag.message_primary or type(error).__name__)
                continue
            if row and row[0]:
                found[schema, name] = row[0]
            if hidden:
                refused[schema, name] = "row-level security hides rows of it from this login"
    return Search(len(wanted) - len(refused), found, refused)


def _escape(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)
