"""All three servers together, through the command line."""

import re

import pytest

from compose.settings import SERVERS
from compose.versions import pinned
from tests.integration.compose.conftest import Refold, kill


@pytest.fixture
def addresses(refold: Refold) -> dict[str, str]:
    return refold.run("up")


def test_truth_is_told(refold: Refold, addresses: dict[str, str]) -> None:
    """`status` tells version, pid, memory and log of each server, and `doctor` finds nothing to mend."""
    told = refold.run("status")
    assert told["healthy"]
    versions = pinned()
    assert [row["version"] for row in told["servers"]] == [versions.postgres, versions.kafka, versions.connect]
    assert all(row["pid"] and row["memory_mb"] and row["log"] for row in told["servers"])
    assert told["servers"][2]["detail"] == f"Debezium {versions.debezium}"
    checks = refold.run("doctor")
    assert checks["good"], checks
    assert {"python", "java", "postgres", "jars", "memory", "disk", "kafka", "connect"} <= {
        one["check"] for one in checks["checks"]
    }
    assert re.fullmatch(r"127\.0\.0\.1:\d+", addresses["kafka"])


def test_crash_of_everything(refold: Refold, addresses: dict[str, str]) -> None:
    """After `kill -9` of all three servers one `up` brings all back at the same addresses, and `down` leaves nothing."""
    for pid in refold.pids().values():
        kill(pid)
    assert not refold.run("status", code=3)["healthy"]
    assert refold.run("up") == addresses
    assert set(refold.run("down")["ended"]) == set(SERVERS)
    assert refold.left() == []
