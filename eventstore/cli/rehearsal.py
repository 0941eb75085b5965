"""What `eventstore schemas rehearse` does and prints."""

from __future__ import annotations

import argparse
import time
from typing import Any

from eventstore.cli.program import open_store
from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.event import registry
from eventstore.schema.rehearsal import Rehearsal
from eventstore.stream import Position

REPORT_S = 1.0


async def rehearse_store(arguments: argparse.Namespace, output: Output) -> int:
    """Decode the store's events, say how it goes, and give the exit code."""
    from eventstore.forgotten import SubjectForgotten
    from eventstore.postgres.schemas import rehearse

    registry.of(SubjectForgotten)  # the framework's own type, which a store may hold, is declared by that import
    progress = _Progress(output)
    async with open_store("eventstore schemas rehearse") as store:
        done = await rehearse(store.engine, registry, types=arguments.types, share=arguments.sample / 100, tell=progress.tell)
    failures = [each for each in done.failures if not (each.unknown and arguments.partial)]
    output.result(_facts(done, progress.seconds, failed=bool(failures)), _text(done, progress.seconds))
    return PreconditionFailed.exit_code if failures else 0


class _Progress:
    """Says now and then how far a rehearsal is."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = self._told = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def tell(self, events: int, position: Position) -> None:
        """Hear how many events are done, and print it once a second."""
        now = time.monotonic()
        if now - self._told >= REPORT_S:
            self._told = now
            rate = round(events / (now - self._started))
            self._output.progress(f"{events} events, {rate}/s, at {position}", events=events, rate=rate, position=str(position))


def _facts(done: Rehearsal, seconds: float, *, failed: bool) -> dict[str, Any]:
    read = [{"type": name, "version": version, "events": count} for (name, version), count in sorted(done.read.items())]
    return {
        "readable": not failed,
        "events": done.total,
        "seconds": round(seconds, 3),
        "read": read,
        "failures": [each.facts() for each in done.failures],
    }


def _text(done: Rehearsal, seconds: float) -> str:
    lines = [f"{name} v{version}: {count} events" for (name, version), count in sorted(done.read.items())]
    for each in done.failures:
        first = each.first
        where = f"; the first is {first['stream']}@{first['version']}, position {first['position']}" if first else ""
        lines.append(f"  {each.count} of {each.type} v{each.version} FAILED: {each.reason}{where}")
    failed = sum(each.count for each in done.failures)
    lines.append(f"{done.total} events in {seconds:.1f} s, {failed} failed")
    return "\n".join(lines)
