"""The checks of `eventstore doctor` that the database answers: each a finding with a level, a sentence and what to do.

`wrong` loses data or stands still, `warn` will one day, `unknown` could not be looked at. Nothing is changed, and a check that
the role may not make says so instead of guessing.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psycopg
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.errors import MigrationMissing, RestoredElsewhere
from eventstore.postgres.engine import Connection, checkout
from eventstore.postgres.horizon import Horizon, find_horizon
from eventstore.postgres.migrate import head, require_current
from eventstore.postgres.statements import load
from eventstore.settings import PostgresSettings

Level = Literal["ok", "unknown", "warn", "wrong"]
_HERE = "eventstore.postgres"
_SECOND_LOOK_S = 0.5
_LEAST_FREE = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it (empty = nothing)."""

    check: str
    level: Level
    message: str
    action: str = ""

    def facts(self) -> dict[str, Any]:
        """Give the fields by name, for `--json`."""
        return asdict(self)


async def check_schema(engine: AsyncEngine) -> Finding:
    """Check the revision, and whether a restored store was settled; no other check of the store works before that."""
    async with checkout(engine) as connection:
        try:
            await require_current(connection)
        except (MigrationMissing, RestoredElsewhere) as error:
            command = "migrate" if isinstance(error, MigrationMissing) else "restored"
            return Finding("schema", "wrong", str(error), f"eventstore {command}")
    return Finding("schema", "ok", f"schema revision {head()}, settled on this server")


async def check_horizon(engine: AsyncEngine, limit_s: float) -> tuple[Finding, Horizon]:
    """Check that ordered readers are at most *limit_s* seconds behind; if not, look again whether the horizon moves at all."""
    first = await find_horizon(engine)
    if first.lag_s <= limit_s or not first.waiting:
        return Finding("horizon", "ok", first.describe()), first
    await asyncio.sleep(_SECOND_LOOK_S)
    now = await find_horizon(engine)
    frozen = now.xid == first.xid
    said = f"frozen: the horizon did not move while {now.waiting} events wait; " if frozen else "slow: "
    action = now.holders[0].remedy if now.holders else ""
    return Finding("horizon", "wrong", said + now.describe(), action), now


async def check_server(engine: AsyncEngine, settings: PostgresSettings) -> list[Finding]:
    """Check what durability, capture, idle transactions and privileges rest on."""
    async with checkout(engine) as connection:
        values = {row[0]: row[1] for row in await _fetch(connection, "durability")}
        slots = await _fetch(connection, "slots")
        rights = await _fetch(connection, "rights")
        idlers = [row[0] for row in await _fetch(connection, "idlers")]
    return [
        *judge_durability(values),
        judge_capture(values),
        *judge_slots(slots, values),
        judge_disk(values.get("data_directory")),
        await _judge_idlers(idlers, settings),
        judge_rights(*rights[0]),
    ]


def judge_durability(values: dict[str, str]) -> list[Finding]:
    """Check that what was acknowledged survives a crash."""
    fatal = ("fsync", "full_page_writes", "synchronous_commit")
    off = [each for each in fatal if values.get(each) == "off"]
    if off:
        action = "; ".join(f"ALTER SYSTEM SET {each} = on" for each in off) + "; SELECT pg_reload_conf()"
        return [Finding("durability", "wrong", f"{', '.join(off)} off: a crash can lose recorded events", action)]
    return [Finding("durability", "ok", "fsync, full_page_writes and synchronous_commit are on")]


def judge_capture(values: dict[str, str]) -> Finding:
    """Check that Debezium could read the write-ahead log; the relay does not need it."""
    if values.get("wal_level") == "logical":
        return Finding("capture", "ok", "wal_level is logical")
    action = "ALTER SYSTEM SET wal_level = logical; then restart the server"
    return Finding("capture", "warn", f"wal_level is {values.get('wal_level')}: change capture is impossible", action)


def judge_slots(slots: list[Any], values: dict[str, str]) -> list[Finding]:
    """Check each slot: a lost one lost its place, one that nobody reads fills the disk."""
    findings: list[Finding] = []
    for name, active, status, age, kept in slots:
        drop = f"SELECT pg_drop_replication_slot('{name}')"
        facts = f"slot {name} keeps {kept / 2**20:.0f} MiB of write-ahead log and rows of the last {age or 0} transactions"
        if status == "lost":
            findings.append(Finding("slot", "wrong", f"slot {name} lost its place in the log: its connector can't go on", drop))
        elif not active:
            findings.append(Finding("slot", "warn", f"{facts}, and nobody reads it", f"start its connector, or {drop}"))
        else:
            findings.append(Finding("slot", "ok", facts))
    if slots and values.get("max_slot_wal_keep_size") == "-1":
        action = "ALTER SYSTEM SET max_slot_wal_keep_size = '16GB'; SELECT pg_reload_conf()"
        findings.append(
            Finding("slot", "warn", "max_slot_wal_keep_size is unlimited: a stopped connector fills the disk", action)
        )
    return findings


def judge_disk(directory: str | None) -> Finding:
    """Check the free space where the data lies, if that is this machine."""
    if not directory or not Path(directory).is_dir():
        return Finding("disk", "unknown", "the data directory is on another machine, or hidden from this role")
    total, _, free = shutil.disk_usage(directory)
    level: Level = "wrong" if free < _LEAST_FREE else "warn" if free < total / 10 else "ok"
    said = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free"
    return Finding("disk", level, said, "" if level == "ok" else "make room: a full disk stops the server")


def judge_rights(role: str, reads: bool, records: bool, monitors: bool) -> Finding:
    """Check what our role may do."""
    if not reads:
        return Finding("privileges", "wrong", f"role {role} may not read eventstore.event", f"grant {role} the reader's role")
    said = f"role {role} may read events" + (" and record them" if records else ", not record them")
    if monitors:
        return Finding("privileges", "ok", said)
    return Finding("privileges", "warn", f"{said}; it can't see what others run", f"GRANT pg_monitor TO {role}")


async def _judge_idlers(idlers: list[str], settings: PostgresSettings) -> Finding:
    """Check that writers that don't connect as we do are ended too when they idle inside a transaction."""
    async with _plain(settings) as connection:
        found = await (await connection.execute("SHOW idle_in_transaction_session_timeout")).fetchone()
    default = found[0] if found else "0"
    if not idlers or default != "0":
        return Finding("idle transactions", "ok", f"idle transactions are ended (server's default: {default})")
    named = ", ".join(idlers[:5])
    action = f"ALTER ROLE {idlers[0]} SET idle_in_transaction_session_timeout = '60s'"
    said = f"sessions of {named} that don't connect through refold are never ended when they idle inside a transaction"
    return Finding("idle transactions", "warn", said, action)


@asynccontextmanager
async def _plain(settings: PostgresSettings) -> AsyncGenerator[Connection]:
    """Connect as any other program would, without the options that our engine gives."""
    wait = max(2, round(settings.connect_timeout_s))
    connection = await psycopg.AsyncConnection.connect(settings.dsn.get_secret_value(), connect_timeout=wait)
    async with connection:
        yield connection


async def _fetch(connection: Connection, name: str) -> list[Any]:
    return await (await connection.execute(load(_HERE, name))).fetchall()
