"""`eventstore export`: write events as the JSON lines that `eventstore import` reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from eventstore.cli.program import add_command, open_store, parse_position
from eventstore.console import Output
from eventstore.errors import UsageError
from eventstore.stream import START, Position

if TYPE_CHECKING:
    from eventstore.postgres.store import PostgresEventStore


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    text = "Write events in order as JSON lines, with their ids and times; import reads them back into any store."
    parser = add_command(commands, "export", text, export)
    parser.add_argument(
        "file", metavar="FILE", help="where to; - is standard output (then the closing line goes to standard error)"
    )
    parser.add_argument(
        "--after", metavar="POSITION", help="begin after this position, such as an earlier export ended with (start)"
    )
    parser.add_argument("--stream", metavar="STREAM", action="append", default=[], help="only this stream; may be repeated")
    parser.add_argument("--type", metavar="TYPE", action="append", default=[], help="only events of this type; may be repeated")


async def export(arguments: argparse.Namespace, output: Output) -> int:
    """Write what ordered readers see now; a file appears under its name when it is complete."""
    after = parse_position(arguments.after, "--after") if arguments.after else START
    count, last = 0, after
    with _writing(arguments.file) as target:
        async with open_store(application="eventstore export") as store:
            async for lines, position in _lines(store, after, arguments):
                target.write(b"".join(lines))
                count, last = count + len(lines), position
                output.progress(f"{count} events", position=str(last))
    facts, text = {"events": count, "position": str(last)}, f"{count} events, up to position {last}"
    if arguments.file == "-":
        output.progress(text, **facts)
    else:
        output.result(facts, text)
    return 0


async def _lines(
    store: PostgresEventStore, after: Position, arguments: argparse.Namespace
) -> AsyncIterator[tuple[list[bytes], Position]]:
    """Give the lines of one page and the position it ends with, up to where the store ends now."""
    from eventstore.lines import write_line
    from eventstore.postgres.pages import Wanted, read_page

    streams, types, end = set(arguments.stream), set(arguments.type), await store.head()
    while after < end:
        page = await read_page(store.engine, after, Wanted("", 10_000, 64 << 20))
        after = Position(page[-1][2], page[-1][3])
        wanted = [each for each in page if (not streams or each[0] in streams) and (not types or each[5] in types)]
        yield [write_line(each) for each in wanted], after


@contextmanager
def _writing(name: str) -> Generator[BinaryIO]:
    """Open what *name* means; a file gets its name at the end, and nothing is left of one that was not finished."""
    if name == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = Path(f"{name}.partial")
    try:
        with partial.open("wb") as target:
            yield target
        partial.replace(name)
    except OSError as error:
        raise UsageError(f"can't write {name}: {error.strerror}. Give a file in a directory that you may write to.") from error
    finally:
        partial.unlink(missing_ok=True)
