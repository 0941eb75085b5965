"""Telling a running connector something: through its signal table or its signal topic, whichever it listens to.

The topic is taken when it listens to one: then whoever sends needs no right in the database. Otherwise the table: its row travels in
the log itself, so the connector sees it at once and at a definite place among the changes. Debezium answers neither; what became of
a snapshot is told by notifications, see `cdc.snapshot`.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from cdc.connect.config import Names
from cdc.database import SourceDatabase
from eventstore.codec import encode
from eventstore.errors import PreconditionFailed
from eventstore.log.producer import TransactionalProducer
from eventstore.settings import KafkaSettings

KINDS = ("execute-snapshot", "pause-snapshot", "resume-snapshot", "stop-snapshot", "log")
_WHY = {
    "table": "its row travels in the log, at once and at a definite place among the changes",
    "topic": "the connector listens to it, and who sends needs no right in the database",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a connector listens: a table of its database, or a topic whose records bear its prefix as key."""

    kind: Literal["table", "topic"]
    name: str

    @property
    def reason(self) -> str:
        """Why this one."""
        return _WHY[self.kind]


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal that was written: its *id*, by which notifications name it, and the way it took."""

    id: str
    kind: str
    channel: Channel

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {**asdict(self), "reason": self.channel.reason}


def find_channel(config: Mapping[str, str], names: Names) -> Channel:
    """Find where a connector with this *config* listens. Raises PreconditionFailed when it does so nowhere."""
    enabled = {each.strip() for each in config.get("signal.enabled.channels", "source").split(",")}
    table = config.get("signal.data.collection", "")
    if "kafka" in enabled:
        return Channel("topic", config.get("signal.kafka.topic", f"{names.prefix}-signal"))
    if "source" in enabled and table:
        return Channel("table", table.partition(".")[2] if table.count(".") > 1 else table)
    raise PreconditionFailed(
        f'the connector {names.connector} listens to no signals: declare signals = "kafka", or signals = "table", and `cdc apply`',
        connector=names.connector,
    )


def write_snapshot(tables: Sequence[str], *, where: str | None = None, blocking: bool = False) -> dict[str, Any]:
    """Compose the data of `execute-snapshot`: *tables* by name, only rows *where* (one table), beside the stream or *blocking* it."""
    data: dict[str, Any] = {
        "data-collections": [re.escape(each) for each in tables],
        "type": "blocking" if blocking else "incremental",
    }
    if where is not None:
        query = " ".join(("select * from", tables[0], "where", where))
        data["additional-conditions"] = [{"data-collection": tables[0], "filter": query if blocking else where}]
    return data


async def send_signal(
    database: SourceDatabase, kafka: KafkaSettings, names: Names, channel: Channel, kind: str, data: Mapping[str, Any]
) -> Sent:
    """Write one signal. Raises PreconditionFailed when the role may not write the table, Unreachable."""
    sent = Sent(str(uuid.uuid4()), kind, channel)
    if channel.kind == "table":
        await database.write_signal(channel.name, sent.id, kind, encode(data).decode())
        return sent
    producer = TransactionalProducer(kafka, channel.name, f"{names.prefix}.cdc-signal")
    await producer.start()
    try:
        value = encode({"id": sent.id, "type": kind, "data": data})
        await producer.publish([(0, names.prefix.encode(), value, _now_ms())])
    finally:
        await producer.close()
    return sent


def _now_ms() -> int:
    return int(time.time() * 1000)
