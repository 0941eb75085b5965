"""`cdc apply`: from a declaration to a connector that is proved to capture. Running it again changes nothing.

Order: look at everything first (nothing is changed when a check fails), then the publication, then the connector, then the
proof. What is already as declared is left alone; a paused, stopped or failed connector is set going again, because a
declaration says that it runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cdc.check import check_columns, check_server, check_slots, check_tables
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config, compare_config, connector_name, server_name
from cdc.connect.declaration import Connector
from cdc.connect.settings import ConnectSettings, SourceSettings
from cdc.database import SourceDatabase, open_database
from cdc.finding import Finding
from cdc.proof import Proof, Report
from eventstore.errors import HeldElsewhere, PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings


@dataclass(slots=True)
class Applied:
    """What an apply did: *publication* and *config* are `created`, `changed` or `unchanged`."""

    connector: str
    publication: str = "unchanged"
    config: str = "unchanged"
    changes: dict[str, tuple[str | None, str | None]] = field(default_factory=dict[str, tuple[str | None, str | None]])
    topics: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether anything was created or changed."""
        return self.publication != "unchanged" or self.config != "unchanged"

    def facts(self) -> dict[str, Any]:
        """Give the outcome for `--json`."""
        return {**asdict(self), "changed": self.changed}


async def apply_connector(
    connector: Connector,
    *,
    kafka: KafkaSettings | None = None,
    settings: ConnectSettings | None = None,
    timeout_s: float = 120.0,
    report: Report = lambda _: None,
) -> Applied:
    """Make *connector* exist and capture, and return once that is proved.

    Raises PreconditionFailed when a check fails (nothing was changed), UsageError when Connect refuses an option, TimedOut when
    the proof did not come within *timeout_s*, ConnectorFailed with the classified trace, Unreachable.
    """
    started = time.monotonic()
    chosen = kafka or KafkaSettings()
    config = build_config(connector, chosen)
    applied = Applied(connector_name(connector.name, chosen))
    applied.topics = [f"{applied.connector}.{table}" for table in connector.tables]
    slot = server_name(connector.name, chosen)
    async with ConnectClient(settings) as connect, open_database(SourceSettings().find(connector.find_dsn)) as database:
        report(f"Kafka Connect {await connect.read_version()}, source database {database.address}")
        await _check(connector, slot, database, applied, report)
        await _validate(connect, config)
        running = await connect.read_config(applied.connector)
        _refuse_move(applied.connector, running, config)
        applied.publication = await database.settle_publication(slot, connector.tables)
        report(f"publication {slot} {applied.publication}")
        if applied.publication == "changed":
            applied.warnings.append("rows that an added table already holds are not captured: only what changes from now on is")
        stale = await _settle(connect, database, applied, running, config)
        report(f"connector {applied.connector} {applied.config}")
        await Proof(connect, database, applied.connector, slot, started + timeout_s, report, stale).wait()
    applied.seconds = round(time.monotonic() - started, 2)
    return applied


async def _check(connector: Connector, slot: str, database: SourceDatabase, applied: Applied, report: Report) -> None:
    server = await database.read_server(connector.user)
    found = check_server(server, connector.user)
    found += check_slots(server, await database.read_slot(slot))
    found += check_tables(await database.read_tables(connector.tables, connector.user), connector.user)
    refuse_failures(found, connector.name)
    found += check_columns(await database.read_columns(connector.tables))
    applied.warnings += [str(finding) for finding in found]
    for warning in applied.warnings:
        report(f"warning: {warning}")
    report(f"{len(connector.tables)} tables checked")


def refuse_failures(found: Sequence[Finding], name: str) -> None:
    """Raise PreconditionFailed with every failed check in *found*, if any."""
    failed = [finding for finding in found if finding.severity == "fail"]
    if failed:
        listed = "".join(f"\n  {finding}" for finding in failed)
        raise PreconditionFailed(
            f"connector {name} can't be applied, nothing was changed:{listed}", checks=[f.code for f in failed]
        )


async def _validate(connect: ConnectClient, config: dict[str, str]) -> None:
    errors = await connect.validate({"name": config["topic.prefix"], **config})
    if errors:
        listed = "; ".join(f"{option}: {' '.join(told)}" for option, told in errors.items())
        raise UsageError(f"Debezium refuses the configuration, nothing was changed: {listed}", options=errors)


def _refuse_move(name: str, running: dict[str, str] | None, config: dict[str, str]) -> None:
    there = config["database.dbname"] if running is None else running.get("database.dbname")
    if there != config["database.dbname"]:
        raise PreconditionFailed(
            f"connector {name} captures the database {there!r}, not {config['database.dbname']!r}, and its offsets mean nothing there: "
            "`cdc teardown` it first, or give the new one another name"
        )


async def _settle(
    connect: ConnectClient, database: SourceDatabase, applied: Applied, running: dict[str, str] | None, config: dict[str, str]
) -> str:
    """Create, change or revive the connector; give the trace of a failure from before, which may still show for a moment."""
    name = applied.connector
    if running is None:
        await _create(connect, database, name, config)
        applied.config = "created"
        return ""
    state = await connect.read_state(name)
    applied.changes = compare_config(running, config)
    if applied.changes:
        await connect.put_config(name, config)
        applied.config = "changed"
    if state is not None and state.state in ("PAUSED", "STOPPED"):
        await connect.resume(name)
    if state is not None and state.failure:
        await connect.restart(name, only_failed=True)
        return state.failure
    return ""


async def _create(connect: ConnectClient, database: SourceDatabase, name: str, config: dict[str, str]) -> None:
    """Create the connector stopped, clear what a deleted namesake left behind, and set it going.

    Offsets without a slot would skip the snapshot; a slot without offsets would repeat old changes after it.
    """
    slot = await database.read_slot(config["slot.name"])
    if slot is not None and slot["active"]:
        raise HeldElsewhere(
            f"the slot {config['slot.name']} is read by someone else: another connector or consumer uses our name"
        )
    await connect.create(name, config, stopped=True)
    has_offsets = bool(await connect.read_offsets(name))
    if has_offsets and slot is None:
        await connect.delete_offsets(name)
    if slot is not None and not has_offsets:
        await database.drop_slot(config["slot.name"])
    await connect.resume(name)
