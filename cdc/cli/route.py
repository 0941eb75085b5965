"""`cdc route`: let Debezium carry the event store's events instead of the relay, and back."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cdc.cli.program import add_command, add_timeout, find_deadline, find_reporter
from cdc.connect.declaration import read_connector
from cdc.route import Switch, read_route, switch_off, switch_on
from eventstore.console import Output
from eventstore.settings import KafkaSettings, PostgresSettings, RelaySettings


def declare(commands: Any) -> None:
    """Add the command."""
    parser = add_command(commands, "route", "let Debezium carry the event store's events instead of the relay, and back", _route)
    parser.add_argument("what", choices=("on", "off", "status"), help="switch to Debezium, back to the relay, or look")
    parser.add_argument("file", type=Path, help='TOML file with [connector] and tables = ["eventstore.event"]')
    add_timeout(parser, 120.0)


async def _route(arguments: argparse.Namespace, output: Output) -> int:
    connector = read_connector(arguments.file)
    settings = PostgresSettings(), KafkaSettings(), RelaySettings()
    switch = Switch(connector, *settings, find_deadline(arguments), find_reporter(output))
    work = {"on": switch_on, "off": switch_off, "status": read_route}[arguments.what]
    route = await work(switch)
    carried = route is not None and not route.settled
    told = f"Debezium, from position {route.after} on" if route and carried else "the relay"
    output.result(
        {"carrier": "debezium" if carried else "relay", "route": asdict(route) if route else None}, f"carried by {told}"
    )
    return 0
