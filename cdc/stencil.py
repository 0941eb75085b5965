"""`cdc types`: row classes of captured tables, cut out of PostgreSQL's catalogue; equal tables give equal text, byte for byte.

A row class is a TypedDict, since a change's row is a dict: nothing is converted, and a type checker knows each column. Each column also
says which type PostgreSQL has for it, by which a projection notices that records have changed (`cdc.change.drift`).
"""

from __future__ import annotations

import difflib
import json
import keyword
import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from cdc.change.annotation import MODULES, annotate
from cdc.check import Facts
from cdc.connect.declaration import Connector
from cdc.connect.scope import is_sent
from cdc.database import SourceDatabase
from eventstore.errors import PreconditionFailed

_WORD = re.compile(r"[A-Za-z_]\w*")
_OPAQUE = {"e": "enum", "c": "composite"}


async def read_rows(database: SourceDatabase, connector: Connector) -> str:
    """Give the module of row classes for *connector*'s tables. Raises PreconditionFailed for a table that does not exist."""
    found = await database.ask("columns", tables=sorted(connector.tables))
    columns = [each for each in found if is_sent(connector.options, str(each["table_name"]), str(each["column_name"]))]
    missing = sorted({*connector.tables} - {str(each["table_name"]) for each in columns})
    if missing:
        raise PreconditionFailed(f"the table {missing[0]} does not exist, or no column of it is captured", tables=missing)
    return write_rows(connector, columns)


def write_rows(connector: Connector, columns: Sequence[Facts]) -> str:
    """Write the module from the facts of all columns, table by table. Pure."""
    tables = {name: list(found) for name, found in groupby(columns, key=lambda each: str(each["table_name"]))}
    names = _name_classes(list(tables))
    parts = [_write_class(names[table], table, found) for table, found in tables.items()]
    parts += ["\n".join(_write_source(connector, names[table], table, found) for table, found in tables.items()) + "\n"]
    body = "\n\n".join(parts)
    head = (
        f'"""Rows of the tables that connector {connector.name} captures. Written by `cdc types`: change the tables, not this."""\n\n'
        "from __future__ import annotations\n\n"
    )
    return head + _write_imports(body) + "\n\n" + body


def compare_rows(written: str, wanted: str, name: str) -> str:
    """Give what would change in the file *name*, as a unified diff; empty = nothing. Pure."""
    lines = written.splitlines(keepends=True), wanted.splitlines(keepends=True)
    return "".join(difflib.unified_diff(*lines, f"{name} (as it is)", f"{name} (as the tables are)"))


def _name_classes(tables: Sequence[str]) -> dict[str, str]:
    """Name a class for each table, with the schema where the plain name is taken."""
    plain = {each: _camel(each.partition(".")[2]) for each in tables}
    twice = {name for name in plain.values() if [*plain.values()].count(name) > 1}
    return {each: _camel(each.replace(".", "_")) if name in twice else name for each, name in plain.items()}


def _camel(name: str) -> str:
    whole = "".join(part[:1].upper() + part[1:] for part in re.split(r"\W+|_+", name) if part)
    return whole if whole.isidentifier() and not keyword.iskeyword(whole) else f"Table{whole}"


def _write_class(name: str, table: str, columns: Sequence[Facts]) -> str:
    fields = {str(each["column_name"]): _write_hint(each) for each in columns}
    if all(each.isidentifier() and not keyword.iskeyword(each) for each in fields):
        lines = [f"class {name}(TypedDict):", f'    """A row of {table}."""', "", *(f"    {k}: {v}" for k, v in fields.items())]
        return "\n".join(lines) + "\n"
    listed = [f"        {json.dumps(column)}: {hint}," for column, hint in fields.items()]
    lines = [f"{name} = TypedDict(", f'    "{name}",', "    {", *listed, "    },", ")", f'"""A row of {table}."""']
    return "\n".join(lines) + "\n"


def _write_hint(column: Facts) -> str:
    """Write a column's annotation: its Python type, None where NULL may be, Unchanged where an update may leave a large value out."""
    written = str(column["type"])
    hint = annotate(_find_name(column), single_bit=written == "bit(1)")
    if hint != "Any":
        hint += " | Unchanged" * bool(column["large"]) + " | None" * (not column["required"])
    whole = f'Annotated[{hint}, "{written}{" not null" if column["required"] else ""}"]'
    return f"NotRequired[{whole}]" if column["generated"] else whole


def _find_name(column: Facts) -> str:
    """Give the type's name, `enum` and `composite` for those that a user made."""
    if column["element"] is not None:
        return "_" + _OPAQUE.get(str(column["element_kind"]), str(column["element"]))
    return _OPAQUE.get(str(column["kind"]), str(column["name"]))


def _write_source(connector: Connector, name: str, table: str, columns: Sequence[Facts]) -> str:
    told: Mapping[str, str] = {
        str(each["column_name"]): str(each["type"])
        for each in columns
        if each["is_domain"] and annotate(_find_name(each)) not in ("str", "int", "float", "bool")
    }
    given = [f'"{connector.name}"', f'"{table}"', f"row={name}"]
    given += ["full=True"] if any(each["full"] for each in columns) or table in connector.full else []
    given += ["columns={" + ", ".join(f'"{column}": "{kind}"' for column, kind in told.items()) + "}"] if told else []
    given += [f'prefix="{connector.adopted.prefix}"'] if connector.adopted else []
    constant = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
    return f"{constant}: Final = CapturedTable({', '.join(given)})"


def _write_imports(body: str) -> str:
    """Write the imports that *body* needs, as ruff sorts them."""
    used = {word for word in _WORD.findall(re.sub(r'"[^"]*"', '""', body)) if word in MODULES}
    used |= {
        word for line in body.splitlines() if line.lstrip().startswith("'") for word in _WORD.findall(line) if word in MODULES
    }
    modules: dict[str, list[str]] = {}
    for word in sorted(used, key=lambda each: (not each[0].isupper(), each)):
        modules.setdefault(MODULES[word], []).append(word)
    own = [each for each in sorted(modules) if each.startswith("cdc")]
    lines = [f"from {each} import {', '.join(modules[each])}" for each in sorted(modules) if each not in own]
    return "\n".join(lines) + "\n\n" + "\n".join(f"from {each} import {', '.join(modules[each])}" for each in own) + "\n"
