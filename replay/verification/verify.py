"""Comparing a new generation with the live one at the same offset vector, without stopping either.

The live side is read in one REPEATABLE READ snapshot, whose checkpoint says which vector it shows; the build is then taken to
exactly that vector. Equal vectors and equal code must give equal digests. Different code gives differences, which are counted
exactly and sampled. Where a release adds or drops columns, rows are compared by the columns that both have: a new column is no reason to
look away from what the old ones hold.

A table is digested as a whole first. Only one that differs is digested by ranges of keys, and only ranges that differ are read row by row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from eventstore.codec import decode
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.declaration.table import Table
from projections.readmodels.postgres import Digest, ReadModel
from projections.release.loss import Lost

NOTHING: Final[Lost] = {}
NO_ROWS: Final = Digest(0, 0)
WITHHELD: Final = "(withheld)"


@dataclass(slots=True)
class TableReport:
    """One table of both generations at one vector; *samples* hold a key and both rows.

    *equal*: the same columns with the same rows. Otherwise rows were compared by the columns that both have; *key* are those of its key.
    """

    table: str
    live_rows: int
    new_rows: int
    equal: bool
    key: Sequence[str] = ()
    new_columns: Sequence[str] = ()
    gone_columns: Sequence[str] = ()
    ranges: int = 0
    """Ranges of keys that differ, of `RANGES`."""
    only_live: int = 0
    only_new: int = 0
    changed: int = 0
    explained: int = 0
    """Differences in rows that were made from events which have lost personal data since the live row was made."""
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __str__(self) -> str:
        if self.equal:
            return f"{self.table}: {self.new_rows:,} rows equal"
        if not self.differences:
            return f"{self.table}: {self.new_rows:,} rows equal{self.shared}"
        forgotten = f", {self.explained:,} of them for persons forgotten since" if self.explained else ""
        return (
            f"{self.table}: {self.live_rows:,} -> {self.new_rows:,} rows, {self.changed:,} changed, "
            f"{self.only_live:,} gone, {self.only_new:,} added{forgotten}{self.shared}"
        )

    @property
    def shared(self) -> str:
        """Say by which columns rows were compared; nothing where both sides have the same."""
        named = [("new", self.new_columns), ("gone", self.gone_columns)]
        found = "; ".join(f"{what} {', '.join(names)}" for what, names in named if names)
        return f" in the columns that both have ({found})" if found else ""

    @property
    def differences(self) -> int:
        """Rows that differ in columns that both have, or that are there on one side only."""
        return self.changed + self.only_live + self.only_new

    @property
    def is_explained(self) -> bool:
        """True when there is no difference but where a person was forgotten."""
        return self.equal or (self.explained == self.differences and not self.new_columns and not self.gone_columns)


@dataclass(slots=True)
class Report:
    """The outcome: a report per table, and the user's checks that failed."""

    tables: list[TableReport] = field(default_factory=list[TableReport])
    failed_checks: list[str] = field(default_factory=list[str])

    @property
    def is_equal(self) -> bool:
        """True when every table has the same rows in both generations."""
        return all(each.equal for each in self.tables)

    @property
    def is_explained(self) -> bool:
        """True when the generations differ nowhere but where a person was forgotten."""
        return all(each.is_explained for each in self.tables)

    @property
    def verdict(self) -> str:
        """Say it in a few words."""
        if self.is_equal:
            return "equal"
        if self.is_explained:
            return "equal but for the forgotten"
        return "different" if any(each.differences for each in self.tables) else "equal in the columns that both have"

    def facts(self) -> dict[str, Any]:
        """Give the report as plain values."""
        return {
            "equal": self.is_equal,
            "verdict": self.verdict,
            "explained": self.is_explained,
            "tables": [asdict(each) for each in self.tables],
            "failed_checks": self.failed_checks,
        }


async def compare(
    projection: Projection, live: tuple[str, Connection], new: tuple[str, Connection], *, samples: int, lost: Lost = NOTHING
) -> Report:
    """Compare two generations given as (schema, connection inside a transaction that shows the wanted vector)."""
    left, right = ReadModel(projection, live[0]), ReadModel(projection, new[0])
    known, also = await _list_columns(live[1], live[0]), await _list_columns(new[1], new[0])
    report = Report()
    shared = {each.name: _find_shared(each, known, also) for each in projection.tables}
    before = await left.digest(live[1], {name: columns for name, columns in shared.items() if name in known})
    after = await right.digest(new[1], {name: columns for name, columns in shared.items() if name in also})
    for table in projection.tables:
        name, columns = table.name, shared[table.name]
        if name not in known and name not in also:
            continue
        found = _summarise(table, (before.get(name, NO_ROWS), after.get(name, NO_ROWS)), known.get(name, []), also.get(name, []))
        if not columns:  # one side lacks the table, or the key
            found.only_live, found.only_new = found.live_rows, found.new_rows
        elif before[name] != after[name]:
            ranges = await _find_ranges(name, columns, (left, live[1]), (right, new[1]))
            found.ranges = len(ranges)
            sides = left.hashes(live[1], name, columns, ranges), right.hashes(new[1], name, columns, ranges)
            keys = await _count(found, *sides, samples, lost.get(name, frozenset()))
            await _sample(found, keys, (left, live[1]), (right, new[1]))
            if projection.has_personal:
                found.samples = [_withhold(each) for each in found.samples]
        report.tables.append(found)
    return report


def _find_shared(table: Table[Any], known: Mapping[str, Sequence[str]], also: Mapping[str, Sequence[str]]) -> list[str]:
    """Give the columns that *table* has on both sides; none when a column of its key is not among them, since no row has a partner then."""
    found = [each for each in also.get(table.name, ()) if each in known.get(table.name, ())]
    return found if set(table.key) <= set(found) else []


def _summarise(table: Table[Any], digests: tuple[Digest, Digest], known: Sequence[str], also: Sequence[str]) -> TableReport:
    come = [each for each in also if known and each not in known]
    gone = [each for each in known if also and each not in also]
    before, after = digests
    equal = before == after and bool(known) and bool(also) and not come and not gone
    return TableReport(table.name, before.rows, after.rows, equal=equal, key=table.key, new_columns=come, gone_columns=gone)


async def _find_ranges(
    table: str, columns: Sequence[str], live: tuple[ReadModel, Connection], new: tuple[ReadModel, Connection]
) -> list[int]:
    """Give the ranges of keys whose digests differ."""
    before = await live[0].digest_ranges(live[1], table, columns)
    after = await new[0].digest_ranges(new[1], table, columns)
    return sorted(each for each in {*before, *after} if before.get(each) != after.get(each))


async def _list_columns(connection: Connection, schema: str) -> dict[str, list[str]]:
    cursor = await connection.execute(load("replay", "list_columns"), {"schema": schema})
    return dict(await cursor.fetchall())


async def _count(
    report: TableReport,
    live: AsyncIterator[tuple[str, int]],
    new: AsyncIterator[tuple[str, int]],
    samples: int,
    lost: AbstractSet[str],
) -> list[str]:
    """Merge two streams in key order; give the first keys that differ for no known reason."""
    keys: list[str] = []
    left, right = await anext(live, None), await anext(new, None)
    while left or right:
        if right is None or (left is not None and left[0].encode() < right[0].encode()):
            assert left is not None
            report.only_live += 1
            key, left = left[0], await anext(live, None)
        elif left is None or right[0].encode() < left[0].encode():
            report.only_new += 1
            key, right = right[0], await anext(new, None)
        else:
            key, differ = left[0], left[1] != right[1]
            left, right = await anext(live, None), await anext(new, None)
            if not differ:
                continue
            report.changed += 1
        if key in lost:
            report.explained += 1
        elif len(keys) < samples:
            keys.append(key)
    return keys


def _withhold(sample: dict[str, Any]) -> dict[str, Any]:
    """Say which columns differ and not what they hold, since a report is printed and kept."""
    live: dict[str, Any] = sample["live"] or {}
    new: dict[str, Any] = sample["new"] or {}
    differing: list[str] = [each for each in {**live, **new} if live.get(each) != new.get(each)]
    sides = {side: dict.fromkeys(differing, WITHHELD) if sample[side] else None for side in ("live", "new")}
    return {"key": sample["key"], **sides}


def tell_sample(report: TableReport, sample: Mapping[str, Any]) -> str:
    """Put one sampled difference into a line: the key, and what each column held that both have and that differs. Pure."""
    live, new = sample["live"], sample["new"]
    name = f"{report.table} {' '.join(f'{column}={value}' for column, value in zip(report.key, sample['key'], strict=True))}"
    if live is None or new is None:
        return f"{name}: {'gone, it was' if new is None else 'added, it is'} {_inline(live or new)}"
    both = [each for each in live if each in new and each not in report.new_columns]
    differing = [each for each in both if live[each] != new[each] or live[each] == WITHHELD]
    return f"{name}: {', '.join(f'{each} {live[each]!r} -> {new[each]!r}' for each in differing)}"


def _inline(row: Mapping[str, Any] | None) -> str:
    return " ".join(f"{name}={value!r}" for name, value in (row or {}).items())


async def _sample(
    report: TableReport, keys: list[str], live: tuple[ReadModel, Connection], new: tuple[ReadModel, Connection]
) -> None:
    for text in keys:
        parts = decode(text)
        key = parts[0] if len(parts) == 1 else tuple(parts)
        before = await live[0].rows(live[1], report.table, [key])
        after = await new[0].rows(new[1], report.table, [key])
        report.samples.append({"key": parts, "live": before[0] if before else None, "new": after[0] if after else None})
