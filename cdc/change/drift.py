"""Schema drift: what a table's records look like now against the row class that a projection was written for. Pure.

A column more does no harm and flows through. A column that is gone, or whose values have another Python type, would make handlers do
something nobody wrote: such a record is refused with the column, both types and the way out, and waits until the code fits.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from cdc.change.annotation import annotate, name_sent, name_written
from cdc.change.column import Schema
from eventstore.errors import SchemaDrifted

Columns = Mapping[str, str]
"""Column name to PostgreSQL's type, as a row class says it."""


class Drift(NamedTuple):
    """One column that is not as declared. *old* is the declared type, *new* the found one, of `renamed` the new name with it."""

    what: Literal["added", "dropped", "renamed", "retyped"]
    column: str
    old: str
    new: str

    @property
    def is_breaking(self) -> bool:
        """Whether handlers that were written for the old shape may not see the new one."""
        return self.what != "added"

    def __str__(self) -> str:
        match self.what:
            case "added":
                return f"column {self.column} is new ({self.new})"
            case "dropped":
                return f"column {self.column} ({self.old}) is gone"
            case "renamed":
                return f"column {self.column} ({self.old}) is gone, and {self.new} is new: it was probably renamed"
            case _:
                return f"column {self.column} was {self.old} and is {self.new}"


def list_columns(row: type) -> Columns:
    """Give the columns that a generated row class declares, with PostgreSQL's types; those it does not require are left out."""
    hints = typing.get_type_hints(row, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if typing.get_origin(hint) is typing.Annotated}


def find_drift(declared: Columns, fields: Sequence[Schema], known: Collection[str] = ()) -> list[Drift]:
    """Compare *declared* columns with the *fields* of a record's schema. Columns in *known* are read as somebody declared them."""
    sent = {each["field"]: each for each in fields}
    added = {name: name_sent(each) or str(each["type"]) for name, each in sent.items() if name not in declared}
    found: list[Drift] = []
    for column, old in declared.items():
        if column not in sent:
            heir = next((name for name, new in added.items() if _annotate(new) == _annotate(name_written(_bare(old)))), None)
            if heir is None:
                found.append(Drift("dropped", column, old, ""))
            else:
                found.append(Drift("renamed", column, old, f"{heir} ({added.pop(heir)})"))
        elif column not in known and (new := name_sent(sent[column])) and not _is_same(_bare(old), new, sent[column]):
            found.append(Drift("retyped", column, old, new.removeprefix("_") + "[]" * new.startswith("_")))
    return found + [Drift("added", column, "", new) for column, new in added.items()]


def require_shape(table: str, declared: Columns, fields: Sequence[Schema], known: Collection[str] = ()) -> None:
    """Raise SchemaDrifted when records of *fields* are not what handlers were written for."""
    breaking = [each for each in find_drift(declared, fields, known) if each.is_breaking]
    if breaking:
        raise SchemaDrifted(
            f"{table}: {'; '.join(map(str, breaking))}. Write the row class anew with `cdc types`, mend the handlers, deploy, and let the "
            "parked records be tried again: `projections parked retry`.",
            table=table,
            drift=[dict(each._asdict()) for each in breaking],
        )


def _is_same(old: str, new: str, schema: Schema) -> bool:
    name = name_written(old)
    if new in ("bit", "bool") and name == "bit":
        return (old == "bit(1)") == (new == "bool")
    return _annotate(name) == _annotate(new) or (schema.get("type") == "struct" and name in ("box", "lseg", "path", "polygon"))


def _annotate(name: str) -> Any:
    return annotate(name)


def _bare(declared: str) -> str:
    return declared.removesuffix(" not null")
