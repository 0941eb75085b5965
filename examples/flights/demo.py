"""A year of flights, imported, captured, projected, replayed and swapped while it is read: `python -m examples.flights.demo`.

It starts the servers (`refold up`) unless they run or the environment names them, works in databases and topics of its own, and ends
everything it started, also after Ctrl-C; what a killed run left behind is ended and removed by the next one.
"""

from __future__ import annotations

import argparse
import asyncio
import calendar
import os
import signal
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import httpx
import psycopg

from eventstore.errors import RefoldError
from examples.flights.children import ChildFailed, Children, end_leftovers, held, peak_memory
from examples.flights.data import FIRST_DAY, LAST_DAY
from examples.flights.operations import create, dsn_of
from examples.flights.player import StoryFailed
from examples.flights.show import Show
from examples.flights.stage import NAME, OPERATIONS, STORE, Stage, environment, sweep
from examples.flights.story import CONNECTOR, Story

FOLDER = Path(os.environ.get("REFOLD_STACK_DIR", ".refold")).absolute() / NAME
RUN = FOLDER / "run"
SERVERS = ("REFOLD_POSTGRES_DSN", "REFOLD_KAFKA_BOOTSTRAP", "REFOLD_CONNECT_URL")
FAILURES = (ChildFailed, StoryFailed, RefoldError, TimeoutError, OSError, psycopg.Error, httpx.HTTPError)


async def play_all(window: tuple[date, date], speed: float, show: Show, children: Children) -> None:
    """Tell the whole story for the days of *window*; the last of them is played, the others are imported."""
    first, last = window
    async with Stage.open(first, last) as stage:
        story = Story(stage, show, children, speed)
        try:
            await story.import_archive(first)
            await story.build_first()
            await story.audit("after the import", release=1)
            await story.open_web()
            story.go_live()
            await story.change_operations()
            await story.audit("after the captured changes", release=1)
            await story.replay()
            await story.audit("after the replay", release=2)
            await story.roll_back()
            await story.audit("after the rollback", release=1)
            await story.swap_again()
            await story.finish_day()
            await story.audit("at the end", release=2)
            story.close_web()
        finally:
            await story.close()


async def start_servers(show: Show, children: Children) -> bool:
    """Start the servers unless the environment names them all; True = this run started them, so it ends them too."""
    if all(os.environ.get(name) for name in SERVERS):
        return False
    try:
        await children.run("status", "refold", "status")
    except ChildFailed:
        with show.step("Start PostgreSQL, Kafka and Kafka Connect"):
            await children.run("up", "refold", "up", echo=True)
        return True
    return False


async def prepare(show: Show, children: Children) -> None:
    """Make everything that the story needs, from nothing."""
    with show.step("Make databases and topics of its own") as step:
        left = end_leftovers(FOLDER)
        if left:
            show.say(f"{left} programs of an earlier run were still there and have been ended")
        step.note(f"{await clean_up(children)} topics of earlier runs removed")
        name = f"{time.time_ns() // 1_000_000:x}"
        RUN.write_text(name, encoding="utf-8")
        os.environ.update(environment(name, FOLDER))
        await asyncio.to_thread(create, dsn_of(STORE), ())
        await asyncio.to_thread(create, dsn_of(OPERATIONS))
        await children.run("migrate", "eventstore", "migrate")
    with show.step("Capture the operations tables with Debezium"):
        await children.run("capture", "cdc", "apply", CONNECTOR)


async def clean_up(children: Children) -> int:
    """Remove the connector of the run that was last here, then the databases and topics of all; give the number of topics."""
    if RUN.exists():
        children.set_environment(environment(RUN.read_text(encoding="utf-8"), FOLDER))
        await children.run("teardown", "cdc", "teardown", "--file", CONNECTOR)
        children.set_environment({})
    topics = await sweep()
    RUN.unlink(missing_ok=True)
    return topics


async def run(options: argparse.Namespace) -> int:
    """Run the demo, clean up whatever happened, and give the exit code."""
    task = asyncio.current_task()
    assert task is not None
    interrupted = asyncio.Event()

    def interrupt() -> None:
        interrupted.set()
        task.cancel()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, interrupt)
    show, children = Show(), Children(FOLDER)
    started, code = False, 0
    with held(FOLDER):
        try:
            started = await start_servers(show, children)
            await prepare(show, children)
            await play_all(window_of(options), options.speed, show, children)
        except FAILURES as error:
            print(f"\nThe demo failed: {type(error).__name__}: {error}\nLogs: {FOLDER}", file=sys.stderr)
            code = 1
        except asyncio.CancelledError:
            print("\ninterrupted; cleaning up", file=sys.stderr)
            code = 130
        finally:
            children.stop_all()
            if not options.keep:
                await leave(children, servers_too=started)
        if code == 0:
            show.conclude({**children.memory, "demo": peak_memory()})
    return 130 if interrupted.is_set() else code


async def leave(children: Children, *, servers_too: bool) -> None:
    """Remove what the run made. A failure here is told, not raised: the next run removes the rest."""
    try:
        await clean_up(children)
        if servers_too:
            await children.run("down", "refold", "down")
    except FAILURES as error:
        print(f"could not remove everything: {error}; the next run will", file=sys.stderr)


def window_of(options: argparse.Namespace) -> tuple[date, date]:
    """Give the first and the last day that the options ask for; at least two, since one is imported and one is played."""
    if options.month:
        return date(2013, options.month, 1), date(2013, options.month, calendar.monthrange(2013, options.month)[1])
    if options.days:
        return LAST_DAY - timedelta(days=max(2, options.days) - 1), LAST_DAY
    return FIRST_DAY, LAST_DAY


def main(argv: Sequence[str] | None = None) -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, metavar="N", help="only the last N days of the year (default: all)")
    parser.add_argument("--month", type=int, choices=range(1, 13), metavar="M", help="only this month")
    parser.add_argument("--speed", type=float, default=2000, help="how fast the last day is played (default: 2000, 40 s)")
    parser.add_argument("--keep", action="store_true", help="keep databases and topics afterwards, to look around")
    try:
        return asyncio.run(run(parser.parse_args(argv)))
    except ChildFailed as error:
        print(error, file=sys.stderr)
        return 5
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
