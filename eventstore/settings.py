"""Every setting of the store and the log, declared once: meaning, unit, default, environment twin.

Order: keyword, then environment, then the `stack.env` that `refold up` writes, then the default. Secrets are masked wherever a
settings object is shown.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_PAIR = re.compile(r"(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|\S*)")
STACK_ENV = Path(os.environ.get("REFOLD_STACK_DIR", ".refold")) / "stack.env"


def configure(prefix: str) -> SettingsConfigDict:
    """Give the pydantic-settings configuration that all settings classes share."""
    return SettingsConfigDict(env_prefix=prefix, env_file=STACK_ENV, extra="ignore", frozen=True)


class PostgresSettings(BaseSettings):
    """Where events and read models live."""

    model_config = configure("REFOLD_POSTGRES_")

    dsn: SecretStr = Field(
        default=SecretStr("postgresql://localhost/refold"), description="libpq URI of the database. Env REFOLD_POSTGRES_DSN."
    )
    pool_size: int = Field(
        default=10, ge=1, le=500, description="Connections kept open per process. Env REFOLD_POSTGRES_POOL_SIZE."
    )
    connect_timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds to wait for a connection before Unreachable. Env REFOLD_POSTGRES_CONNECT_TIMEOUT_S.",
    )
    idle_in_transaction_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds after which a transaction that does nothing is ended by the server: an idle one holds back every "
        "ordered reader. Env REFOLD_POSTGRES_IDLE_IN_TRANSACTION_S.",
    )
    max_event_bytes: int = Field(
        default=900_000,
        ge=1,
        description="Bytes of one event's data and metadata as JSON; below the log's limit of 1 MiB a message, so that what was "
        "recorded can be relayed. Env REFOLD_POSTGRES_MAX_EVENT_BYTES.",
    )
    max_append_events: int = Field(
        default=1_000, ge=1, description="Events in one append. Env REFOLD_POSTGRES_MAX_APPEND_EVENTS."
    )
    max_append_bytes: int = Field(
        default=64 << 20,
        ge=1,
        description="Bytes of all events in one append as JSON. Env REFOLD_POSTGRES_MAX_APPEND_BYTES.",
    )
    max_append_streams: int = Field(
        default=100,
        ge=1,
        description="Streams in one append; each is locked until it is recorded. Env REFOLD_POSTGRES_MAX_APPEND_STREAMS.",
    )
    max_event_tags: int = Field(
        default=32, ge=0, description="Tags of one event; each takes a row and a lock. Env REFOLD_POSTGRES_MAX_EVENT_TAGS."
    )
    max_query_items: int = Field(
        default=64, ge=1, description="Items of one query or condition. Env REFOLD_POSTGRES_MAX_QUERY_ITEMS."
    )
    group_lanes: int = Field(
        default=2,
        ge=1,
        le=16,
        description="Groups of appends that a process has under way at once, each on a connection of its own. "
        "Env REFOLD_POSTGRES_GROUP_LANES.",
    )
    group_requests: int = Field(
        default=128,
        ge=1,
        description="Appends that share a transaction and a round trip at most; 1 = none does. "
        "Env REFOLD_POSTGRES_GROUP_REQUESTS.",
    )
    group_events: int = Field(
        default=2_000,
        ge=1,
        description="Events of a group at most; a larger append goes alone. Env REFOLD_POSTGRES_GROUP_EVENTS.",
    )
    group_bytes: int = Field(
        default=4 << 20,
        ge=1,
        description="Bytes of a group's events at most; a larger append goes alone. Env REFOLD_POSTGRES_GROUP_BYTES.",
    )
    group_patience_s: float = Field(
        default=0.1,
        gt=0,
        description="Seconds that a group waits for a lock which somebody else holds; then its members go on one by one, so that only "
        "those wait who must. Env REFOLD_POSTGRES_GROUP_PATIENCE_S.",
    )
    append_attempts: int = Field(
        default=8,
        ge=1,
        description="How often an append is sent in all when the server asks to try again or the connection breaks. "
        "Env REFOLD_POSTGRES_APPEND_ATTEMPTS.",
    )
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = Field(
        default=None,
        description="How far the connection is encrypted and the server checked, where the DSN does not say; only verify-full keeps "
        "an impostor out. Env REFOLD_POSTGRES_SSLMODE.",
    )
    sslrootcert: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the server's certificate, where the DSN does not say. "
        "Env REFOLD_POSTGRES_SSLROOTCERT.",
    )
    sslcert: Path | None = Field(
        default=None,
        description="PEM file of our own certificate, for a server that asks for one. Env REFOLD_POSTGRES_SSLCERT.",
    )
    sslkey: Path | None = Field(
        default=None,
        description="PEM file of that certificate's key; others than its owner may not read it. Env REFOLD_POSTGRES_SSLKEY.",
    )
    sslpassword: SecretStr | None = Field(default=None, description="What unlocks that key. Env REFOLD_POSTGRES_SSLPASSWORD.")
    channel_binding: Literal["disable", "prefer", "require"] | None = Field(
        default=None,
        description="Whether the login is bound to the encrypted connection (SCRAM over TLS), where the DSN does not say. "
        "Env REFOLD_POSTGRES_CHANNEL_BINDING.",
    )
    role_prefix: str = Field(
        default="refold",
        pattern=r"^[a-z_][a-z0-9_]{0,39}$",
        description="First part of the names of the roles that `eventstore migrate` makes; give databases of one server different "
        "ones to keep their logins apart. Env REFOLD_POSTGRES_ROLE_PREFIX.",
    )
    import_chunk: int = Field(
        default=50_000,
        ge=1,
        description="Events that an import commits at a time; ordered readers wait for one chunk at most. "
        "Env REFOLD_POSTGRES_IMPORT_CHUNK.",
    )

    @property
    def address(self) -> str:
        """The DSN without its password, for messages."""
        dsn = self.dsn.get_secret_value()
        if "://" not in dsn:
            shown = {"host", "hostaddr", "port", "dbname", "user", "service"}
            return " ".join(f"{name}={value}" for name, value in _PAIR.findall(dsn) if name in shown) or "the given DSN"
        parts = urlsplit(dsn)
        user = f"{parts.username}@" if parts.username else ""
        return urlunsplit((parts.scheme, f"{user}{parts.netloc.rpartition('@')[2]}", parts.path, "", ""))


class KafkaSettings(BaseSettings):
    """Where the log is and how its topics are made."""

    model_config = configure("REFOLD_KAFKA_")

    bootstrap: str = Field(default="127.0.0.1:9092", description="Comma-separated host:port pairs. Env REFOLD_KAFKA_BOOTSTRAP.")
    topic_prefix: str = Field(
        default="refold",
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="First part of every topic and group name. Env REFOLD_KAFKA_TOPIC_PREFIX.",
    )
    partitions: int = Field(
        default=6,
        ge=1,
        le=1000,
        description="Partitions of the events topic; fixed for the life of the log, because a stream's partition must never "
        "move. Env REFOLD_KAFKA_PARTITIONS.",
    )
    replication: int = Field(default=1, ge=1, le=9, description="Copies of each partition. Env REFOLD_KAFKA_REPLICATION.")
    min_insync: int = Field(
        default=0,
        ge=0,
        le=9,
        description="Copies that must hold a record before it counts as written; 0 = one less than REFOLD_KAFKA_REPLICATION, and at "
        "least one. Env REFOLD_KAFKA_MIN_INSYNC.",
    )
    max_message_bytes: int = Field(
        default=4 << 20,
        ge=1 << 20,
        description="Largest message that the events topic takes; above REFOLD_POSTGRES_MAX_EVENT_BYTES by half and more, since "
        "the database writes JSON wider than it was sent. Env REFOLD_KAFKA_MAX_MESSAGE_BYTES.",
    )
    request_timeout_s: float = Field(
        default=30.0, gt=0, description="Seconds before a request to a broker is given up. Env REFOLD_KAFKA_REQUEST_TIMEOUT_S."
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="lz4", description="Codec of the batches that the relay writes. Env REFOLD_KAFKA_COMPRESSION."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="How the brokers' listener is spoken to: SSL encrypts, SASL logs in. Env REFOLD_KAFKA_SECURITY_PROTOCOL.",
    )
    ssl_ca_file: Path | None = Field(
        default=None,
        description="PEM file of the authorities that sign the brokers' certificates; without it, those of the system. "
        "Env REFOLD_KAFKA_SSL_CA_FILE.",
    )
    ssl_cert_file: Path | None = Field(
        default=None, description="PEM file of our own certificate, for brokers that ask for one. Env REFOLD_KAFKA_SSL_CERT_FILE."
    )
    ssl_key_file: Path | None = Field(
        default=None,
        description="PEM file of that certificate's key; without it the key lies in the same file. Env REFOLD_KAFKA_SSL_KEY_FILE.",
    )
    ssl_key_password: SecretStr | None = Field(
        default=None, description="What unlocks that key. Env REFOLD_KAFKA_SSL_KEY_PASSWORD."
    )
    ssl_check_hostname: bool = Field(
        default=True,
        description="Whether a broker's certificate must be for the name it is reached by. Env REFOLD_KAFKA_SSL_CHECK_HOSTNAME.",
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        default="SCRAM-SHA-512", description="How we log in. Env REFOLD_KAFKA_SASL_MECHANISM."
    )
    sasl_username: str = Field(default="", description="Who logs in. Env REFOLD_KAFKA_SASL_USERNAME.")
    sasl_password: SecretStr | None = Field(default=None, description="Their password. Env REFOLD_KAFKA_SASL_PASSWORD.")
    sasl_token_file: Path | None = Field(
        default=None,
        description="File that holds the token for OAUTHBEARER, read anew for every connection. Env REFOLD_KAFKA_SASL_TOKEN_FILE.",
    )

    @property
    def min_insync_wanted(self) -> int:
        """The events topic's `min.insync.replicas`."""
        return self.min_insync or max(1, self.replication - 1)

    @property
    def events_topic(self) -> str:
        """The topic that carries the store's events."""
        return f"{self.topic_prefix}.events"


class EventSettings(BaseSettings):
    """What readers of the log do with events that a newer release wrote."""

    model_config = configure("REFOLD_EVENTS_")

    newer: Literal["park", "skip"] = Field(
        default="park",
        description="What becomes of an event whose schema version this release does not know: parked with the later ones of its "
        "stream, or passed over, which leaves rows wrong until the newer release is replayed. Env REFOLD_EVENTS_NEWER.",
    )
    undeclared: Literal["skip", "park"] = Field(
        default="skip",
        description="What becomes of an event whose type no module of this release declares: passed over and named once by the "
        "worker, or parked, for stores whose every type this release should know. Env REFOLD_EVENTS_UNDECLARED.",
    )


class RelaySettings(BaseSettings):
    """How events travel from the store to the log."""

    model_config = configure("REFOLD_RELAY_")

    source: str = Field(
        default="refold",
        min_length=1,
        description="CloudEvents `source` of every event: a URI reference that names this store. Env REFOLD_RELAY_SOURCE.",
    )
    batch_events: int = Field(
        default=10_000, ge=1, description="Events in one Kafka transaction at most. Env REFOLD_RELAY_BATCH_EVENTS."
    )
    batch_bytes: int = Field(
        default=16 << 20,
        ge=1 << 10,
        description="Bytes of records in one page at most (one larger event still goes alone); a relay holds two pages: the one that "
        "Kafka is taking, and the next. Env REFOLD_RELAY_BATCH_BYTES.",
    )
    lease_s: float = Field(
        default=10.0,
        ge=1,
        description="Seconds of silence (stopped, hung, cut off from PostgreSQL) after which a relay's shards go to another one; one "
        "that dies loses them at once. Env REFOLD_RELAY_LEASE_S.",
    )
    watch_s: float = Field(
        default=0.25,
        gt=0,
        description="Seconds between two looks at who relays which shard; a waiting relay steps in that soon. Must be well below the "
        "lease. Env REFOLD_RELAY_WATCH_S.",
    )
    note_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds between two notes of where quiet shards stand, which only spare reading at the next start; the relay "
        "looks then, too, whether the broker forgot to end a transaction. Env REFOLD_RELAY_NOTE_S.",
    )
    poll_s: float = Field(
        default=0.003, gt=0, description="Seconds until the store is asked again after events came. Env REFOLD_RELAY_POLL_S."
    )
    idle_poll_s: float = Field(
        default=0.025,
        gt=0,
        description="Seconds that this grows to while none come; half of it is added to the latency of the first event after a "
        "pause. Env REFOLD_RELAY_IDLE_POLL_S.",
    )


class PrivacySettings(BaseSettings):
    """How personal data in events is sealed, and who may open it."""

    model_config = configure("REFOLD_PRIVACY_")

    master_keys: SecretStr | None = Field(
        default=None,
        description="Keys that wrap the subjects' keys: comma-separated NAME:BASE64 of 32 bytes, the current one first. Without any, "
        "personal fields read as [sealed] and can't be recorded. Env REFOLD_PRIVACY_MASTER_KEYS.",
    )
    master_key_file: Path | None = Field(
        default=None,
        description="File of such keys, one a line; they come after those of REFOLD_PRIVACY_MASTER_KEYS. "
        "Env REFOLD_PRIVACY_MASTER_KEY_FILE.",
    )
    dsn: SecretStr | None = Field(
        default=None,
        description="libpq URI of the database with the subjects' keys; none = the events' own. Env REFOLD_PRIVACY_DSN.",
    )
    cache_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a process believes a key it holds, hence how long after a `forget` something may still be opened. "
        "The same in all processes, since `forget` waits for it. Env REFOLD_PRIVACY_CACHE_S.",
    )
    cache_keys: int = Field(
        default=50_000,
        ge=1,
        description="Keys of so many subjects a process holds at most, about 500 bytes each. Env REFOLD_PRIVACY_CACHE_KEYS.",
    )


class ProcessSettings(BaseSettings):
    """How processes and tasks are run."""

    model_config = configure("REFOLD_PROCESS_")

    batch_events: int = Field(
        default=500, ge=1, description="Events that a process reads and commits at a time. Env REFOLD_PROCESS_BATCH_EVENTS."
    )
    batch_tasks: int = Field(
        default=32, ge=1, description="How many requests (tasks) a worker carries out at a time. Env REFOLD_PROCESS_BATCH_TASKS."
    )
    lease_s: float = Field(
        default=15.0,
        gt=0,
        description="Seconds by the database's clock after which what a dead worker held is free again; a call to the outside must "
        "answer within four fifths of it. Env REFOLD_PROCESS_LEASE_S.",
    )
    poll_s: float = Field(
        default=0.01, gt=0, description="Seconds until the store is asked again after something came. Env REFOLD_PROCESS_POLL_S."
    )
    idle_poll_s: float = Field(
        default=0.1, gt=0, description="Seconds that this grows to while nothing comes. Env REFOLD_PROCESS_IDLE_POLL_S."
    )
    attempts: int = Field(
        default=8, ge=1, description="How often a task is tried before it is set aside as failed. Env REFOLD_PROCESS_ATTEMPTS."
    )
    retry_s: float = Field(
        default=60.0, gt=0, description="Most seconds between two attempts; they begin below one. Env REFOLD_PROCESS_RETRY_S."
    )
    keep_s: float = Field(
        default=30 * 86_400.0,
        gt=0,
        description="Seconds for which finished tasks stay in the ledger (30 days). Env REFOLD_PROCESS_KEEP_S.",
    )
