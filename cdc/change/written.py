"""Row classes as `cdc types` wrote them, against the tables as they are: drift that is seen before a record brings it. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping

from cdc.change.annotation import annotate, name_written
from cdc.change.drift import Columns, Drift
from eventstore.errors import UsageError

_ROW = "A row of "


def read_written(text: str, name: str) -> dict[str, Columns]:
    """Give each table's columns with PostgreSQL's types, as the module *text* says them. Raises UsageError for anything else."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{name} is no module of row classes: {error}; `cdc types FILE --out {name}` writes one") from None
    found: dict[str, Columns] = {}
    for number, node in enumerate(body):
        if isinstance(node, ast.ClassDef) and (table := _read_table(ast.get_docstring(node))):
            found[table] = _read_types(dict(_list_columns(node.body)))
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and number + 1 < len(body):
            after = body[number + 1]
            words = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            fields = node.value.args[1] if len(node.value.args) > 1 else None
            if isinstance(words, str) and (table := _read_table(words)) and isinstance(fields, ast.Dict):
                keys = [each.value for each in fields.keys if isinstance(each, ast.Constant)]
                found[table] = _read_types(dict(zip(map(str, keys), fields.values, strict=True)))
    if not found:
        raise UsageError(f"{name} has no row class; `cdc types FILE --out {name}` writes them")
    return found


def compare_written(written: Mapping[str, Columns], there: Mapping[str, Columns]) -> list[tuple[str, Drift]]:
    """Give what differs, by table. Tables without a class are passed over."""
    return [(table, each) for table, columns in written.items() for each in _compare(columns, there.get(table, {}))]


def _compare(old: Columns, new: Columns) -> list[Drift]:
    added = {name: kind for name, kind in new.items() if name not in old}
    found: list[Drift] = []
    for column, kind in old.items():
        if column not in new:
            heir = next((name for name, other in added.items() if _value(other) == _value(kind)), None)
            what = ("dropped", "") if heir is None else ("renamed", f"{heir} ({added.pop(heir)})")
            found.append(Drift(what[0], column, kind, what[1]))  # type: ignore[arg-type]
        elif _value(kind) != _value(new[column]):
            found.append(Drift("retyped", column, kind, new[column]))
    return found + [Drift("added", column, "", kind) for column, kind in added.items()]


def _value(kind: str) -> tuple[str, bool]:
    """Give what values of a column are in Python, and whether one may be None."""
    bare = kind.removesuffix(" not null")
    return annotate(name_written(bare), single_bit=bare == "bit(1)"), bare == kind


def _read_table(words: str | None) -> str | None:
    return words.removeprefix(_ROW).removesuffix(".") if words and words.startswith(_ROW) else None


def _list_columns(body: Iterable[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.annotation


def _read_types(hints: Mapping[str, ast.expr]) -> Columns:
    """Take PostgreSQL's type out of each `Annotated[..., "type"]`; generated columns, which records may lack, are left out."""
    found: dict[str, str] = {}
    for name, hint in hints.items():
        inner = hint.slice if isinstance(hint, ast.Subscript) else None
        if isinstance(inner, ast.Tuple) and isinstance(inner.elts[-1], ast.Constant):
            found[name] = str(inner.elts[-1].value)
    return found
