"""`projections run`: feed the live generations of a release until stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal
from contextlib import AsyncExitStack
from typing import Any

from eventstore.console import Output, tune_collector
from eventstore.settings import KafkaSettings
from projections.cli.program import IDLE_S, add_app, add_command, opened_engine, require_app
from projections.feeding.health import served
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "run", "feed the live generations of --app until stopped", _run)
    add_app(parser)
    parser.add_argument(
        "--health-port", metavar="PORT", type=int, help="serve /livez and /readyz there; 0 = a free port, which is printed"
    )


async def _run(arguments: argparse.Namespace, output: Output) -> int:
    settings, kafka = ProjectionSettings(), KafkaSettings()
    if arguments.health_port is not None:
        settings = settings.model_copy(update={"health_port": arguments.health_port})
    app = require_app(arguments.app, settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    tune_collector()
    async with opened_engine("refold projections", 4 * len(app) + 4, idle_s=IDLE_S) as engine, AsyncExitStack() as stack:
        supervisor = Supervisor(app, engine, kafka=kafka, settings=settings, say=output.progress)
        if settings.health_port is not None:
            port = await stack.enter_async_context(served(supervisor, settings))
            output.progress(f"/livez and /readyz on {settings.health_host}:{port}", health_port=port)
        output.progress(
            f"feeding {', '.join(each.name for each in app)}; stop with Ctrl-C", projections=list(supervisor.fingerprints)
        )
        await supervisor.run(stopping)
    return 0
