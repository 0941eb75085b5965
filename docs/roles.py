"""Writes docs/reference/roles.md from the matrix in a migrated database: `REFOLD_POSTGRES_DSN=… python docs/roles.py`."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from eventstore.postgres import checkout, open_engine

DUTIES = ("writer", "relay", "projector", "reader")
ROWS = "SELECT kind, object, duty, privileges FROM eventstore.privilege ORDER BY kind, object, duty"
HEAD = """# Roles and what each may do
Written by `docs/roles.py` from the table `eventstore.privilege`, which is what `eventstore migrate` and
`eventstore roles --apply` grant by; do not edit.
A test compares this page with the table, and the table with the catalogue of a migrated database.

| duty | role | processes |
|---|---|---|
| owner | `refold_owner` | `eventstore migrate`, `eventstore roles`, `eventstore chain`, `eventstore forget` |
| writer | `refold_writer` | the web app, `eventstore append`, `eventstore import`, `eventstore show`, process managers |
| relay | `refold_relay` | `eventstore relay`, `eventstore follow`, `eventstore chain verify`, Debezium on the events |
| projector | `refold_projector` | `projections run`, `replay` |
| reader | `refold_reader` | whatever shows read models |

`REFOLD_POSTGRES_ROLE_PREFIX`, when the database is first migrated, names them otherwise.
Schemas, tables and views of generations belong to the projectors' role, and readers may read them by default privileges.
An empty row is the owner's alone. PUBLIC may do nothing.
"""
TITLES = {"database": "The database", "schema": "Schemas", "table": "Tables", "function": "Functions"}


def render(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """Write the whole page."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for kind, name, duty, privileges in rows:
        cells.setdefault((kind, name), {})[duty] = privileges
    text = HEAD
    for kind, title in TITLES.items():
        text += f"\n## {title}\n| {kind} | {' | '.join(DUTIES)} |\n|---|{'---|' * len(DUTIES)}\n"
        for known, name in sorted(cells):
            if known == kind:
                text += f"| `{name or 'this one'}` | {' | '.join(cells[kind, name].get(each, '') for each in DUTIES)} |\n"
    return text


async def _read() -> list[tuple[str, str, str, str]]:
    engine = open_engine()
    async with checkout(engine) as connection:
        rows = await (await connection.execute(ROWS)).fetchall()
    await engine.dispose()
    return rows


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("roles.md").write_text(render(asyncio.run(_read())), "utf-8")
