"""From a declared connector to Debezium's whole configuration, with defaults that lose nothing.

Why each default is what it is stands beside it; the facts are in docs/explanation/cdc.md. What the declaration itself settles
(address, slot, publication, topics) can't be overridden under [options].
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
        if _OWN.match(option):
            raise UsageError(
                f"the option {option} is settled by [connector] and can't be set under [options]: use name, dsn, tables or "
                "partitions instead",
                option=option,
            )
    return {
        "connector.class": PLUGIN,
        "tasks.max": "1",
        **_address(connector),
        "topic.prefix": connector_name(connector.name, kafka),
        "plugin.name": "pgoutput",
        "slot.name": server_name(connector.name, kafka),
        "publication.name": server_name(connector.name, kafka),
        "publication.autocreate.mode": "disabled",
        "table.include.list": ",".join(re.escape(table) for table in sorted(connector.tables)),
        **LOSSLESS,
        **RELIABLE,
        **FAST,
        **RECORDS,
        "topic.creation.default.partitions": str(connector.partitions),
        "topic.creation.default.replication.factor": str(kafka.replication),
        "topic.creation.default.cleanup.policy": "delete",
        "topic.creation.default.retention.ms": "-1",
        **connector.options,
    }


def _address(connector: Connector) -> dict[str, str]:
    address = {
        "database.hostname": connector.host,
        "database.port": str(connector.port),
        "database.user": connector.user,
        "database.dbname": connector.database,
    }
    return address if connector.password is None else {**address, "database.password": connector.password}


def compare_config(running: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Give what differs, option by option, as (running, wanted); None = not set."""
    names = (running.keys() | wanted.keys()) - {"name"}
    return {name: (running.get(name), wanted.get(name)) for name in sorted(names) if running.get(name) != wanted.get(name)}
