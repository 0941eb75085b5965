"""`eventstore roles`: show the roles of the five duties, settle their grants, or print what an administrator has to run."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output
from eventstore.errors import PreconditionFailed


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "roles", "Compare the roles and grants of this database with the matrix; exit code 3 when they differ.", roles
    )
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--apply", action="store_true", help="make missing roles, and the grants what the matrix says")
    way.add_argument("--sql", action="store_true", help="print what an administrator runs where this login may not create roles")


async def roles(arguments: argparse.Namespace, output: Output) -> int:
    """Show, settle or print."""
    from eventstore.postgres.roles import read_duties, script, settle_roles

    async with open_store(application="eventstore roles") as store:
        if arguments.sql:
            text = await script(store.engine)
            output.result({"sql": text}, text)
            return 0
        duties = await (settle_roles if arguments.apply else read_duties)(store.engine)
    output.result([each.facts() for each in duties], "\n".join(map(str, duties)))
    is_settled = all(each.exists and not each.missing and not each.excess for each in duties)
    return 0 if is_settled else PreconditionFailed.exit_code
