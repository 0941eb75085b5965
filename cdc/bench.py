"""How many changes one core decodes: the loop that `cdc bench` and benchmarks/cdc_decode.py both run.

Records are those of a table of ten columns as `cdc apply` has them written. Nothing but the decoder runs; time is the processor's, which
other work on the machine disturbs less.
"""

from __future__ import annotations

import time
from typing import Any

from cdc.change import Decoder
from eventstore.codec import encode

ROUNDS, COUNT = 5, 40_000
COLUMNS: list[tuple[str, dict[str, Any], str]] = [
    ("id", {"type": "int64"}, "bigint"),
    ("carrier", {"type": "string"}, "text"),
    ("flight", {"type": "int32"}, "integer"),
    ("origin", {"type": "string"}, "text"),
    ("destination", {"type": "string"}, "text"),
    ("departs", {"type": "string", "name": "io.debezium.time.ZonedTimestamp"}, "timestamptz"),
    ("day", {"type": "int32", "name": "io.debezium.time.Date"}, "date"),
    ("price", {"type": "string", "parameters": {"__debezium.source.column.type": "NUMERIC"}}, "numeric"),
    ("distance", {"type": "double"}, "float8"),
    ("cancelled", {"type": "boolean"}, "boolean"),
]
SOURCE = {
    "version": "string", "connector": "string", "name": "string", "ts_ms": "int64", "snapshot": "string", "db": "string",
    "sequence": "string", "ts_us": "int64", "ts_ns": "int64", "schema": "string", "table": "string", "txId": "int64", "lsn": "int64",
    "xmin": "int64", "origin": "string", "origin_lsn": "int64",
}  # fmt: skip


def write_record(number: int, *, with_schema: bool) -> tuple[bytes, bytes]:
    """Write the key and value of one update."""
    row = [number, "UA", 1545, "EWR", "IAH", "2013-01-01T10:15:00.000000Z", 15706, f"{number}.50", 1400.0, False]
    source = {
        "version": "3.7.0.Final", "connector": "postgresql", "name": "shop.ops", "ts_ms": 1795224479548, "snapshot": None, "db": "ops",
        "sequence": f'["{number}","{number + 1}"]', "ts_us": 1795224479548508, "ts_ns": 1795224479548508000, "schema": "public",
        "table": "flights", "txId": 790, "lsn": number + 1, "xmin": None, "origin": None, "origin_lsn": None,
    }  # fmt: skip
    value: Any = {
        "before": None, "after": {name: each for (name, _, _), each in zip(COLUMNS, row, strict=True)}, "source": source,
        "transaction": None, "op": "u", "ts_ms": 1, "ts_us": 1, "ts_ns": 1,
    }  # fmt: skip
    key: Any = {"id": number}
    if with_schema:
        fields = [{"optional": True, "field": name, **schema} for name, schema, _ in COLUMNS]
        rows = [_struct(side, fields, "shop.ops.public.flights.Value") for side in ("before", "after")]
        block = _struct("source", [{"type": kind, "optional": True, "field": name} for name, kind in SOURCE.items()], "Source")
        value = {"schema": _struct("", [*rows, block], "shop.ops.public.flights.Envelope"), "payload": value}
        key = {"schema": _struct("", fields[:1], "shop.ops.public.flights.Key"), "payload": key}
    return encode(key), encode(value)


def _struct(field: str, fields: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {"type": "struct", "fields": fields, "optional": True, "name": name, "field": field}


def measure_decoding(*, with_schema: bool, rounds: int = ROUNDS, count: int = COUNT) -> float:
    """Give the best of some rounds, in changes per second of processor time; without schemas, by declared columns."""
    decoder = Decoder() if with_schema else Decoder(columns={name: kind for name, _, kind in COLUMNS})
    records = [write_record(number, with_schema=with_schema) for number in range(count)]
    best = 0.0
    for _ in range(rounds):
        started = time.process_time()
        for key, value in records:
            decoder.decode(key, value)
        best = max(best, len(records) / (time.process_time() - started))
    return best
