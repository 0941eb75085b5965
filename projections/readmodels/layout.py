"""What it takes to let the views of a projection show another generation. Pure.

`CREATE OR REPLACE VIEW` keeps what users have built upon a view (their views, grants, comments), but only if the columns that it has
stay in their places; new ones come last. So a view lists its columns in the order that it had. A column that is gone takes its name
along where nothing was built upon the view; it stays as an empty one where something was, upon other columns; and where something was built
upon that very column, the views stay as they are, and the reason says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from psycopg import sql

from eventstore.errors import RefoldError
from projections.control.generation import Generation

MARK = "refold: "
"""How the comment of a view of ours begins."""


class Column(NamedTuple):
    """A column with its type and collation, as PostgreSQL names them."""

    name: str
    type: str
    collation: str


class BuiltUpon(RefoldError):
    """Something of a user's depends on columns that a view can't show any more."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or a view as it is in the database: *kind* is that of pg_class.

    *used* names the columns that something else was built upon, *is_used* says whether anything was at all.
    """

    schema: str
    name: str
    kind: str
    comment: str | None
    columns: tuple[Column, ...]
    used: frozenset[str] = frozenset()
    is_used: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is a view that was made here; users may have their own beside them."""
        return self.kind == "v" and (self.comment or "").startswith(MARK)


class Arrangement(NamedTuple):
    """The columns of a view: those of its table, and *empty* ones that the table has no more; *anew* = drop the view first."""

    columns: tuple[Column, ...]
    empty: frozenset[str]
    anew: bool


def arrange(table: Relation, view: Relation | None) -> Arrangement:
    """Arrange the columns of *view* for *table*. Raises BuiltUpon when something depends on what is gone."""
    if view is None:
        return Arrangement(table.columns, frozenset(), anew=False)
    have = {each.name: each for each in table.columns}
    gone = [each for each in view.columns if have.get(each.name) != each]
    if gone and not view.is_used:
        return Arrangement(table.columns, frozenset(), anew=True)
    if broken := [each.name for each in gone if each.name in have or each.name in view.used]:
        raise BuiltUpon(f"{view.schema}.{view.name} can't lose {', '.join(broken)}, or change its type")
    named = {each.name for each in view.columns}
    added = tuple(each for each in table.columns if each.name not in named)
    return Arrangement((*view.columns, *added), frozenset(each.name for each in gone), anew=False)


def find_taken(found: Iterable[Relation], generation: Generation, home: str) -> str | None:
    """Name what bears the name of a view to be made and is not one: a table of the user's, say."""
    known = {(each.schema, each.name): each for each in found}
    tables = [name for schema, name in known if schema == generation.schema_name]
    taken = [known[home, name] for name in tables if (home, name) in known and known[home, name].kind != "v"]
    return f"{home}.{taken[0].name}" if taken else None


def compose_move(found: Iterable[Relation], generation: Generation, home: str) -> Iterator[sql.Composed]:
    """Compose the statements that let the views in schema *home* show *generation*, those of tables that it has no more dropped."""
    known = {(each.schema, each.name): each for each in found}
    tables = [each for (schema, _), each in known.items() if schema == generation.schema_name and each.kind in {"r", "p"}]
    yield sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(home))
    for table in tables:
        yield from _compose_view(table, known.get((home, table.name)), generation, home)
    shown = {each.name for each in tables}
    for (schema, name), each in known.items():
        if schema == home and each.is_ours and name not in shown:
            yield sql.SQL("DROP VIEW {}").format(sql.Identifier(home, name))


def _compose_view(table: Relation, view: Relation | None, generation: Generation, home: str) -> Iterator[sql.Composed]:
    told = f"{MARK}the live rows of {generation.projection}, at present generation {generation.number}"
    if view is not None and view.comment == told:
        return
    columns, empty, anew = arrange(table, view)
    name = sql.Identifier(home, table.name)
    if anew:
        yield sql.SQL("DROP VIEW {}").format(name)
    yield sql.SQL("CREATE OR REPLACE VIEW {} WITH (security_invoker = true) AS SELECT {} FROM {}").format(
        name,
        sql.SQL(", ").join(_compose_column(each, each.name in empty) for each in columns),
        sql.Identifier(table.schema, table.name),
    )
    yield sql.SQL("COMMENT ON VIEW {} IS {}").format(name, sql.Literal(told))


def _compose_column(column: Column, is_empty: bool) -> sql.Composable:
    name = sql.Identifier(column.name)
    # the type's name is PostgreSQL's own, written by format_type
    return sql.SQL("NULL::{} AS {}").format(sql.SQL(column.type), name) if is_empty else name  # pyright: ignore[reportArgumentType]
