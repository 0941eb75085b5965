"""Comparing a new generation with the live one at the same offset vector, without stopping either.

The live side is read in one REPEATABLE READ snapshot, whose checkpoint says which vector it shows; the build is then taken to
exactly that vector. Equal vectors and equal code must give equal digests. Different code gives differences, which are counted
exactly and sampled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from eventstore.codec import decode
from eventstore.postgres.engine import Connection
from eventstore.postgres.statements import load
from projections.declaration.projection import Projection
from projections.readmodels.postgres import Digest, ReadModel
from projections.release.loss import Lost

NOTHING: Final[Lost] = {}


@dataclass(slots=True)
class TableReport:
    """One table of both generations at one vector; *samples* hold a key and both rows."""

    table: str
    live_rows: int
    new_rows: int
    equal: bool
    only_live: int = 0
    only_new: int = 0
    changed: int = 0
    explained: int = 0
    """Differences in rows that were made from events which have lost personal data since the live row was made."""
    samples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __str__(self) -> str:
        if self.equal:
            return f"{self.table}: {self.new_rows:,} rows equal"
        forgotten = f", {self.explained:,} of them for persons forgotten since" if self.explained else ""
        return (
            f"{self.table}: {self.live_rows:,} -> {self.new_rows:,} rows, {self.changed:,} changed, "
            f"{self.only_live:,} gone, {self.only_new:,} added{forgotten}"
        )

    @property
    def is_explained(self) -> bool:
        """True when there is no difference but where a person was forgotten."""
        return self.equal or self.explained == self.changed + self.only_live + self.only_new


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

    def facts(self) -> dict[str, Any]:
        """Give the report as plain values."""
        return {
            "equal": self.is_equal,
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
    after = await right.digest(new[1], [each.name for each in projection.tables if also.get(each.name) == list(each.columns)])
    before = await left.digest(live[1], [name for name in after if known.get(name) == also[name]])
    for table in projection.tables:
        name = table.name
        if name not in after:
            continue
        if name not in before:
            report.tables.append(TableReport(name, 0, after[name].rows, equal=False, only_new=after[name].rows))
            continue
        found = _summarise(name, before[name], after[name])
        if not found.equal:
            sides = left.hashes(live[1], name), right.hashes(new[1], name)
            keys = await _count(found, *sides, samples, lost.get(name, frozenset()))
            await _sample(found, keys, (left, live[1]), (right, new[1]))
            if projection.has_personal:
                found.samples = [_withhold(each) for each in found.samples]
        report.tables.append(found)
    return report


def _summarise(name: str, before: Digest, after: Digest) -> TableReport:
    return TableReport(name, before.rows, after.rows, equal=before == after)


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
    sides = {side: dict.fromkeys(differing, "(withheld)") if sample[side] else None for side in ("live", "new")}
    return {"key": sample["key"], **sides}


async def _sample(
    report: TableReport, keys: list[str], live: tuple[ReadModel, Connection], new: tuple[ReadModel, Connection]
) -> None:
    for text in keys:
        parts = decode(text)
        key = parts[0] if len(parts) == 1 else tuple(parts)
        before = await live[0].rows(live[1], report.table, [key])
        after = await new[0].rows(new[1], report.table, [key])
        report.samples.append({"key": parts, "live": before[0] if before else None, "new": after[0] if after else None})
