"""Checks of the captured tables: whether their rows can be told apart, and their values arrive."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from cdc.doctor.check import Trouble, check
from cdc.doctor.facts import Facts
from cdc.drift import REMEDY
from cdc.plan import statement

_FAMILY = "table"
_LOST = {
    "generated": (
        "are generated: in snapshots and absent later, and an incremental snapshot fails at them",
        "compute them where they are read",
    ),
    "dimensions": (
        "have several dimensions, of which Debezium loses the inner ones",
        "store jsonb, or leave them out with column.exclude.list",
    ),
    "absent": ("are of a type that Debezium leaves out without a word", "store text or jsonb, if they are needed"),
}
_UNSAFE = re.compile(r"[^a-zA-Z0-9._-]")


@check(
    6,
    _FAMILY,
    "replica identity and primary key",
    "PostgreSQL refuses the application's updates and deletes once the table is published, or changes come in no order",
)
def judge_identity(facts: Facts) -> Iterator[Trouble]:
    """Require: each table exists, and has a primary key or a replica identity."""
    for table in facts.source.tables:
        name = table["name"]
        if not table["exists"]:
            yield Trouble("fail", f"the table {name} does not exist", "create it, or take it out of the declaration")
        elif table["identity"] == "n" or (table["identity"] == "d" and not table["has_key"]):
            yield Trouble(
                "fail",
                f"{name} has no primary key and no replica identity",
                f"add a primary key, or {statement.set_identity(name, 'full')}",
            )
        elif not table["has_key"] and "message.key.columns" not in facts.config:
            yield Trouble(
                "warn",
                f"{name} has no primary key: its changes come without a key, and in no order",
                "add a primary key, or set message.key.columns",
            )
        elif "message.key.columns" in facts.config and table["identity"] != "f" and name in facts.config["message.key.columns"]:
            yield Trouble(
                "warn", f"{name} has message.key.columns without REPLICA IDENTITY FULL", statement.set_identity(name, "full")
            )


@check(
    7, _FAMILY, "large values", "an unchanged large value comes as a placeholder, which is written downstream as if it were data"
)
def judge_toast(facts: Facts) -> Iterator[Trouble]:
    """Require: large values that do not change are told apart, or the replica identity is FULL."""
    stuck = [column for column in facts.source.columns if column["reason"] == "unchanged"]
    for table, columns in _group(stuck):
        remedy = statement.set_identity(table, "full")
        yield Trouble("warn", f"{table}: {_list(columns)} stop the connector when large and unchanged", remedy)
    if "ExtractNewRecordState" not in str(facts.config.values()):
        return
    large = [column for column in facts.source.columns if column["large"] and column["identity"] != "f"]
    for table, columns in _group(large):
        remedy = f"{statement.set_identity(table, 'full')}, or read whole records, where refold gives cdc.UNCHANGED"
        yield Trouble("warn", f"{table}: {_list(columns)} can be large, and flattened records hide what is a placeholder", remedy)


@check(8, _FAMILY, "columns that do not arrive", "a value is in the snapshot and missing from the stream, or missing altogether")
def judge_columns(facts: Facts) -> Iterator[Trouble]:
    """Require: no generated column, no type that Debezium leaves out."""
    for reason, (what, remedy) in _LOST.items():
        for table, columns in _group(column for column in facts.source.columns if column["reason"] == reason):
            yield Trouble("warn", f"{table}: {_list(columns)} {what}", remedy)
    if facts.option("include.unknown.datatypes", "false") != "true":
        for table, columns in _group(column for column in facts.source.columns if column["unknown"]):
            yield Trouble(
                "fail", f"{table}: {_list(columns)} vanish with a warning in the worker's log", "include.unknown.datatypes = true"
            )


@check(
    9, _FAMILY, "NULL that becomes a default", "an explicit NULL arrives as the column's default, and nobody can tell them apart"
)
def judge_defaults(facts: Facts) -> Iterator[Trouble]:
    """Require: nullable columns with defaults keep their NULLs."""
    converter = facts.option("value.converter", "org.apache.kafka.connect.json.JsonConverter")
    wanted = {"value.converter.replace.null.with.default"} if converter.endswith("JsonConverter") else set[str]()
    wanted |= {
        f"transforms.{name}.replace.null.with.default"
        for name in facts.config.get("transforms", "").split(",")
        if _flattens(facts, name)
    }
    wrong = sorted(option for option in wanted if facts.config.get(option) != "false")
    if not wrong:
        return
    for table, columns in _group(column for column in facts.source.columns if column["nullable_default"]):
        remedy = f"{' and '.join(wrong)} = false; what was written already stays wrong"
        yield Trouble("fail", f"{table}: {_list(columns)} can be NULL, have a default, and arrive as that", remedy)


def _flattens(facts: Facts, name: str) -> bool:
    return facts.config.get(f"transforms.{name}.type", "").endswith("ExtractNewRecordState")


@check(10, _FAMILY, "NaN and infinity", "NaN arrives as NULL, infinity as a date that does not exist, a fraction as a float")
def judge_numbers(facts: Facts) -> Iterator[Trouble]:
    """Require: numbers and times travel in a form that holds all their values."""
    mode, precision = facts.option("decimal.handling.mode", "precise"), facts.option("time.precision.mode", "adaptive")
    wrong: list[tuple[str, str, str]] = []
    if mode != "string":
        wrong.append(("numeric", f"decimal.handling.mode is {mode}, which loses NaN", "decimal.handling.mode = string"))
    if precision in ("connect", "isostring"):
        wrong.append(("time", f"time.precision.mode is {precision}, which is not exact", "time.precision.mode = microseconds"))
    for kind, what, remedy in wrong:
        for table, columns in _group(column for column in facts.source.columns if column["kind"] == kind):
            yield Trouble(
                "warn", f"{table}: {_list(columns)}: {what}", f"{remedy} (records are written differently from then on)"
            )


@check(16, _FAMILY, "partitioned tables", "changes come under the partitions' names, and a new partition is not captured at all")
def judge_partitioned(facts: Facts) -> Iterator[Trouble]:
    """Require: a partitioned table is published by its root."""
    published = facts.source.publication
    for table in facts.source.tables:
        if table["kind"] == "p" and not (published and published["via_root"]):
            remedy = f"ALTER PUBLICATION {statement.quote(facts.names.publication)} SET (publish_via_partition_root = true)"
            yield Trouble("fail", f"{table['name']} is partitioned, and not published by its root", remedy)


@check(
    18,
    _FAMILY,
    "signal table",
    "signals are written and never read, and an incremental snapshot ends without having read anything",
)
def judge_signals(facts: Facts) -> Iterator[Trouble]:
    """Require: the signal table exists with its columns, may be written, is published, and does not grow."""
    name, there = facts.config.get("signal.data.collection"), facts.source.signals
    if not name or there is None:
        return
    if not there["exists"]:
        yield Trouble("fail", f"the signal table {name} does not exist", statement.create_signals(name, facts.role))
        return
    if not there["sound"]:
        yield Trouble("fail", f"the signal table {name} lacks one of id, type, data", statement.create_signals(name, facts.role))
    if not there["writable"]:
        yield Trouble("fail", f"the role {facts.role} may not write and clear {name}", statement.grant_signals(name, facts.role))
    published = facts.source.publication
    if published is not None and not published["all_tables"] and name not in published["tables"]:
        remedy = f"ALTER PUBLICATION {statement.quote(facts.names.publication)} ADD TABLE {statement.quote_table(name)}"
        yield Trouble("fail", f"the signal table {name} is not in the publication", remedy)
    if there["rows"] > 100_000:
        yield Trouble("warn", f"the signal table {name} holds {there['rows']:,} rows", f"TRUNCATE {statement.quote_table(name)}")


@check(19, _FAMILY, "names that collide", "two tables write into one topic, with schemas that exclude each other")
def judge_collisions(facts: Facts) -> Iterator[Trouble]:
    """Require: each table has a topic of its own."""
    seen: dict[str, str] = {}
    for table in facts.tables:
        topic = _UNSAFE.sub("_", table)
        other = seen.setdefault(topic, table)
        if other != table:
            remedy = "leave one of them out, or rename it: both come out as the same name"
            yield Trouble("fail", f"{other} and {table} both write into {facts.names.prefix}.{topic}", remedy)


@check(34, _FAMILY, "schema drift", "rows of another form are parked when they come, and their read models stand still")
def judge_drift(facts: Facts) -> Iterator[Trouble]:
    """Require: the tables are as the row classes that handlers were written for say, if --rows names them."""
    for table, each in facts.drift:
        yield Trouble("fail" if each.is_breaking else "info", f"{table}: {each}", REMEDY)


def _group(columns: Iterable[Any]) -> Iterator[tuple[str, list[Any]]]:
    grouped: dict[str, list[Any]] = {}
    for column in columns:
        grouped.setdefault(column["table_name"], []).append(column)
    yield from grouped.items()


def _list(columns: Iterable[Any]) -> str:
    return ", ".join(f"{column['column_name']} ({column['type']})" for column in columns)
