"""How much memory this process's machine, or the container around it, still has."""

from __future__ import annotations

from pathlib import Path

import psutil

from compose.errors import MemoryShort

# Limit and use of the container, in the second and the first version of control groups.
CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)


def available_mb() -> int:
    """Return the MiB that could be taken now without swapping: the machine's, or the container's if that is less."""
    free = psutil.virtual_memory().available
    for directory, limit_name, used_name in CGROUPS:
        limit = _number(Path(directory, limit_name))
        if limit:
            used = _number(Path(directory, used_name)) - _inactive(Path(directory, "memory.stat"))
            free = min(free, max(0, limit - used))
    return free >> 20


def require(needed_mb: int) -> None:
    """Raise MemoryShort unless *needed_mb* MiB are available."""
    have = available_mb()
    if have < needed_mb:
        raise MemoryShort(
            f"The servers need about {needed_mb} MiB of memory, {have} MiB are available. End other programs, or lower "
            "REFOLD_STACK_KAFKA_HEAP_MB, REFOLD_STACK_CONNECT_HEAP_MB and then REFOLD_STACK_MEMORY_NEEDED_MB.",
            needed_mb=needed_mb,
            available_mb=have,
        )


def used_mb(process: psutil.Process) -> int:
    """Return the resident MiB of *process* and all that it started; pages that they share count once where the kernel tells."""
    total = 0
    for member in family(process):
        try:
            full = member.memory_full_info()
            total += getattr(full, "pss", 0) or full.rss
        except psutil.AccessDenied:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total >> 20


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return *process* and all that it started, or nothing when it has ended."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _number(path: Path) -> int:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):
        return 0


def _inactive(path: Path) -> int:
    """Return the bytes of file cache that the kernel would give back at once; they count as used but are not."""
    try:
        rows = dict(line.split() for line in path.read_text("ascii").splitlines())
    except (OSError, ValueError):
        return 0
    return int(rows.get("total_inactive_file") or rows.get("inactive_file") or 0)
