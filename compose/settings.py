"""Every setting of the local stack, declared once: meaning, unit, default, environment twin.

Order: keyword, then environment, then the default. `stack.env` is deliberately not read here: it is what `refold up` writes for
the *other* programs, and an address found in it must not look like one that the user gave.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ServerName = Literal["postgres", "kafka", "connect"]
SERVERS: tuple[ServerName, ...] = ("postgres", "kafka", "connect")


def cache_directory() -> Path:
    """Name the per-user directory for downloads: XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "refold"


class StackSettings(BaseSettings):
    """Where the local stack keeps its state, which ports it takes and how much memory it may use."""

    model_config = SettingsConfigDict(env_prefix="REFOLD_STACK_", extra="ignore", frozen=True, populate_by_name=True)

    dir: Path = Field(
        default=Path(".refold"),
        description="Directory of all state: data, logs, pid files, `stack.env`. Relative to the working directory. "
        "Env REFOLD_STACK_DIR.",
    )
    cache: Path = Field(
        default_factory=cache_directory,
        description="Directory of downloaded jars, shared by all stacks of a user. Default ~/.cache/refold. "
        "Env REFOLD_STACK_CACHE.",
    )
    maven_url: str = Field(
        default="",
        description="Maven repository that the jars come from, empty = Maven Central; each file is checked against the lock. "
        "Env REFOLD_STACK_MAVEN_URL.",
    )
    postgres_port: int = Field(
        default=0, ge=0, le=65535, description="TCP port of PostgreSQL; 0 = a free one. Env REFOLD_STACK_POSTGRES_PORT."
    )
    kafka_port: int = Field(
        default=0, ge=0, le=65535, description="TCP port of the Kafka broker; 0 = a free one. Env REFOLD_STACK_KAFKA_PORT."
    )
    connect_port: int = Field(
        default=0, ge=0, le=65535, description="TCP port of Connect's REST API; 0 = a free one. Env REFOLD_STACK_CONNECT_PORT."
    )
    postgres_shared_buffers_mb: int = Field(
        default=256, ge=16, description="PostgreSQL's shared_buffers in MiB. Env REFOLD_STACK_POSTGRES_SHARED_BUFFERS_MB."
    )
    kafka_heap_mb: int = Field(default=512, ge=192, description="Broker's Java heap in MiB. Env REFOLD_STACK_KAFKA_HEAP_MB.")
    connect_heap_mb: int = Field(default=512, ge=192, description="Connect's Java heap in MiB. Env REFOLD_STACK_CONNECT_HEAP_MB.")
    memory_needed_mb: int = Field(
        default=1536,
        ge=0,
        description="MiB that must be available before all three servers are started; 0 = do not ask. "
        "Env REFOLD_STACK_MEMORY_NEEDED_MB.",
    )
    postgres_options: dict[str, str] = Field(
        default_factory=dict, description="Further lines of postgresql.conf, as JSON. Env REFOLD_STACK_POSTGRES_OPTIONS."
    )
    kafka_options: dict[str, str] = Field(
        default_factory=dict, description="Further lines of server.properties, as JSON. Env REFOLD_STACK_KAFKA_OPTIONS."
    )
    connect_options: dict[str, str] = Field(
        default_factory=dict, description="Further lines of connect.properties, as JSON. Env REFOLD_STACK_CONNECT_OPTIONS."
    )
    postgres_user: str = Field(
        default="auto",
        description="How PostgreSQL is kept from running as root: auto, namespace (a user namespace), or the name of a user to "
        "drop to. Only root needs it. Env REFOLD_STACK_POSTGRES_USER.",
    )
    java_home: Path | None = Field(
        default=None,
        description="Java to use instead of the wheel's; otherwise the wheel, then JAVA_HOME, then `java` on PATH. "
        "Env REFOLD_STACK_JAVA_HOME.",
    )
    start_timeout_s: float = Field(
        default=120.0, gt=0, description="Seconds that one server may take to become ready. Env REFOLD_STACK_START_TIMEOUT_S."
    )
    stop_timeout_s: float = Field(
        default=20.0, gt=0, description="Seconds between the polite signal and SIGKILL. Env REFOLD_STACK_STOP_TIMEOUT_S."
    )
    lock_timeout_s: float = Field(
        default=300.0,
        ge=0,
        description="Seconds to wait for another `refold` command on the same directory. Env REFOLD_STACK_LOCK_TIMEOUT_S.",
    )
    postgres_dsn: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("postgres_dsn", "REFOLD_POSTGRES_DSN"),
        description="A PostgreSQL that already runs: it is checked, not started. Env REFOLD_POSTGRES_DSN.",
    )
    kafka_bootstrap: str | None = Field(
        default=None,
        validation_alias=AliasChoices("kafka_bootstrap", "REFOLD_KAFKA_BOOTSTRAP"),
        description="A Kafka that already runs, as host:port pairs. Env REFOLD_KAFKA_BOOTSTRAP.",
    )
    connect_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("connect_url", "REFOLD_CONNECT_URL"),
        description="A Kafka Connect that already runs, as a URL. Env REFOLD_CONNECT_URL.",
    )

    def port(self, server: ServerName) -> int:
        """Give the port asked for, 0 for any."""
        return {"postgres": self.postgres_port, "kafka": self.kafka_port, "connect": self.connect_port}[server]
