"""What changed between the code that built a generation and the code at hand, part by part; the fingerprint only says *that* it did.

The parts are noted in the generation when it is made. A change of tables is *additive* when every read of the old release still works on
rows of the new one: columns or tables came, none went or changed. It needs a rebuild like any other change; what it saves is deploying the
web app at the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventstore.event import registry as events
from eventstore.meaning import describe_defaults, describe_event, digest, shorten
from projections.declaration.chain import name_events
from projections.declaration.emission import DerivedSource, describe_emission
from projections.declaration.projection import Handler, Projection
from projections.declaration.table import Table
from projections.release.fingerprint import describe_join

Parts = Mapping[str, Any]
_KINDS = {
    "handlers": "handler",
    "rows": "row class",
    "events": "event",
    "shapes": "key, indexes or tenant of",
    "sinks": "sink",
    "joins": "join",
}


def describe_parts(projection: Projection) -> dict[str, Any]:
    """Give the parts of *projection*'s fingerprint, each with its own short digest. JSON."""
    wanted = name_events(projection)
    handlers: dict[str, list[str]] = {}
    for each in projection.handlers:
        handlers.setdefault(_name_handler(each), []).append(digest(each.function) + (digest(each.key) if each.key else ""))
    for each in projection.sql_handlers:
        handlers.setdefault(f"{each.message} -> SQL of {each.function.__name__}", []).append(digest(each.function))
    for each in projection.emissions:
        handlers.setdefault(f"{each.table.name} -> {', '.join(each.names)}", []).append(describe_emission(each))
    return {
        "version": projection.version,
        "columns": {each.name: _describe_columns(each) for each in projection.tables},
        "shapes": {each.name: shorten([each.key, each.ddl()[1:], each.tenant]) for each in projection.tables},
        "rows": {each.name: shorten([digest(each.row), describe_defaults(each.row)]) for each in projection.tables},
        "handlers": {name: shorten(sorted(found)) for name, found in handlers.items()},
        "events": {each.name: shorten(describe_event(each)) for each in events if each.name in wanted},
        "sinks": {str(each): shorten(each.describe()) for each in projection.sinks},
        "joins": {f"{each.table.name} with {each.past.name}": shorten(describe_join(each)) for each in projection.joins},
    }


def list_changes(old: Parts, new: Parts) -> list[str]:
    """Say in words what differs, one part a line; tables first, since they are what readers see. Pure."""
    found: list[str] = []
    if old["version"] != new["version"]:
        found.append(f"version {old['version']} -> {new['version']}")
    for table in sorted({*old["columns"], *new["columns"]}):
        found += _compare_columns(table, old["columns"].get(table), new["columns"].get(table))
    for part, words in _KINDS.items():
        before, after = old.get(part, {}), new.get(part, {})
        gone, come = sorted({*before} - {*after}), sorted({*after} - {*before})
        if part in {"handlers", "events", "sinks", "joins"}:
            found += [f"{words} {each} is gone" for each in gone] + [f"{words} {each} is new" for each in come]
        found += [f"{words} {each} changed" for each in sorted({*before} & {*after}) if before[each] != after[each]]
    return found


def is_additive(old: Parts, new: Parts) -> bool:
    """Say whether columns or tables came and every read that worked on *old* works on *new*. Pure."""
    if any(old["shapes"][each] != new["shapes"].get(each) for each in old["shapes"]):
        return False
    kept = all(
        new["columns"].get(table, {}).get(name) == kind
        for table, columns in old["columns"].items()
        for name, kind in columns.items()
    )
    return kept and old["columns"] != new["columns"]


def judge_change(old: Parts | None, new: Parts, *, same: bool) -> tuple[str, list[str]]:
    """Give the verdict on code whose fingerprint is the *same* or not, and what changed (nothing where *old* is not known). Pure."""
    if same:
        return "unchanged", []
    if old is None:
        return "needs rebuild", []
    return "additive column" if is_additive(old, new) else "needs rebuild", list_changes(old, new)


def _compare_columns(table: str, old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    if old is None or new is None:
        return [f"table {table} is {'new' if old is None else 'gone'}"]
    return [
        f"column {table}.{name} "
        + (f"is new ({new[name]})" if name not in old else "is gone" if name not in new else f"{old[name]} -> {new[name]}")
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _describe_columns(table: Table[Any]) -> dict[str, str]:
    kinds = zip(table.columns, table.sql_types(), strict=True)
    return {name: kind if table.table.c[name].nullable else f"{kind} not null" for name, kind in kinds}


def _name_handler(handler: Handler) -> str:
    of = f" of {handler.source.projection}" if isinstance(handler.source, DerivedSource) else ""
    return f"{handler.message}{of} -> {handler.table.name}"
