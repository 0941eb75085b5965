"""SQL kept in files: `load("eventstore.postgres", "append")` is the text of `eventstore/postgres/sql/append.sql`.

The loader returns a LiteralString because the text is part of this program and never holds a value; drivers insist on that.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

from eventstore.errors import UsageError


@cache
def load(package: str, name: str) -> LiteralString:
    """Give the statement *name* of *package*. Raises UsageError that lists the known names for an unknown one."""
    folder = files(package) / "sql"
    known = sorted(each.name[:-4] for each in folder.iterdir() if each.name.endswith(".sql")) if folder.is_dir() else []
    if name not in known:
        raise UsageError(f"package {package} has no statement {name!r}; it has: {', '.join(known) or 'none'}")
    return cast(LiteralString, (folder / f"{name}.sql").read_text(encoding="utf-8"))
