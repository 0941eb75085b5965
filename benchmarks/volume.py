"""What an event costs in bytes: write-ahead log, table, each index; and what other choices of index would have cost.

    python -m benchmarks.volume [--events 200000]

A scratch database is made and dropped.
"""

import argparse
import asyncio
import json
from typing import Any

from eventstore import bench
from eventstore.postgres.engine import Connection, checkout, open_engine
from eventstore.postgres.scratch import make_scratch
from eventstore.postgres.store import PostgresEventStore

SIZES = """
SELECT c.relname, pg_relation_size(c.oid) FROM pg_class AS c JOIN pg_index AS i ON i.indexrelid = c.oid
WHERE i.indrelid = 'eventstore.event'::regclass
UNION ALL SELECT 'table', pg_table_size('eventstore.event') UNION ALL SELECT 'streams', pg_total_relation_size('eventstore.stream')
"""
VARIANTS = {
    "uuid v7, as it is": ("uuidv7()", ""),
    "uuid v4": ("gen_random_uuid()", ""),
    "uuid v7, order index covering stream and type": ("uuidv7()", "INCLUDE (stream, version, type)"),
}
MAKE = """
DROP TABLE IF EXISTS variant;
CREATE TABLE variant (position bigint GENERATED ALWAYS AS IDENTITY, xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    version bigint NOT NULL, occurred_at timestamptz NOT NULL DEFAULT now(), recorded_at timestamptz NOT NULL DEFAULT now(),
    event_id uuid NOT NULL UNIQUE, schema_version integer NOT NULL DEFAULT 1, stream text COLLATE "C" NOT NULL, type text NOT NULL,
    data jsonb NOT NULL, metadata jsonb NOT NULL DEFAULT '{{}}', PRIMARY KEY (stream, version));
CREATE INDEX variant_order ON variant (xid, position) {covering};
CHECKPOINT
"""
FILL = """
INSERT INTO variant (version, event_id, stream, type, data)
SELECT n % 10 + 1, {id}, 'bench-' || (n / 10) || '-' || {round}, 'bench-order-placed',
    '{{"order":4711,"customer":"customer-99","cents":12345,"currency":"EUR","items":[{{"sku":"sku-7","count":1}}]}}'
FROM generate_series(0, {count} - 1) AS n
"""


async def fetch(connection: Connection, query: str) -> Any:
    """Give the first value of *query*."""
    row = await (await connection.execute(query)).fetchone()
    assert row
    return row[0]


async def measure_wal(connection: Connection, work: Any) -> float:
    """Give the bytes of write-ahead log that *work* wrote, without the full pages that follow a checkpoint by chance."""
    await connection.execute("CHECKPOINT")
    before = await fetch(connection, "SELECT pg_current_wal_insert_lsn()")
    await work()
    return float(await fetch(connection, f"SELECT pg_current_wal_insert_lsn() - '{before}'::pg_lsn"))


async def measure_store(store: PostgresEventStore, count: int) -> dict[str, float]:
    """Give bytes an event of the ways in, then of the table and its indexes."""
    found: dict[str, float] = {}
    async with checkout(store.engine) as connection:
        number = 0

        async def append(batch: int, calls: int) -> None:
            nonlocal number
            for call in range(calls):
                number += 1
                await store.append(f"volume-{batch}-{call // 10}", [bench.make_event(number + each) for each in range(batch)])

        async def flood() -> None:
            await bench.measure_appends(store, tasks=64, seconds=2)

        for name, batch, calls in (("one at a time", 1, count // 50), ("in hundreds", 100, count // 100)):
            wal = await measure_wal(connection, lambda batch=batch, calls=calls: append(batch, calls))
            found[f"WAL, {name}"] = wal / (batch * calls)
        before = await fetch(connection, "SELECT count(*) FROM eventstore.event")
        wal = await measure_wal(connection, flood)
        found["WAL, 64 tasks"] = wal / (await fetch(connection, "SELECT count(*) FROM eventstore.event") - before)
        found["WAL, import"] = await measure_wal(connection, lambda: bench.measure_import(store, count)) / count
        events = await fetch(connection, "SELECT count(*) FROM eventstore.event")
        await connection.execute("VACUUM eventstore.event")
        for name, size in await (await connection.execute(SIZES)).fetchall():
            found[f"bytes, {name}"] = size / events
    return found


async def measure_variants(store: PostgresEventStore, count: int) -> dict[str, dict[str, float]]:
    """Fill a table of the same shape in ten rounds with each choice, and give WAL and index bytes an event."""
    found: dict[str, dict[str, float]] = {}
    async with checkout(store.engine) as connection:
        for name, (maker, covering) in VARIANTS.items():
            for statement in MAKE.format(covering=covering).split(";"):
                await connection.execute(statement)

            async def fill(maker: str = maker) -> None:
                for number in range(10):
                    await connection.execute(FILL.format(id=maker, round=number, count=count // 10))

            wal = await measure_wal(connection, fill)
            sizes = {
                f"bytes, {index}": await fetch(connection, f"SELECT pg_relation_size('{index}')") / count
                for index in ("variant_event_id_key", "variant_order", "variant_pkey")
            }
            found[name] = {"WAL": wal / count, **sizes}
    return found


async def measure(count: int) -> dict[str, Any]:
    """Measure all of it in one scratch database."""
    async with make_scratch() as settings:
        engine = open_engine(settings)
        store = PostgresEventStore(engine, settings, bench.events)
        found = {"store": await measure_store(store, count), "variants": await measure_variants(store, count)}
        await engine.dispose()
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.events))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
