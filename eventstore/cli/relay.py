"""`eventstore relay`: publish events to Kafka until stopped or drained."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "relay", "Publish events to Kafka in order until stopped (SIGTERM, SIGINT).", relay)
    parser.add_argument("--drain", action="store_true", help="publish what is there now, then end")


async def relay(arguments: argparse.Namespace, output: Output) -> int:
    """Relay until a signal comes, or until nothing is left with `--drain`."""
    from eventstore.relay import Relay

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    async with open_store(application="eventstore relay") as store:
        worker = Relay(store.engine)
        output.progress("relaying", drain=arguments.drain)
        done = await (worker.drain() if arguments.drain else worker.run(stop))
    facts = {"published": done.published, "position": str(done.position), "restarts": done.restarts}
    output.result(facts, f"published {done.published} events, up to position {done.position}")
    return 0
