"""`cdc status`: whether a connector captures, judged in PostgreSQL and by a message sent through, not by Connect's word."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from cdc.check import Facts, check_publication, check_slot
from cdc.connect.client import ConnectClient
from cdc.connect.config import LOSSLESS, PLUGIN, find_names
from cdc.connect.declaration import Connector
from cdc.connect.scope import list_captured
from cdc.connect.state import ConnectorState
from cdc.connect.trace import classify
from cdc.database import SourceDatabase, open_database
from cdc.drift import Written, warn_drift
from cdc.finding import Finding
from cdc.plan.source import list_published
from cdc.proof import ConnectorFailed, Proof
from cdc.steer import aim, find_running
from eventstore.errors import PreconditionFailed, TimedOut
from eventstore.settings import KafkaSettings


@dataclass(slots=True)
class Health:
    """One connector's state, and everything that speaks against it; healthy only when the proof came through."""

    connector: str
    state: str
    slot: Facts | None = None
    tables: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    proved: bool = False

    @property
    def healthy(self) -> bool:
        """Whether it captures, as proved just now."""
        return self.proved and not any(finding.severity == "fail" for finding in self.findings)

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {**asdict(self), "findings": [finding._asdict() for finding in self.findings], "healthy": self.healthy}

    def __str__(self) -> str:
        lines = [f"{self.connector}: {'healthy' if self.healthy else 'NOT healthy'} ({self.state})"]
        if self.slot is not None:
            lines.append(
                f"  slot: {'active' if self.slot['active'] else 'inactive'}, {self.slot['wal_status']}, confirmed "
                f"{self.slot['confirmed']}, {self.slot['lag_bytes']:,} bytes behind, {self.slot['retained_bytes']:,} bytes of WAL kept"
            )
        return "\n".join([*lines, *(f"  {finding.severity}: {finding}" for finding in self.findings)])


async def read_health(
    connect: ConnectClient,
    name: str,
    kafka: KafkaSettings,
    *,
    declared: Connector | None = None,
    timeout_s: float = 15.0,
    written: Written | None = None,
) -> Health:
    """Judge the connector *name*; of a *declared* one also whether the *written* row classes fit its tables.

    Raises PreconditionFailed when there is none, Unreachable when a server does not answer.
    """
    if declared is None:
        full, config = await find_running(connect, name, kafka)
    else:
        full = find_names(declared, kafka).connector
        config = await connect.read_config(full)
    if config is None:
        raise PreconditionFailed(f"Kafka Connect knows no connector {full}: run `cdc apply`", connector=full)
    state = await connect.read_state(full)
    drift = check_drift(config) if declared is None or declared.adopted is None else []
    health = Health(full, str(state or "no status"), findings=check_state(state, full) + drift)
    target = aim(full, kafka, config, declared)
    async with open_database(target.dsn or "") as database:
        wanted = list_published(declared) if declared else list_captured(config, await database.list_tables())
        health.slot = await database.read_slot(target.slot)
        health.findings += check_slot(health.slot, target.slot)
        publication = await database.read_publication(target.publication)
        signals = {config.get("signal.data.collection", "")} - set(wanted) - {""}
        health.findings += check_publication(publication, target.publication, {*wanted, *signals})
        if written is not None and declared is not None:
            health.findings += warn_drift(await written.compare(database, declared))
        health.tables = publication["tables"] if publication else []
        if not any(finding.severity == "fail" for finding in health.findings):
            await _prove(connect, database, health, target.slot, timeout_s)
    return health


async def _prove(connect: ConnectClient, database: SourceDatabase, health: Health, slot: str, timeout_s: float) -> None:
    try:
        await Proof(connect, database, health.connector, slot, time.monotonic() + timeout_s, lambda _: None).wait()
    except TimedOut as error:
        health.findings.append(Finding("fail", "proof", f"no proof of life within {timeout_s:g} s", str(error)))
    except ConnectorFailed as error:
        health.findings.append(Finding("fail", "failed", f"{health.connector} failed", str(error)))
    except PreconditionFailed as error:
        health.findings.append(Finding("fail", "proof", f"{health.connector} does not capture any more", str(error)))
    else:
        health.proved = True
        health.slot = await database.read_slot(slot)


def check_state(state: ConnectorState | None, name: str) -> list[Finding]:
    """Judge what Connect itself says."""
    if state is None:
        return [Finding("fail", "state", f"{name} has no status yet", "ask again in a moment")]
    if state.failure:
        kind, cause, remedy = classify(state.failure)
        return [Finding("fail", "failed", f"{name} failed ({kind}): {cause}", remedy)]
    if state.state in ("PAUSED", "STOPPED"):
        return [Finding("fail", "state", f"{name} is {state.state}, and PostgreSQL keeps WAL for it", "`cdc resume`")]
    if not state.tasks:
        return [Finding("fail", "tasks", f"{name} is {state.state} without a task", "`cdc restart`; see the worker's log")]
    if not state.is_running:
        return [Finding("fail", "state", f"{name} is {state}", "wait for the rebalance to end, then `cdc restart`")]
    return []


def check_drift(config: dict[str, str]) -> list[Finding]:
    """Warn of options that were changed away from what loses nothing."""
    found = [
        Finding("warn", "drift", f"{option} is {config.get(option)!r} instead of {value!r}", "run `cdc apply`, or mean it")
        for option, value in LOSSLESS.items()
        if config.get(option) != value
    ]
    if config.get("value.converter.replace.null.with.default") != "false":
        remedy = "set value.converter.replace.null.with.default=false"
        found.append(Finding("fail", "drift", "NULLs arrive as column defaults", remedy))
    return found


async def list_names(connect: ConnectClient, kafka: KafkaSettings) -> list[str]:
    """Give the declared names of all PostgreSQL connectors under our topic prefix."""
    prefix = f"{kafka.topic_prefix}."
    listed = await connect.list_connectors()
    return sorted(
        name.removeprefix(prefix)
        for name, (_, config) in listed.items()
        if name.startswith(prefix) and config.get("connector.class") == PLUGIN
    )
