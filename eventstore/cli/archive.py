"""`eventstore archive`: keep topics as Parquet files, say what is there, prove that it is whole."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from eventstore.cli.program import add_command
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, UsageError

if TYPE_CHECKING:
    from eventstore.archive.archiver import Archiver
    from eventstore.archive.audit import Holding
    from eventstore.archive.place import Place

_BROKEN = PreconditionFailed.exit_code


def declare(commands: Any) -> None:
    """Add the command and its own commands to *commands*."""
    text = "Archive topics as Parquet files that are named by their offsets, for rebuilds and for DuckDB or polars."
    parser: argparse.ArgumentParser = commands.add_parser("archive", help=text, description=text)
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = add_command(inner, "run", "Archive from where the files end, until stopped (SIGTERM, SIGINT).", archive)
    run.add_argument("--drain", action="store_true", help="archive what the topics hold now, then end")
    run.add_argument("--to", metavar="URL", help="directory or s3://bucket/prefix, gs://… (env: REFOLD_ARCHIVE_URL)")
    status = add_command(inner, "status", "Show what is archived of each partition, by the names and footers of the files.", show)
    verify = add_command(inner, "verify", "Read every file: offsets without gaps or overlaps; exit code 3 when not whole.", check)
    for each in (status, verify):
        each.add_argument("--from", dest="place", metavar="URL", help="where the archive lies (env: REFOLD_ARCHIVE_URL)")
    for each in (run, status, verify):
        each.add_argument("--topic", metavar="TOPIC", action="append", default=[], help="only this topic; may be repeated")


async def archive(arguments: argparse.Namespace, output: Output) -> int:
    """Archive the events topic, or those that are named, side by side."""
    from eventstore.archive.archiver import Archiver
    from eventstore.archive.settings import ArchiveSettings
    from eventstore.settings import KafkaSettings

    kafka, settings = KafkaSettings(), ArchiveSettings()
    place = _open(arguments.to)

    def tell(records: int, files: int) -> None:
        output.progress(f"{records:,} records in {files} files", records=records, files=files)

    archivers = [Archiver(each, place, kafka, settings, tell) for each in arguments.topic or [kafka.events_topic]]
    output.progress("archiving", drain=arguments.drain)
    await (_drain_all(archivers) if arguments.drain else _run_all(archivers))
    facts = {each.topic: {"records": each.records, "files": each.files} for each in archivers}
    text = "\n".join(f"{each.topic}: {each.records:,} records in {each.files} new files at {place.url}" for each in archivers)
    output.result({"archive": place.url, "topics": facts}, text)
    return 0


async def _drain_all(archivers: Sequence[Archiver]) -> None:
    for each in archivers:
        await each.drain()


async def _run_all(archivers: Sequence[Archiver]) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            for each in archivers:
                group.create_task(each.run(stop))
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def show(arguments: argparse.Namespace, output: Output) -> int:
    """Show what is archived."""
    place = _open(arguments.place)
    return _report(await asyncio.to_thread(_survey, place, arguments.topic, deep=False), output)


async def check(arguments: argparse.Namespace, output: Output) -> int:
    """Read everything and say what is wrong."""
    place = _open(arguments.place)
    return _report(await asyncio.to_thread(_survey, place, arguments.topic, deep=True), output)


def _open(url: str | None) -> Place:
    from eventstore.archive.place import Place
    from eventstore.archive.settings import ArchiveSettings

    return Place(url or ArchiveSettings().url)


def _survey(place: Place, topics: Sequence[str], *, deep: bool) -> list[Holding]:
    from eventstore.archive.audit import survey

    wanted = topics or place.find_topics()
    found = [each for topic in wanted for each in survey(place, topic, deep=deep)]
    if missing := set(topics) - {each.topic for each in found}:
        raise UsageError(f"the archive at {place.url} has no file of {', '.join(sorted(missing))}; see `eventstore archive run`")
    return found


def _report(holdings: Sequence[Holding], output: Output) -> int:
    lines = [
        f"{each.topic}[{each.partition}]  offsets {each.first:,}-{each.end - 1:,}  {each.records:,} records  {each.files} files  "
        f"{each.bytes:,} bytes" + (f"  {len(each.faults)} faults" if each.faults else "")
        for each in holdings
    ]
    faults = [fault for each in holdings for fault in each.faults]
    records = sum(each.records for each in holdings)
    lines += [f"{records:,} records" if holdings else "nothing is archived", *(f"  {each}" for each in faults)]
    output.result({"partitions": [asdict(each) for each in holdings], "records": records, "faults": faults}, "\n".join(lines))
    return _BROKEN if faults else 0
