"""The versions of every server, read from `versions.toml`: the single list that processes, containers and tests share."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("versions.toml")


@dataclass(frozen=True)
class Versions:
    """One pinned version per program, as its maker writes it."""

    postgres: str
    kafka: str
    scala: str
    connect: str
    debezium: str
    log4j: str
    oldest_java: int
    images: tuple[str, ...]


@cache
def pinned() -> Versions:
    """Read the pinned list."""
    table = tomllib.loads(LIST.read_text("utf-8"))
    return Versions(
        postgres=table["postgres"]["version"],
        kafka=table["kafka"]["version"],
        scala=table["kafka"]["scala"],
        connect=table["connect"]["version"],
        debezium=table["debezium"]["version"],
        log4j=table["log4j"]["version"],
        oldest_java=table["java"]["oldest"],
        images=tuple(room["image"] for room in table.values() if "image" in room),
    )
