"""`cdc doctor --fix`: doing what is safe, which is what can only add. Everything else is left to a person, with the command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from cdc.connect.client import ConnectClient
from cdc.database import SourceDatabase
from cdc.doctor.check import Diagnosis, Fix
from cdc.doctor.facts import Facts
from cdc.proof import Proof
from eventstore.errors import PreconditionFailed, RefoldError
from eventstore.log.admin import Admin
from eventstore.settings import KafkaSettings


def list_fixes(found: Sequence[Diagnosis]) -> list[tuple[str, Fix]]:
    """Give each fix once, with the code of the check that asked for it first; a restart comes last."""
    fixes = {each.trouble.fix: each.check.code for each in reversed(found) if each.trouble.fix is not None}
    return sorted(((code, fix) for fix, code in fixes.items()), key=lambda each: (each[1].kind == "restart", each[0]))


def describe_fix(fix: Fix) -> str:
    """Say what a fix does."""
    if fix.kind == "sql":
        return fix.statement
    if fix.kind == "restart":
        return "restart the connector and its tasks"
    values = ", ".join(f"{name} = {value}" for name, value in fix.values.items())
    return f"topic {fix.name}: {values}" if fix.kind == "topic" else f"the connector's configuration: {values}"


async def mend_trouble(fix: Fix, facts: Facts, connect: ConnectClient, database: SourceDatabase, kafka: KafkaSettings) -> None:
    """Carry one fix out. Raises PreconditionFailed when the server refuses it; nothing was changed then."""
    name = facts.names.connector
    if fix.kind == "sql":
        await database.execute(fix.statement)
    elif fix.kind == "topic":
        async with Admin.open(kafka) as admin:
            await admin.alter_topic(fix.name, fix.values)
    elif fix.kind == "restart":
        await connect.restart(name)
    else:
        running = await connect.read_config(name)
        config = {**(running or {}), **fix.values}
        refused = await connect.validate({**config, "name": name})
        if refused:
            listed = "; ".join(f"{option}: {' '.join(told)}" for option, told in refused.items())
            raise PreconditionFailed(f"Connect refuses {describe_fix(fix)}: {listed}; nothing was changed", options=list(refused))
        await connect.put_config(name, config)


async def settle_connector(facts: Facts, connect: ConnectClient, database: SourceDatabase, timeout_s: float) -> None:
    """Wait until the connector captures again after what was done to it; when it does not, the checks say so."""
    stale = facts.worker.state.failure if facts.worker.state else ""
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(RefoldError):
        await Proof(connect, database, facts.names.connector, facts.names.slot, deadline, lambda _: None, stale).wait()
