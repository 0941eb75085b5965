"""A table that is empty when it is read anew: the snapshot sends no row of it, so nothing would tell readers that those they have are gone.

A truncate is written into its topic instead, in the form of the records that are there, before the connector begins anew: whatever is
inserted later is read by the snapshot, and comes behind it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, cast

from cdc.connect.config import KICK, Names, name_topic
from cdc.database import SourceDatabase
from cdc.reading import open_reading
from eventstore.codec import decode, encode
from eventstore.errors import UndecodableRecord
from eventstore.log.admin import Admin
from eventstore.log.producer import TransactionalProducer
from eventstore.log.tail import read_tail
from eventstore.settings import KafkaSettings


async def tell_empty(database: SourceDatabase, dsn: str, kafka: KafkaSettings, names: Names, tables: Sequence[str]) -> list[str]:
    """Write a truncate for each of *tables* that has no row and whose topic has records in JSON; give their names.

    Only while the connector stands still.
    """
    empty = await _find_empty(dsn, tables)
    told: list[str] = []
    for table in empty:
        topic = name_topic(names.prefix, table)
        async with Admin.open(kafka) as admin:
            partitions = await admin.partitions(topic)
            compacted = "compact" in (await admin.configuration(topic))["cleanup.policy"] if partitions else False
        tails = await read_tail(kafka, topic, partitions) if partitions else {}
        if not tails or compacted:  # a compacted topic takes no record without a key
            continue
        number, template = min(tails.items())
        value = compose_truncate(template, await database.kick(KICK, names.connector), int(time.time() * 1_000_000))
        if value is not None:
            await _write(kafka, topic, number, value)
            told.append(table)
    return told


def compose_truncate(template: bytes, position: int, micros: int) -> bytes | None:
    """Make the record of a truncate at *position* of the log out of any record of the table; None for a form that is not JSON. Pure."""
    try:
        whole: Any = decode(template)
        payload: dict[str, Any] = whole["payload"] if whole.keys() == {"schema", "payload"} else whole
        times = {"ts_ms": micros // 1000, "ts_us": micros, "ts_ns": micros * 1000}
        place = {"sequence": f'[null,"{position}"]', "lsn": position, "txId": None, "snapshot": None}
        source = {**payload["source"], **place, **times}
    except (UndecodableRecord, AttributeError, KeyError, TypeError):
        return None
    made = {**payload, "before": None, "after": None, "source": source, "transaction": None, "op": "t", **times}
    return encode({**whole, "payload": made} if payload is not whole else made)


async def _find_empty(dsn: str, tables: Sequence[str]) -> list[str]:
    found: list[str] = []
    async with open_reading(dsn) as reading:
        for table in tables:
            async with aclosing(reading.rows(table)) as rows:
                if await anext(rows, None) is None:
                    found.append(table)
    return found


async def _write(kafka: KafkaSettings, topic: str, partition: int, value: bytes) -> None:
    producer = TransactionalProducer(kafka, topic, f"{topic}.cdc-recover")
    await producer.start()
    try:
        await producer.publish([(partition, cast("bytes", None), value, int(time.time() * 1000))])
    finally:
        await producer.close()
