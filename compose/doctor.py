"""`refold doctor`: everything the stack needs of this machine, one finding per check, each with what to do about it.

Nothing is started, downloaded or changed. Servers that are down are no finding against the machine, only said.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compose import memory, ports, probe
from compose.errors import StackError
from compose.identity import choose_identity
from compose.jars import Library, read_lock
from compose.postgres import find_binaries
from compose.runtime import find_java
from compose.server import ServerStatus
from compose.settings import SERVERS, StackSettings
from compose.stack import Stack
from compose.versions import pinned

DISK_MB = 2048


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    is_good: bool
    found: str
    remedy: str = ""

    def as_facts(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        return asdict(self)


def examine(settings: StackSettings) -> tuple[Finding, ...]:
    """Make every check; none raises."""
    stack = Stack(settings)
    machine = (
        _python(),
        _attempt("java", lambda: _java(settings)),
        _attempt("postgres", lambda: _postgres(settings)),
        _attempt("jars", lambda: _jars(settings)),
    )
    try:
        rows = stack.status()
    except StackError as error:
        return (*machine, Finding("servers", False, str(error), "mend the findings above first"))
    starts = sum(row.condition == "stopped" for row in rows)
    return (*machine, _memory(settings, starts), _disk(stack.state.directory), *_ports(settings, rows), *map(_server, rows))


def _attempt(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except StackError as error:
        return Finding(check, False, str(error), "do what the sentence says, then run `refold doctor` again")


def _python() -> Finding:
    have = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), f"{have} ({sys.executable})", "use Python 3.11 or newer")


def _java(settings: StackSettings) -> Finding:
    java = find_java(settings.java_home)
    return Finding("java", True, f"{java.version} ({java.program})")


def _postgres(settings: StackSettings) -> Finding:
    identity = choose_identity(settings.postgres_user)
    way = f", run as {identity.user}" if identity.user else ", run in a user namespace" if identity.prefix else ""
    return Finding("postgres", True, f"{pinned().postgres} ({find_binaries()}{way})")


def _jars(settings: StackSettings) -> Finding:
    jars = read_lock()
    missing = Library(settings.cache, jars, settings.maven_url).missing()
    if not missing:
        return Finding("jars", True, f"{len(jars)} verified in {settings.cache}")
    megabytes = sum(jar.size for jar in missing) / 1e6
    found = f"{len(missing)} of {len(jars)} are absent or damaged in {settings.cache}"
    return Finding(
        "jars", False, found, f"`refold up` downloads them ({megabytes:.0f} MB from {settings.maven_url or 'Maven Central'})"
    )


def _memory(settings: StackSettings, starts: int) -> Finding:
    have, need = memory.available_mb(), settings.memory_needed_mb * starts // len(SERVERS)
    return Finding(
        "memory",
        have >= need,
        f"{have} MiB available, {need} needed for {starts} servers",
        "end other programs, or lower REFOLD_STACK_*_HEAP_MB",
    )


def _disk(directory: Path) -> Finding:
    place = next(one for one in (directory, *directory.parents) if one.exists())
    have = shutil.disk_usage(place).free >> 20
    return Finding(
        "disk", have >= DISK_MB, f"{have} MiB free at {place}", f"free at least {DISK_MB} MiB, or set REFOLD_STACK_DIR elsewhere"
    )


def _ports(settings: StackSettings, rows: tuple[ServerStatus, ...]) -> Iterator[Finding]:
    for row in rows:
        port = settings.port(row.server)
        if port and row.condition == "stopped":
            free = ports.is_free(port)
            yield Finding(
                "ports",
                free,
                f"{port} for {row.server} is {'free' if free else 'held by ' + ports.holder(port)}",
                f"end that program, or change REFOLD_STACK_{row.server.upper()}_PORT",
            )


def _server(row: ServerStatus) -> Finding:
    if row.condition == "stopped":
        return Finding(row.server, True, "not running (`refold up` starts it)")
    if not row.is_healthy:
        return Finding(
            row.server,
            False,
            row.detail,
            f"look into {row.log}" if row.log else "start that server, or unset its REFOLD_* address",
        )
    address = probe.masked(row.address) if row.server == "postgres" else row.address
    found = f"{row.version} at {address}, {row.detail}"
    if row.server == "postgres" and "wal_level" in row.detail and row.detail != "wal_level=logical":
        return Finding(row.server, False, found, "ALTER SYSTEM SET wal_level = 'logical', then restart that server")
    if row.server == "connect" and not row.detail.endswith(pinned().debezium):
        return Finding(
            row.server, False, found, f"install Debezium's PostgreSQL connector {pinned().debezium} on the worker's plugin.path"
        )
    return Finding(row.server, True, found)
