"""Write `jars.lock.toml` anew: `python -m compose.lock`, after a change of `versions.toml`. A task of maintainers.

jgo's resolver runs with its "managed" mode off (`!`): with it on, the dependencyManagement of log4j and Debezium overrides
Kafka's own choices (seen: kafka-clients 3.9.1 under a 4.3.1 broker, Jetty 12.1 beside 12.0). Unmanaged, the result equals
Maven's `dependency:copy-dependencies` jar for jar.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from compose.jars import LOCK
from compose.versions import Versions, pinned

# What the worker itself provides to a plugin: a second copy would be another class of the same name.
PROVIDED = ("kafka-clients", "connect-api", "slf4j-api", "zstd-jni", "lz4-java", "snappy-java", "jakarta.ws.rs-api")


def roots(versions: Versions) -> dict[str, tuple[str, ...]]:
    """Name the coordinates that each room starts from."""
    return {
        "servers": (
            f"org.apache.kafka:kafka_{versions.scala}:{versions.kafka}",
            f"org.apache.kafka:connect-runtime:{versions.connect}",
            f"org.apache.kafka:connect-json:{versions.connect}",
            f"org.apache.logging.log4j:log4j-slf4j-impl:{versions.log4j}",
        ),
        "debezium-postgres": (f"io.debezium:debezium-connector-postgres:{versions.debezium}",),
    }


def resolve(room: str, coordinates: tuple[str, ...]) -> list[str]:
    """Resolve *coordinates* with everything they need at run time and return lock entries, sorted by coordinate."""
    import jgo

    entries: list[str] = []
    for artifact in sorted(jgo.resolve("+".join(f"{one}!" for one in coordinates)), key=str):
        if room != "servers" and artifact.artifactId in PROVIDED:
            continue
        content = Path(artifact.resolve()).read_bytes()
        entries.append(
            f'[[jar]]\nroom = "{room}"\n'
            f'coordinate = "{artifact.groupId}:{artifact.artifactId}:{artifact.version}"\n'
            f'size = {len(content)}\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
        )
    return entries


def main() -> int:
    """Write the lock and say how many files it names."""
    entries = [entry for room, coordinates in roots(pinned()).items() for entry in resolve(room, coordinates)]
    LOCK.write_text("# Written by `python -m compose.lock`. Do not edit.\n\n" + "\n".join(entries), "utf-8")
    print(f"{LOCK}: {len(entries)} jars")
    return 0


if __name__ == "__main__":
    sys.exit(main())
