"""From a declared connector to Debezium's whole configuration, with defaults that lose nothing.

Why each default is what it is stands beside it; the facts are in docs/explanation/cdc.md. What the declaration itself settles
(address, slot, publication, topics) can't be overridden under [options].
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from cdc.connect.declaration import Connector
from eventstore.errors import UsageError
from eventstore.settings import KafkaSettings

PLUGIN = "io.debezium.connector.postgresql.PostgresConnector"
HEARTBEAT = "__cdc_heartbeat"
KICK = "cdc_kick"

_SELF_DESCRIBING = (
    "bool|int2|int4|int8|oid|float4|float8|text|varchar|bpchar|name|bytea|json|jsonb|uuid|date|time|timetz|timestamp|timestamptz"
    "|_int2|_int4|_int8|_float4|_float8|_bool|_text|_varchar|_uuid|_date|_timestamp|_timestamptz|_jsonb"
)

LOSSLESS = {
    "decimal.handling.mode": "string",  # precise turns NaN into NULL
    "time.precision.mode": "microseconds",  # one unit for every precision
    "interval.handling.mode": "string",  # microseconds would give a month 30.4375 days
    "binary.handling.mode": "bytes",
    "hstore.handling.mode": "json",
    "include.unknown.datatypes": "true",  # otherwise composite and multirange columns vanish with a warning in a log
    "event.converting.failure.handling.mode": "fail",  # otherwise a value that can't be converted becomes NULL
    "datatype.propagate.source.type": rf".*\.(?!(?:{_SELF_DESCRIBING})$)[^.]*",  # numeric sent as text needs its type beside it
    "tombstones.on.delete": "true",
    "skipped.operations": "none",  # a skipped truncate would leave every row in the read models
}
RELIABLE = {
    "snapshot.mode": "initial",
    "exactly.once.support": "required",
    "offset.mismatch.strategy": "trust_offset",  # others skip changes in silence when slot and offset differ
    "heartbeat.interval.ms": "5000",
    "heartbeat.action.query": f"SELECT pg_logical_emit_message(false, '{HEARTBEAT}', now()::text)",  # frees WAL while idle
    "message.prefix.exclude.list": HEARTBEAT,
    "status.update.interval.ms": "1000",
    "slot.max.retries": "30",
    "slot.retry.delay.ms": "2000",
    "retriable.restart.connector.wait.ms": "2000",
    "errors.tolerance": "none",
}
FAST = {
    "poll.interval.ms": "20",
    "extended.headers.enabled": "false",  # 150 bytes a record that no one here reads
    "producer.override.compression.type": "lz4",  # a record is mostly its schema
    "producer.override.batch.size": "262144",
    "max.batch.size": "8192",  # a poll is a transaction: each costs a commit, and a look at the end of the offsets' topic
    "max.queue.size": "16384",
    "consumer.override.fetch.max.wait.ms": "50",  # how long that look may wait: half a second by default, every few hundredth time
}
RECORDS = {
    f"{side}.converter{rest}": value
    for side in ("key", "value")
    for rest, value in (
        ("", "org.apache.kafka.connect.json.JsonConverter"),
        (".schemas.enable", "true"),
        (".replace.null.with.default", "false"),  # otherwise NULL becomes the column's default
    )
}
_OWN = re.compile(
    r"(connector\.class|tasks\.max|name|topic\.prefix|plugin\.name|publication\.(name|autocreate\.mode)|slot\.name"
    r"|slot\.drop\.on\.stop|table\.(include|exclude)\.list|schema\.(include|exclude)\.list"
    r"|database\.(hostname|port|user|password|dbname)|topic\.creation\.default\.partitions"
    r"|(key|value)\.converter\.replace\.null\.with\.default)\Z"
)


_ADDRESS = re.compile(
    r"(connector\.class|topic\.prefix|slot\.name|publication\.name|database\.(hostname|port|user|password|dbname))\Z"
)


class Names(NamedTuple):
    """What a connector is called in each of the three places."""

    connector: str
    prefix: str
    slot: str
    publication: str


def find_names(connector: Connector, kafka: KafkaSettings) -> Names:
    """Give the names of a declared connector: ours, or those it had when it was adopted."""
    if connector.adopted is None:
        full, server = connector_name(connector.name, kafka), server_name(connector.name, kafka)
        return Names(full, full, server, server)
    return read_names(connector.adopted.connector, _keep_names(connector))


def read_names(name: str, config: Mapping[str, str]) -> Names:
    """Give the names that the configuration of connector *name* settles, with Debezium's defaults."""
    slot, publication = config.get("slot.name", "debezium"), config.get("publication.name", "dbz_publication")
    return Names(name, config.get("topic.prefix", name), slot, publication)


def name_topic(prefix: str, table: str) -> str:
    """Give the topic that Debezium writes a table's changes to, with `_` where the table's name holds what a topic's may not."""
    return f"{prefix}.{re.sub(r'[^a-zA-Z0-9._-]', '_', table)}"


def connector_name(name: str, kafka: KafkaSettings) -> str:
    """Give the name that Connect knows the connector *name* by; it is its topics' prefix as well."""
    return f"{kafka.topic_prefix}.{name}"


def server_name(name: str, kafka: KafkaSettings) -> str:
    """Give the name of the connector's slot and publication: what PostgreSQL allows, at most 63 characters."""
    whole = re.sub(r"[^a-z0-9_]", "_", connector_name(name, kafka).lower())
    return whole if len(whole) <= 63 else f"{whole[:54]}_{_digest(whole)}"


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:8]


def build_config(connector: Connector, kafka: KafkaSettings) -> dict[str, str]:
    """Give the whole configuration as Connect takes it. Raises UsageError for an option that the declaration settles."""
    for option in connector.options:
        if (_OWN if connector.adopted is None else _ADDRESS).match(option):
            raise UsageError(
                f"the option {option} is settled by [connector] and can't be set under [options]: use name, dsn, tables or "
                "partitions instead",
                option=option,
            )
    if connector.adopted is not None:
        return {"connector.class": PLUGIN, **_address(connector), **_keep_names(connector), **connector.options}
    names = find_names(connector, kafka)
    return {
        "connector.class": PLUGIN,
        "tasks.max": "1",
        **_address(connector),
        "topic.prefix": names.prefix,
        "plugin.name": "pgoutput",
        "slot.name": names.slot,
        "publication.name": names.publication,
        "publication.autocreate.mode": "disabled",
        "table.include.list": ",".join(re.escape(table) for table in sorted(connector.tables)),
        **LOSSLESS,
        **RELIABLE,
        **FAST,
        **RECORDS,
        "topic.creation.default.partitions": str(connector.partitions),
        "topic.creation.default.replication.factor": str(kafka.replication),
        "topic.creation.default.cleanup.policy": connector.cleanup,
        "topic.creation.default.retention.ms": str(connector.retention_ms),
        **(
            {"skipped.operations": "t"} if "compact" in connector.cleanup else {}
        ),  # a compacted topic takes no record without key
        **_listen(connector, names, kafka),
        **connector.options,
    }


def _listen(connector: Connector, names: Names, kafka: KafkaSettings) -> dict[str, str]:
    """Give the options of the signal channel, and of the notifications by which a snapshot is followed."""
    if connector.signals is None:
        return {}
    told = {
        "notification.enabled.channels": "sink",
        "notification.sink.topic.name": f"{names.prefix}.notification",
        "signal.poll.interval.ms": "500",  # else a signal lies for five seconds
    }
    told["signal.data.collection"] = connector.signal_table  # a snapshot's watermarks are written into it in either case
    if connector.signals == "table":
        return {**told, "signal.enabled.channels": "source"}
    topic = {"signal.kafka.topic": f"{names.prefix}.signal", "signal.kafka.bootstrap.servers": kafka.bootstrap}
    return {**told, "signal.enabled.channels": "source,kafka", **topic}


def _keep_names(connector: Connector) -> dict[str, str]:
    """Give the options that an adopted connector's names stand in, without those that its configuration leaves out."""
    names = connector.adopted
    if names is None:
        return {}
    given = {"topic.prefix": names.prefix, "slot.name": names.slot, "publication.name": names.publication}
    return {option: value for option, value in given.items() if value is not None}


def _address(connector: Connector) -> dict[str, str]:
    address = {
        "database.hostname": connector.host,
        "database.port": str(connector.port),
        "database.user": connector.user,
        "database.dbname": connector.database,
    }
    if connector.adopted is not None and not connector.has_port:
        del address["database.port"]
    return address if connector.password is None else {**address, "database.password": connector.password}


def compare_config(running: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Give what differs, option by option, as (running, wanted); None = not set."""
    names = (running.keys() | wanted.keys()) - {"name"}
    return {name: (running.get(name), wanted.get(name)) for name in sorted(names) if running.get(name) != wanted.get(name)}
