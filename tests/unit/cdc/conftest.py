"""Captured records as Kafka would hand them over."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "fixtures" / "debezium"


@dataclass
class Captured:
    """One captured record."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: list[tuple[str, bytes]] = field(default_factory=list)


@pytest.fixture
def captured() -> Callable[..., list[Captured]]:
    """Give the records of one fixture file, of all topics or of the one that ends in *topic*."""

    def read(name: str, topic: str = "") -> list[Captured]:
        records = [json.loads(line) for line in (_FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        return [
            Captured(record["topic"], *(record[part] and record[part].encode() for part in ("key", "value")))
            for record in records
            if record["topic"].endswith(topic)
        ]

    return read
