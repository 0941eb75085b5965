"""What must hold at the source before and while it is captured. Pure: facts in, findings out.

The facts come from `cdc.database`, one row each; the sentences say which object, which value and which statement helps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cdc.finding import Finding

Facts = dict[str, Any]

_COLUMN_RISKS = {
    "generated": (
        "generated, and not published by PostgreSQL: in snapshots, absent later",
        "compute them in the projection; never read them from the change",
    ),
    "dimensions": (
        "declared with several dimensions, and Debezium loses inner arrays",
        "store jsonb instead, or leave them out with column.exclude.list",
    ),
    "absent": ("of a type that Debezium leaves out without a word", "store text or jsonb if they are needed"),
    "unchanged": (
        "of a type that Debezium can't send while stored out of line (in rows over 2 kB) and unchanged: it stops at such an update",
        "ALTER TABLE {table} REPLICA IDENTITY FULL, unless they stay small",
    ),
    "domain": (
        "a domain over numeric, which arrives as text",
        'declare them where they are read: CapturedTable(…, columns={{"{column}": "numeric"}})',
    ),
}


def check_server(server: Facts, role: str) -> list[Finding]:
    """Judge the server and the role that Debezium connects as."""
    found: list[Finding] = []
    if server["wal_level"] != "logical":
        found.append(
            Finding(
                "fail", "wal_level", f"wal_level is {server['wal_level']}", "ALTER SYSTEM SET wal_level = logical, then restart"
            )
        )
    if server["is_standby"]:
        found.append(Finding("fail", "standby", "the server is a standby", "point the dsn to the primary"))
    if server["may_replicate"] is None:
        found.append(Finding("fail", "role", f"the role {role} does not exist", f"CREATE ROLE {role} LOGIN REPLICATION"))
    elif not server["may_replicate"]:
        found.append(Finding("fail", "role", f"the role {role} may not replicate", f"ALTER ROLE {role} REPLICATION"))
    return found


def check_slots(server: Facts, slot: Facts | None) -> list[Finding]:
    """Judge whether a slot is free, when ours does not exist yet."""
    if slot is not None or server["slots_used"] < server["slots"]:
        return []
    what = f"all {server['slots']} replication slots are in use"
    return [Finding("fail", "slots", what, "raise max_replication_slots, or drop what no one reads (pg_replication_slots)")]


def check_tables(tables: Iterable[Facts], role: str) -> list[Finding]:
    """Judge each table: it exists, is a plain table, can be read, and its rows can be told apart."""
    return [finding for table in tables for finding in _check_table(table, role)]


def _check_table(table: Facts, role: str) -> list[Finding]:
    name = table["name"]
    if not table["exists"]:
        return [Finding("fail", "table", f"the table {name} does not exist", "create it, or correct tables")]
    if table["kind"] == "p":
        what = f"{name} is partitioned, and its changes would come under the partitions' names"
        return [Finding("fail", "partitioned", what, "capture the partitions themselves")]
    if table["kind"] != "r":
        return [Finding("fail", "kind", f"{name} is no table", "only tables have changes: capture those under it")]
    found: list[Finding] = []
    if not table["readable"]:
        schema = name.partition(".")[0]
        remedy = f"GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {name} TO {role}"
        found.append(Finding("fail", "grant", f"the role {role} may not read {name}", remedy))
    if table["identity"] == "n" or (table["identity"] == "d" and not table["has_key"]):
        what = f"{name} has no primary key, so once published PostgreSQL refuses the application's updates and deletes"
        found.append(Finding("fail", "identity", what, f"add a primary key, or ALTER TABLE {name} REPLICA IDENTITY FULL"))
    elif not table["has_key"]:
        what = f"{name} has no primary key: its changes come without a key"
        found.append(Finding("warn", "key", what, "add a primary key, or set message.key.columns under [options]"))
    return found


def check_columns(columns: Iterable[Facts]) -> list[Finding]:
    """Warn of columns whose values don't always arrive, once for each table and reason."""
    grouped: dict[tuple[str, str], list[Facts]] = {}
    for column in columns:
        if column["reason"] is not None:
            grouped.setdefault((column["table_name"], column["reason"]), []).append(column)
    found: list[Finding] = []
    for (table, reason), risky in grouped.items():
        what, remedy = _COLUMN_RISKS[reason]
        listed = ", ".join(f"{column['column_name']} ({column['type']})" for column in risky)
        text = remedy.format(table=table, column=risky[0]["column_name"])
        found.append(Finding("warn", reason, f"columns of {table} are {what}: {listed}", text))
    return found


def check_publication(publication: Facts | None, name: str, wanted: Iterable[str]) -> list[Finding]:
    """Judge whether the publication is there and holds exactly the wanted tables and all operations."""
    if publication is None:
        return [Finding("fail", "publication", f"the publication {name} does not exist", "run `cdc apply`")]
    found: list[Finding] = []
    missing, extra = sorted(set(wanted) - set(publication["tables"])), sorted(set(publication["tables"]) - set(wanted))
    if missing:
        what = f"the publication {name} lacks {', '.join(missing)}, whose changes are being lost"
        found.append(Finding("fail", "publication", what, "run `cdc apply`"))
    if extra:
        found.append(Finding("fail", "publication", f"the publication {name} also holds {', '.join(extra)}", "run `cdc apply`"))
    if not publication["all_operations"]:
        found.append(Finding("fail", "publication", f"the publication {name} leaves operations out", "run `cdc apply`"))
    return found


def check_slot(slot: Facts | None, name: str) -> list[Finding]:
    """Judge the slot: there, read by a walsender, and its WAL still kept."""
    if slot is None:
        return [
            Finding(
                "fail",
                "slot",
                f"the replication slot {name} does not exist",
                "`cdc teardown` and `cdc apply` take a new snapshot",
            )
        ]
    if slot["wal_status"] == "lost" or slot["invalidation_reason"]:
        what = (
            f"the slot {name} has lost its WAL ({slot['invalidation_reason'] or 'too far behind'}): changes are missing for good"
        )
        return [Finding("fail", "slot", what, "`cdc teardown` and `cdc apply` take a new snapshot")]
    if not slot["active"]:
        what = f"nobody reads the slot {name}, and PostgreSQL keeps {slot['retained_bytes']:,} bytes of WAL for it"
        return [Finding("fail", "slot", what, "`cdc restart` or `cdc resume`; see the Connect worker's log")]
    if slot["wal_status"] == "unreserved":
        what = f"the slot {name} is about to lose its WAL ({slot['retained_bytes']:,} bytes behind)"
        return [Finding("fail", "slot", what, "raise max_slot_wal_keep_size now, and find out why the connector is slow")]
    if not slot["streaming"]:
        return [Finding("fail", "slot", f"the reader of slot {name} does not stream yet", "wait, or look at the worker's log")]
    return []
