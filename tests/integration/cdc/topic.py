"""The topic of a captured table of customers, written as Debezium writes it, for tests that need no Connect."""

from __future__ import annotations

import json

from aiokafka import AIOKafkaProducer

TEXTS = ("string", "name"), ("string", "city")


class Table:
    """The topic of the captured table, as Debezium writes it."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self.topic = topic
        self.lsn = 1_000

    async def write(self, op: str, key: int, name: str = "", city: str = "", lsn: int | None = None) -> None:
        """Write one change; *lsn* None = the next one."""
        self.lsn += 8
        place = self.lsn if lsn is None else lsn
        row = {"id": key, "name": name, "city": city}
        fields = [{"type": "int32", "field": "id"}, *({"type": kind, "optional": True, "field": field} for kind, field in TEXTS)]
        source = {
            "ts_us": 1_700_000_000_000_000 + place, "ts_ms": 1, "sequence": json.dumps([str(place), str(place)]), "schema": "public",
            "table": "customer", "txId": place, "lsn": place, "snapshot": None, "db": "crm",
        }  # fmt: skip
        value = {"op": op, "before": None, "after": None if op == "d" else row, "source": source, "transaction": None}
        schema = {"type": "struct", "fields": [{"type": "struct", "fields": fields, "field": "after"}]}
        documents = (
            {"schema": {"type": "struct", "fields": fields[:1]}, "payload": {"id": key}},
            {"schema": schema, "payload": value},
        )
        written = [json.dumps(each, separators=(",", ":")).encode() for each in documents]
        await self._producer.send_and_wait(self.topic, key=written[0], value=written[1], partition=key % 2)

    async def live(self, count: int) -> None:
        """Let customers come, move and leave."""
        for key in range(count):
            await self.write("c", key, f"name {key}", "Bonn")
            await self.write("u", key, f"name {key}", "Trier")
        await self.write("d", 0)
