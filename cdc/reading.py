"""A captured table read straight from its database, as the changes that a snapshot of the connector would send.

What a read model should hold is what its handlers make of these. One snapshot shows the whole table while writes go on; `shows` tells
which transactions it contains, so that the later ones can be taken from the log. Rows come through a cursor: memory stays constant.
Values are made as `cdc.change` makes them from records. A type that can't be made so gives a text with `UNREAD`, by which no column
is compared.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, LiteralString, NamedTuple, cast

from pydantic import SecretStr

from cdc.change import Change
from cdc.change.change import Origin
from cdc.change.column import TEXTUAL, read_json
from cdc.change.interval import read_interval
from cdc.change.moment import read_clock, read_date, read_naive, read_zoned, read_zoned_clock
from cdc.change.number import read_decimal
from cdc.change.shape import TEXTS, parse_shape
from cdc.check import Facts
from cdc.connect.scope import Selection, select_columns
from eventstore.errors import PreconditionFailed
from eventstore.postgres.engine import Connection, checkout, open_engine
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings

Step = Callable[[Any], Any]
_HERE = "cdc"
_PIECE = 5_000
_XIDS = 1 << 32
_VECTORS = frozenset({"vector", "halfvec", "sparsevec"})
_STEPS: Mapping[str, Step] = {
    **{name: step for name, step in TEXTUAL.items() if name not in {"numeric", "money"}},
    "json": read_json,
    "jsonb": read_json,
    "hstore": read_json,
    "date": read_date,
    "timestamp": read_naive,
    "timestamptz": read_zoned,
    "time": read_clock,
    "timetz": read_zoned_clock,
    "interval": read_interval,
    "varbit": lambda text: format(int(text or "0", 2), "b"),  # leading zeros do not reach a record either
}


UNREAD = "refold:not-read:"
"""Begins the text that stands for a value whose type is not made here as a record has it; its type follows."""


class Snapshot(NamedTuple):
    """Which transactions a snapshot contains: PostgreSQL's `xmin:xmax:xip`."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """Read it as `pg_current_snapshot()` writes it."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(int(each) for each in running.split(",") if each))

    def shows(self, tx_id: int) -> bool:
        """Say whether the transaction with this 32-bit id, as records have it, is contained."""
        distance = (tx_id - self.xmax) % _XIDS
        whole = self.xmax + (distance if distance < _XIDS // 2 else distance - _XIDS)
        return whole < self.xmin or (whole < self.xmax and whole not in self.running)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    expression: str
    step: Step | None


@asynccontextmanager
async def open_reading(dsn: str) -> AsyncGenerator[Reading]:
    """Open a snapshot of the database at *dsn*; it lasts until the block ends, and holds vacuum back for as long."""
    engine = open_engine(PostgresSettings(dsn=SecretStr(dsn), pool_size=1, connect_timeout_s=5), application="refold cdc verify")
    try:
        async with checkout(engine) as connection, connection.transaction():
            await connection.execute(load(_HERE, "begin_reading"))
            row: Any = await (await connection.execute(load(_HERE, "fix_reading"))).fetchone()
            yield Reading(connection, Snapshot.parse(row[4]), row[5])
    finally:
        await engine.dispose()


class Reading:
    """The tables of one database as one *snapshot* shows them."""

    def __init__(self, connection: Connection, snapshot: Snapshot, database: str) -> None:
        self._connection = connection
        self.snapshot = snapshot
        self._database = database

    async def select(self, table: str, config: Mapping[str, str]) -> Selection:
        """Say what a connector with *config* sends of *table*. Raises PreconditionFailed for a table that is not there."""
        facts = await self._ask(table)
        placed = sorted((int(each["place"]), str(each["name"])) for each in facts if each["place"])
        return select_columns(config, table, [str(each["name"]) for each in facts], [name for _, name in placed])

    async def shares(self, table: str, key: Sequence[str]) -> bool:
        """Say whether rows of *table* have the same *key*, which one that a connector was told of may be for several."""
        values = {"table": table, "key": list(key)}
        composed: Any = await (await self._connection.execute(load(_HERE, "compose_shared"), values)).fetchone()
        row: Any = await (await self._connection.execute(cast("LiteralString", composed[0]))).fetchone()
        return bool(row[0])

    async def rows(
        self, table: str, declared: Mapping[str, str] | None = None, selection: Selection | None = None
    ) -> AsyncGenerator[Change]:
        """Give every row of *table* as a change with op `r`; close it (`aclosing`) when not all are taken.

        *declared* are the types that the reader of the records declares, *selection* what the connector sends (None = all columns, under
        the primary key). Raises PreconditionFailed for a table that is not there.
        """
        sent = selection or await self.select(table, {})
        columns = await self._plan(table, declared or {}, sent)
        origin, keys, unsent = self._describe(table), sent.key, [each for each in sent.key if each in sent.left_out]
        names, steps = [each.name for each in columns], [(each.name, each.step) for each in columns if each.step is not None]
        async with self._connection.cursor(name="refold_reading") as cursor:
            cursor.itersize = _PIECE
            await cursor.execute(await self._compose(table, columns))
            async for values in cursor:
                row = dict(zip(names, values, strict=True))
                for name, step in steps:
                    if row[name] is not None:
                        row[name] = step(row[name])
                for name in sent.altered:
                    row[name] = f"{UNREAD}altered by the connector"
                key = tuple(row[each] for each in keys)
                for name in unsent:
                    del row[name]
                yield Change("r", table, key, None, row, origin, (0, 0), keys)

    async def _ask(self, table: str) -> list[Facts]:
        cursor = await self._connection.execute(load(_HERE, "readable_columns"), {"table": table})
        names = [each.name for each in cursor.description or ()]
        facts = [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        if not facts:
            raise PreconditionFailed(f"the source has no table {table}", table=table)
        return facts

    async def _plan(self, table: str, declared: Mapping[str, str], sent: Selection) -> list[_Column]:
        return [
            _Column(each["name"], each["expression"], find_step(each, declared.get(each["name"], "")))
            for each in await self._ask(table)
            if each["expression"] is not None and (each["name"] not in sent.left_out or each["name"] in sent.key)
        ]

    async def _compose(self, table: str, columns: Sequence[_Column]) -> LiteralString:
        values = {"table": table, "expressions": [each.expression for each in columns]}
        row: Any = await (await self._connection.execute(load(_HERE, "compose_reading"), values)).fetchone()
        return cast("LiteralString", row[0])

    def _describe(self, table: str) -> Origin:
        schema, _, name = table.partition(".")
        block = {"db": self._database, "schema": schema, "table": name, "snapshot": "true", "lsn": 0, "txId": None, "ts_ms": 0}
        return Origin(block)


def find_step(column: Facts, declared: str) -> Step | None:
    """Settle how a value of *column* becomes what a record gives; None = it is that already. Pure."""
    element = column["element"]
    if element in _VECTORS or (element in TEXTS and column["is_array"]):
        return lambda _: UNREAD + column["type"]
    if element in TEXTS:
        return partial(parse_shape, element)
    if column["is_domain"] and element == "numeric" and not column["is_array"]:
        return read_decimal if re.match(r"numeric|decimal", declared.strip().lower()) else None
    if element == "bit" and column["modifier"] == 1:
        return _each(lambda text: text == "1") if column["is_array"] else lambda text: text == "1"
    step = _STEPS.get(element)
    return _each(step) if step is not None and column["is_array"] else step


def _each(step: Step) -> Step:
    return lambda values: [None if value is None else step(value) for value in values]
