"""`eventstore doctor`: say how far ordered readers lag and what holds them back."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    add_command(commands, "doctor", "Say how far ordered readers lag and what holds them back.", doctor)


async def doctor(arguments: argparse.Namespace, output: Output) -> int:
    """Print what holds ordered readers back."""
    from eventstore.postgres.horizon import find_horizon

    del arguments
    async with open_store() as store:
        horizon = await find_horizon(store.engine)
        events = await store.count()
    output.result({"events": events, "horizon": horizon.facts()}, f"{events} events; {horizon.describe()}")
    return 0
