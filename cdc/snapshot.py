"""`cdc snapshot`: read tables again while the connector streams, and follow that to its end.

Debezium says COMPLETED and goes on RUNNING when a table could not be read at all, so success is one thing only: a
TABLE_SCAN_COMPLETED with status SUCCEEDED for every table. What would fail is looked for before the signal is sent. The rows come
as `r` changes beside those of the stream. They add and change rows of read models and take none away: what was deleted goes by the stream,
and after an interruption by a whole snapshot, see docs/explanation/cdc.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from cdc.check import Facts
from cdc.connect.client import ConnectClient
from cdc.connect.config import KICK, Names
from cdc.connect.scope import list_captured
from cdc.connect.trace import classify
from cdc.database import SourceDatabase
from cdc.proof import ConnectorFailed, Report
from cdc.signal import Sent, find_channel, send_signal, write_snapshot
from eventstore.codec import decode
from eventstore.errors import PreconditionFailed, RefoldError, TimedOut, UndecodableRecord
from eventstore.log.assigned import AssignedReader
from eventstore.log.bounds import find_bounds
from eventstore.settings import KafkaSettings

_POLL_S, _LOOK_S = 0.5, 2.0


class SnapshotFailed(RefoldError):
    """The connector ended the snapshot without having read every table."""


@dataclass(slots=True)
class Snapshot:
    """A snapshot that was ordered: the state of each table (`waiting`, `reading`, `SUCCEEDED`, …), the rows it told of so far."""

    id: str
    channel: str
    tables: dict[str, str]
    rows: dict[str, int] = field(default_factory=dict[str, int])
    state: str = "sent"
    seconds: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether every table was read to its end."""
        return all(state == "SUCCEEDED" for state in self.tables.values())

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ("COMPLETED", "ABORTED", "SKIPPED")

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {**asdict(self), "succeeded": self.succeeded}

    def note(self, told: Mapping[str, Any]) -> str:
        """Take in one notification; give the line that says it, empty when there is nothing to say."""
        more: Mapping[str, str] = told.get("additional_data") or {}
        kind, table = str(told["type"]), more.get("scanned_collection") or more.get("current_collection_in_progress")
        if kind == "TABLE_SCAN_COMPLETED" and table in self.tables:
            self.tables[table] = more.get("status", "without a status")
            self.rows[table] = int(more.get("total_rows_scanned", 0))
            return f"{table}: {self.tables[table]}, {self.rows[table]:,} rows"
        if kind == "IN_PROGRESS" and table in self.tables:
            self.tables[table] = "reading"
            chunk = f"chunk {more.get('chunk_index', '?')} of {more.get('total_chunks', '?')}"
            return (
                f"{table}: {chunk}, up to key {more['last_processed_key']}"
                if "last_processed_key" in more
                else f"{table}: reading"
            )
        self.state = kind
        return f"snapshot {kind.lower().replace('_', ' ')}"


def check_snapshot(wanted: Sequence[str], captured: Sequence[str], tables: Sequence[Facts], columns: Sequence[Facts]) -> None:
    """Refuse what Debezium would fail at in silence. Raises PreconditionFailed with every reason."""
    reasons = [f"{table} is not captured by this connector" for table in wanted if table not in captured]
    reasons += [f"{table['name']} does not exist" for table in tables if not table["exists"]]
    reasons += [
        f"{table['name']} has no primary key, by which it would be read in pieces: use --blocking"
        for table in tables
        if table["exists"] and not table["has_key"]
    ]
    reasons += [
        f"{column['table_name']}.{column['column_name']} is a stored generated column, at which the snapshot would fail while it says "
        "COMPLETED: use --blocking"
        for column in columns
        if column["reason"] == "generated"
    ]
    if reasons:
        raise PreconditionFailed("no snapshot was asked for: " + "; ".join(reasons), reasons=reasons)


@dataclass(frozen=True, slots=True)
class Runner:
    """Orders snapshots of one running connector."""

    connect: ConnectClient
    database: SourceDatabase
    kafka: KafkaSettings
    names: Names
    report: Report

    async def run(self, tables: Sequence[str], deadline: float, *, where: str | None = None, blocking: bool = False) -> Snapshot:
        """Order a snapshot of *tables* and return when all were read.

        Raises PreconditionFailed before anything was sent, SnapshotFailed when a table was not read to its end, ConnectorFailed when
        the connector did meanwhile, TimedOut (whether it goes on is in the message, and its id).
        """
        config = await self._check(tables, blocking=blocking)
        topic = config.get("notification.sink.topic.name", "")
        if "sink" not in config.get("notification.enabled.channels", "") or not topic:
            raise PreconditionFailed(
                f"the connector {self.names.connector} sends no notifications, so nobody would know how a snapshot ends: set "
                "notification.enabled.channels = sink with notification.sink.topic.name, or declare signals, and `cdc apply`"
            )
        started = time.monotonic()
        _, end = await find_bounds(self.kafka, [(topic, 0)])
        channel = find_channel(config, self.names)
        data = write_snapshot(tables, where=where, blocking=blocking)
        sent = await send_signal(self.database, self.kafka, self.names, channel, "execute-snapshot", data)
        self.report(f"asked for by {channel.kind} {channel.name}: {channel.reason}")
        snapshot = Snapshot(sent.id, channel.kind, dict.fromkeys(tables, "waiting"))
        await self._follow(snapshot, sent, (topic, end[topic, 0]), deadline, blocking=blocking)
        snapshot.seconds = round(time.monotonic() - started, 2)
        if not snapshot.succeeded:
            raise SnapshotFailed(
                f"the snapshot {sent.id} ended as {snapshot.state} with {snapshot.tables}: see the Connect worker's log",
                **snapshot.facts(),
            )
        return snapshot

    async def _check(self, tables: Sequence[str], *, blocking: bool) -> dict[str, str]:
        config = await self.connect.read_config(self.names.connector)
        state = await self.connect.read_state(self.names.connector)
        if config is None or state is None or not state.is_running:
            raise PreconditionFailed(
                f"connector {self.names.connector} does not run ({state or 'it does not exist'}): `cdc status`"
            )
        if blocking and config.get("read.only") == "true":
            raise PreconditionFailed(
                "no snapshot was asked for: a blocking one ends a connector with read.only=true (Debezium 3.7 fails at the next "
                'heartbeat); declare signals = "table", or leave --blocking out'
            )
        captured = list_captured(config, await self.database.list_tables())
        role = config["database.user"]
        facts = await self.database.read_tables(tables, role)
        keyed = [{**each, "has_key": True} for each in facts] if blocking else facts
        check_snapshot(tables, captured, keyed, [] if blocking else await self.database.read_columns(tables))
        return config

    async def _follow(self, snapshot: Snapshot, sent: Sent, start: tuple[str, int], deadline: float, *, blocking: bool) -> None:
        reader = AssignedReader(self.kafka, f"{self.names.prefix}.cdc-snapshot")
        await reader.open({(start[0], 0): start[1]})
        due = 0.0
        try:
            while not snapshot.ended:
                for records in (await reader.poll(_POLL_S)).values():
                    for told in map(read_notification, (record.value for record in records)):
                        if told is not None and _is_ours(told, sent, blocking=blocking) and (line := snapshot.note(told)):
                            self.report(line)
                if not snapshot.ended and (time.monotonic() > due or time.monotonic() > deadline):
                    await self._require_going(snapshot, deadline)
                    due = time.monotonic() + _LOOK_S
                await self.database.kick(KICK, self.names.connector)  # watermarks of a read-only snapshot move with the log only
        finally:
            await reader.close()

    async def _require_going(self, snapshot: Snapshot, deadline: float) -> None:
        """Raise ConnectorFailed when nothing more will come, TimedOut after *deadline*."""
        name, state = self.names.connector, await self.connect.read_state(self.names.connector)
        so_far = f"the snapshot {snapshot.id} is {snapshot.state} with {snapshot.tables}"
        if state is not None and state.failure:
            kind, cause, remedy = classify(state.failure)
            told = f"connector {name} failed ({kind}) meanwhile: {cause}. Remedy: {remedy}. Then `cdc status`: {so_far}"
            raise ConnectorFailed(told, cause=kind, trace=state.failure, **snapshot.facts())
        if time.monotonic() > deadline:
            goes_on = "and goes on; give more time with --timeout, or end it with `cdc signal`: stop-snapshot"
            stands = f"but connector {name} is {state or 'without status'}: it can go on after `cdc resume`"
            raise TimedOut(f"{so_far}, {goes_on if state is not None and state.is_running else stands}", **snapshot.facts())


def _is_ours(told: Mapping[str, Any], sent: Sent, *, blocking: bool) -> bool:
    """Tell whether a notification is about the signal: a blocking snapshot speaks of itself as an initial one, under other ids."""
    return told.get("id") == sent.id or (blocking and told.get("aggregate_type") == "Initial Snapshot")


def read_notification(value: bytes | None) -> dict[str, Any] | None:
    """Read a notification as the JSON converter writes it, with or without its schema. None for what is none."""
    if value is None:
        return None
    try:
        parsed: Any = decode(value)
    except UndecodableRecord:
        return None
    if isinstance(parsed, dict) and "payload" in parsed:
        parsed = cast("dict[str, Any]", parsed)["payload"]
    return cast("dict[str, Any]", parsed) if isinstance(parsed, dict) and "type" in parsed else None
