"""A year of flights, imported, captured, projected, replayed and swapped while it is read: `python -m examples.flights.demo`.

It starts the servers (`refold up`) unless REFOLD_POSTGRES_DSN is set, works in databases and topics of its own, and ends
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

from eventstore.errors import RefoldError
from examples.flights.children import ChildFailed, Children, end_leftovers, held, peak_memory
from examples.flights.data import FIRST_DAY, LAST_DAY
from examples.flights.operations import create, dsn_of
from examples.flights.player import StoryFailed
from examples.flights.show import Show
from examples.flights.stage import OPERATIONS, STORE, Stage, environment, sweep
from examples.flights.story import Story

FOLDER = Path(os.environ.get("REFOLD_STACK_DIR", ".refold")).absolute() / "flights-demo"
RUN = FOLDER / "run"
CONNECTOR = str(Path(__file__).parent / "operations" / "connector.toml")


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


async def prepare(show: Show, children: Children) -> None:
    """Bring the servers up and make everything that the story needs, from nothing."""
    if "REFOLD_POSTGRES_DSN" not in os.environ:
        with show.step("Start PostgreSQL, Kafka and Kafka Connect"):
            await children.run("up", "refold", "up", echo=True)
    with show.step("Make databases and topics of its own") as step:
        left = end_leftovers(FOLDER)
        if left:
            show.say(f"{left} programs of an earlier run were still there and have been ended")
        step.note(f"{await clean_up(children)} topics of earlier runs removed")
        name = f"{time.time_ns() // 1_000_000:x}"
        RUN.write_text(name, encoding="utf-8")
        os.environ.update(environment(name))
        await asyncio.to_thread(create, dsn_of(STORE), ())
        await asyncio.to_thread(create, dsn_of(OPERATIONS))
        await children.run("migrate", "eventstore", "migrate")
    with show.step("Capture the operations tables with Debezium"):
        await children.run("capture", "cdc", "apply", CONNECTOR)


async def clean_up(children: Children) -> int:
    """Remove the connector of the run that was last here, then the databases and topics of all; give the number of topics."""
    if RUN.exists():
        children.set_environment(environment(RUN.read_text(encoding="utf-8")))
        await children.run("teardown", "cdc", "teardown", "--file", CONNECTOR)
        children.set_environment({})
    topics = await sweep()
    RUN.unlink(missing_ok=True)
    return topics


async def run(options: argparse.Namespace) -> int:
    """Run the demo and clean up; give the exit code."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    show, children = Show(), Children(FOLDER)
    with held(FOLDER):
        try:
            await prepare(show, children)
            await play_all(window_of(options), options.speed, show, children)
        except (ChildFailed, StoryFailed, RefoldError, TimeoutError) as error:
            print(f"\nThe demo failed: {type(error).__name__}: {error}\nLogs: {FOLDER}", file=sys.stderr)
            return 1
        finally:
            children.stop_all()
        if not options.keep:
            await clean_up(children)
        memory = {**children.memory, "demo": peak_memory()}
        print(f"\n{show.table()}\n\nlargest memory: {', '.join(f'{name} {size} MB' for name, size in memory.items())}")
    return 0


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
    parser.add_argument(
        "--speed", type=float, default=1440, help="how fast the last day is played (default: 1440, a day a minute)"
    )
    parser.add_argument("--keep", action="store_true", help="keep databases and topics afterwards, to look around")
    try:
        return asyncio.run(run(parser.parse_args(argv)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130


if __name__ == "__main__":
    sys.exit(main())
