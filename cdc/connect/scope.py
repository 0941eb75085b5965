"""Which tables and columns a configuration captures: Debezium's include and exclude lists, applied to what exists. Pure.

A list holds comma-separated regular expressions, each of which must match the whole `schema.table` (or schema), whatever the
case. A table that a list names literally is wanted even when it does not exist: that is what a check must notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_SYSTEM = re.compile(r"(pg_.*|information_schema)\..*")
_ALTERING = ("column.mask.", "column.truncate.")
_COMMA = re.compile(r"(?<!\\),")


def list_captured(config: Mapping[str, str], existing: Iterable[str]) -> list[str]:
    """Give the tables that *config* captures, of those *existing* and those it names literally."""
    patterns = split_list(config.get("table.include.list"))
    literal = {name for pattern in patterns if (name := _read_literal(pattern)) is not None}
    return sorted(literal | {table for table in existing if is_captured(config, table)})


def is_captured(config: Mapping[str, str], table: str) -> bool:
    """Tell whether *config* captures *table*."""
    schema = table.partition(".")[0]
    if _SYSTEM.fullmatch(table) or table == config.get("signal.data.collection"):
        return False
    return (
        _matches(config, "schema.include.list", schema, default=True)
        and not _matches(config, "schema.exclude.list", schema, default=False)
        and _matches(config, "table.include.list", table, default=True)
        and not _matches(config, "table.exclude.list", table, default=False)
    )


class Selection(NamedTuple):
    """What records of a table hold: which columns they lack, which make their key, and which arrive in another form (masked, cut)."""

    left_out: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    is_told: bool = False
    """Whether `message.key.columns` names the key, which rows may then share."""


def select_columns(config: Mapping[str, str], table: str, columns: Sequence[str], primary: Sequence[str]) -> Selection:
    """Say which of a table's *columns* its records hold; *primary* are those of its primary key, in the key's order."""
    whole = {each: f"{table}.{each}" for each in columns}
    left_out = [each for each in columns if not is_sent(config, table, each)]
    wanted = [f"{pattern}\\.{column}" for pattern, names in _read_keys(config) for column in names]
    key = [each for each, name in whole.items() if any(_compile(pattern).fullmatch(name) for pattern in wanted)]
    altering = [option for option in config if option.startswith(_ALTERING)]
    altered = [each for each, name in whole.items() if any(_matches(config, option, name, default=False) for option in altering)]
    return Selection(tuple(left_out), tuple(key or primary), tuple(altered), is_told=bool(key))


def is_sent(config: Mapping[str, str], table: str, column: str) -> bool:
    """Tell whether *config* lets a column reach the records' rows; keys hold theirs in any case."""
    name = f"{table}.{column}"
    included = _matches(config, "column.include.list", name, default=True)
    return included and not _matches(config, "column.exclude.list", name, default=False)


def _read_keys(config: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Give each entry of `message.key.columns`: an expression for tables, and columns of theirs."""
    for entry in config.get("message.key.columns", "").split(";"):
        pattern, colon, names = entry.strip().rpartition(":")
        if colon:
            yield pattern, split_list(names)


def split_list(value: str | None) -> list[str]:
    """Divide a list at its commas."""
    return [each.strip() for each in _COMMA.split(value or "") if each.strip()]


def _matches(config: Mapping[str, str], option: str, name: str, *, default: bool) -> bool:
    patterns = split_list(config.get(option))
    if not patterns:
        return default
    return any(_compile(pattern).fullmatch(name) for pattern in patterns)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error:  # Java knows forms that Python does not
        return re.compile(re.escape(pattern), re.IGNORECASE)


def _read_literal(pattern: str) -> str | None:
    """Give the name that *pattern* spells, None when it is a real expression; a bare dot counts as a dot."""
    plain = re.sub(r"\\(.)", r"\1", pattern)
    return plain if re.escape(plain).replace(r"\.", ".") == pattern.replace(r"\.", ".") else None
