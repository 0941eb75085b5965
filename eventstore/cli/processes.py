"""`eventstore processes`: run process managers and scheduled tasks, see where they are, mend what failed."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventstore.cli.program import add_command, import_apps, open_store
from eventstore.console import Output
from eventstore.errors import UsageError

if TYPE_CHECKING:
    from eventstore.postgres.store import PostgresEventStore
    from eventstore.process.program import Processes


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    text = "Run process managers and scheduled tasks until stopped (run --app), or show and mend them (list, the default)."
    parser = add_command(commands, "processes", text, processes)
    parser.add_argument("action", metavar="ACTION", nargs="?", choices=("run", "list"), default="list", help="run, or list")
    parser.add_argument("--app", metavar="MODULE:NAME", help="run: where the Processes are, such as shop.app:processes")
    parser.add_argument("--drain", action="store_true", help="run: do what is due now, and what follows from it, then end")
    parser.add_argument("--failed", action="store_true", help="list: the tasks that were set aside")
    parser.add_argument("--retry", metavar="UUID", help="let a failed task be tried again")
    parser.add_argument("--give-up", metavar="UUID", help="give a failed task up")
    parser.add_argument("--skip", metavar="PROCESS", help="let a process pass over the event that it stands still before")


async def processes(arguments: argparse.Namespace, output: Output) -> int:
    """Run, list or mend."""
    async with open_store(application="eventstore processes") as store:
        if arguments.action == "run":
            return await _run(store, arguments, output)
        if arguments.retry or arguments.give_up or arguments.skip:
            return await _mend(store, arguments, output)
        return await _list(store, output, failed=arguments.failed)


async def _run(store: PostgresEventStore, arguments: argparse.Namespace, output: Output) -> int:
    from eventstore.process.runner import Runner

    runner = Runner(store, _find(arguments.app))
    if arguments.drain:
        done = await runner.drain()
        output.result({"done": done}, f"did what was due: {done} events, timeouts and tasks")
        return 0
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    output.progress("running processes", app=arguments.app)
    await runner.run(stop)
    return 0


async def _mend(store: PostgresEventStore, arguments: argparse.Namespace, output: Output) -> int:
    from eventstore.postgres.processes import skip_event
    from eventstore.postgres.tasks import Agenda

    agenda = Agenda(store.engine)
    if arguments.retry:
        await agenda.retry(_uuid(arguments.retry))
        output.result({"retried": arguments.retry}, f"task {arguments.retry} will be tried again")
    if arguments.give_up:
        await agenda.skip(_uuid(arguments.give_up))
        output.result({"given_up": arguments.give_up}, f"task {arguments.give_up} is given up")
    if arguments.skip:
        position = await skip_event(store.engine, arguments.skip)
        output.result({"skipped": str(position)}, f"process {arguments.skip} passes over the event at {position}")
    return 0


async def _list(store: PostgresEventStore, output: Output, *, failed: bool) -> int:
    from eventstore.postgres.processes import list_processes
    from eventstore.postgres.tasks import Agenda

    found = await Agenda(store.engine).list("failed") if failed else await list_processes(store.engine)
    if output.json:
        output.result(found)
    for each in () if output.json else found:
        print(_task(each) if failed else _process(each))
    if not found:
        output.progress("no task failed" if failed else "no process ever ran here")
    return 0


def _process(facts: dict[str, Any]) -> str:
    state = f"stands still: {facts['reason']}" if facts["reason"] else "runs" if facts["held"] else "rests"
    counts = f"{facts['instances']} open, {facts['waiting']} waiting, {facts['failed']} failed"
    return f"{facts['name']}  {counts}  at {facts['position']}  {state}"


def _task(facts: dict[str, Any]) -> str:
    whence = f"of {facts['process']}/{facts['instance']}" if facts["process"] else f"to {facts['lane']}"
    return f"{facts['id']}  {facts['kind']} {facts['name']} {whence}  {facts['attempts']} attempts: {facts['reason']}"


def _find(place: str | None) -> Processes:
    """Find the program at MODULE:NAME. Raises UsageError."""
    from eventstore.process.program import Processes

    module, _, name = (place or "").partition(":")
    if not module or not name:
        raise UsageError("--app: say where the Processes are, as MODULE:NAME, such as shop.app:processes")
    import_apps([module])
    found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, Processes):
        raise UsageError(f"--app {place}: {name} is {type(found).__name__}, not Processes")
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a UUID: see `eventstore processes --failed`") from None
