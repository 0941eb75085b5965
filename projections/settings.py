"""Settings of the projections: workers, grace times, reads, sinks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from eventstore.settings import configure


class ProjectionSettings(BaseSettings):
    """How workers share, poll and judge themselves, and how long a retired generation stays current."""

    model_config = configure("REFOLD_PROJECTIONS_")

    app: str | None = Field(default=None, description="module:name of the app's Projections(...). Env REFOLD_PROJECTIONS_APP.")
    look_s: float = Field(
        default=0.5, gt=0, le=60, description="Seconds between looks at the catalogue for swaps. Env REFOLD_PROJECTIONS_LOOK_S."
    )
    poll_s: float = Field(default=0.2, gt=0, le=10, description="Seconds an idle fetch waits. Env REFOLD_PROJECTIONS_POLL_S.")
    grace_s: float = Field(
        default=900.0,
        ge=0,
        description="Seconds a retired generation is still fed, so that a rollback is never stale. Env REFOLD_PROJECTIONS_GRACE_S.",
    )
    wait_s: float = Field(
        default=5.0, gt=0, description="Seconds that a read waits for a token before TimedOut. Env REFOLD_PROJECTIONS_WAIT_S."
    )
    shared: bool = Field(
        default=False,
        description="Let the projections of a process that read the same topics share one read pass: one fetch and one decode, bounded by "
        "the slowest. Env REFOLD_PROJECTIONS_SHARED.",
    )
    instance: str | None = Field(
        default=None,
        description="Name of this worker process for life, unlike that of any other of its app (a pod's name, say): stopped and started "
        "within the session time it gets its partitions back without a rebalance. None = whoever joins is new. "
        "Env REFOLD_PROJECTIONS_INSTANCE.",
    )
    session_s: float = Field(
        default=10.0,
        ge=1,
        description="Seconds of silence (stopped, hung, cut off from Kafka) after which a worker's partitions go to others; the broker "
        "allows 6 to 1800 unless told otherwise. Env REFOLD_PROJECTIONS_SESSION_S.",
    )
    max_poll_s: float = Field(
        default=300.0,
        ge=1,
        description="Seconds that a worker may take over one batch before its partitions go to others. Env REFOLD_PROJECTIONS_MAX_POLL_S.",
    )
    batch_s: float = Field(
        default=2.0,
        gt=0,
        description="Seconds that a batch should take at most: slow handlers get fewer records at a time. Env REFOLD_PROJECTIONS_BATCH_S.",
    )
    batch_bytes: int = Field(
        default=8 << 20,
        ge=1 << 10,
        description="Bytes of records that a worker takes into one transaction; nothing more is fetched until what was is applied. "
        "Env REFOLD_PROJECTIONS_BATCH_BYTES.",
    )
    retry_attempts: int = Field(
        default=5,
        ge=0,
        description="How often a parked record is tried again by itself, since what spoilt it may have passed. "
        "Env REFOLD_PROJECTIONS_RETRY_ATTEMPTS.",
    )
    retry_s: float = Field(
        default=1.0,
        gt=0,
        description="Seconds before the first of these attempts; doubled each time. Env REFOLD_PROJECTIONS_RETRY_S.",
    )
    retry_most_s: float = Field(
        default=300.0, gt=0, description="Most seconds between two of them. Env REFOLD_PROJECTIONS_RETRY_MOST_S."
    )
    slow_s: float = Field(
        default=15.0,
        gt=0,
        description="Seconds without an answer of Kafka or PostgreSQL, or without progress though records wait, after which `/readyz` "
        "says 503. Env REFOLD_PROJECTIONS_SLOW_S.",
    )
    stuck_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds of the same after which `/livez` says 503, since the process is better started anew. "
        "Env REFOLD_PROJECTIONS_STUCK_S.",
    )
    stop_s: float = Field(
        default=30.0,
        gt=0,
        description="Seconds that a worker which was asked to stop may take to finish its batch. Env REFOLD_PROJECTIONS_STOP_S.",
    )
    effect_tasks: int = Field(
        default=16,
        ge=1,
        description="Items: effects that a worker carries out at the same time. Env REFOLD_PROJECTIONS_EFFECT_TASKS.",
    )
    effect_lease_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds after which an effect that was begun and not crossed off is called again; it may take four fifths of them. "
        "Env REFOLD_PROJECTIONS_EFFECT_LEASE_S.",
    )
    effect_attempts: int = Field(
        default=10, ge=1, description="How often an effect is tried before it is dead. Env REFOLD_PROJECTIONS_EFFECT_ATTEMPTS."
    )
    effect_retry_s: float = Field(
        default=1.0,
        gt=0,
        description="Seconds before an effect is tried again; doubled each time. Env REFOLD_PROJECTIONS_EFFECT_RETRY_S.",
    )
    effect_retry_most_s: float = Field(
        default=3600.0, gt=0, description="Most seconds between two of its attempts. Env REFOLD_PROJECTIONS_EFFECT_RETRY_MOST_S."
    )
    effect_keep_s: float = Field(
        default=30 * 86400.0,
        gt=0,
        description="Seconds for which effects that were carried out stay in the ledger. Env REFOLD_PROJECTIONS_EFFECT_KEEP_S.",
    )
    health_host: str = Field(
        default="127.0.0.1", description="Address that the health endpoints listen on. Env REFOLD_PROJECTIONS_HEALTH_HOST."
    )
    health_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="TCP port of `/livez` and `/readyz`; 0 = a free one, which is printed, none = no endpoints. "
        "Env REFOLD_PROJECTIONS_HEALTH_PORT.",
    )


class WebSettings(BaseSettings):
    """How requests of a web app meet the read models (`projections.web`)."""

    model_config = configure("REFOLD_WEB_")

    wait_s: float = Field(
        default=2.0,
        gt=0,
        description="Seconds that a request waits until the read model contains its token, before it is answered 503. "
        "Env REFOLD_WEB_WAIT_S.",
    )
    cookie: str = Field(
        default="refold_token",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="Name of the cookie that carries a browser's last writes to its next reads; empty = none. Env REFOLD_WEB_COOKIE.",
    )
    cookie_s: float = Field(
        default=60.0,
        gt=0,
        description="Seconds for which a browser keeps it; whatever a read model does not have by then is not waited for. "
        "Env REFOLD_WEB_COOKIE_S.",
    )
    token_keys: SecretStr | None = Field(
        default=None,
        description="Secrets that tokens for clients are sealed with, the same in every process of the app, separated by commas: the first "
        "seals, all are known. A token that none of them sealed is refused, in a cookie passed over. None = unsealed. "
        "Env REFOLD_WEB_TOKEN_KEYS.",
    )


class SinkSettings(BaseSettings):
    """Where sinks keep their copies."""

    model_config = configure("REFOLD_SINKS_")

    valkey_url: SecretStr | None = Field(
        default=None,
        description="valkey:// or valkeys:// URL of Valkey or Redis, with its password. Env REFOLD_SINKS_VALKEY_URL.",
    )
    valkey_prefix: str = Field(
        default="refold",
        pattern=r"^[A-Za-z0-9_.-]{1,60}$",
        description="What every key in Valkey begins with; apps that share a server need different ones. Env REFOLD_SINKS_VALKEY_PREFIX.",
    )
    search_dir: Path = Field(
        default=Path(".refold/search"),
        description="Directory of the search indexes, the same for workers and web processes: one machine, or a volume whose file locks "
        "work for all of them. Env REFOLD_SINKS_SEARCH_DIR.",
    )
    postgres_dsn: SecretStr | None = Field(
        default=None, description="libpq URI of the other database that holds copies for reports. Env REFOLD_SINKS_POSTGRES_DSN."
    )
    timeout_s: float = Field(
        default=10.0,
        gt=0,
        description="Seconds that a sink may take to answer before it counts as unreachable. Env REFOLD_SINKS_TIMEOUT_S.",
    )
    away: Literal["lag", "wait"] = Field(
        default="lag",
        description="What a projection does while one of its sinks is unreachable: lag = it goes on, the sink's copy falls behind and "
        "catches up by itself; wait = it stops, so that no copy is ever behind its table. Env REFOLD_SINKS_AWAY.",
    )
    behind_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds that a copy may be behind its table before /readyz of its workers says 503. Env REFOLD_SINKS_BEHIND_S.",
    )
