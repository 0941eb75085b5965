"""Checks of the server and the role: what logical decoding needs before any table is looked at."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.doctor.check import Fix, Trouble, check
from cdc.doctor.facts import Facts
from cdc.plan import statement

_KEEP_MB = 1024
_FAMILY = "server"


@check(1, _FAMILY, "server settings", "without logical WAL nothing can be captured; without a limit a dead slot fills the disk")
def judge_settings(facts: Facts) -> Iterator[Trouble]:
    """Require: wal_level, room for senders and slots, how much WAL a slot may hold."""
    given = facts.source.settings
    if given.get("wal_level") != "logical":
        what = f"wal_level is {given.get('wal_level')}"
        yield Trouble("fail", what, "ALTER SYSTEM SET wal_level = logical; then restart the server")
    taken = len(facts.source.slots)
    for name in ("max_replication_slots", "max_wal_senders"):
        if facts.slot is None and taken >= int(given.get(name, "10")):
            yield Trouble(
                "fail",
                f"{name} is {given.get(name)} and {taken} slots exist",
                f"ALTER SYSTEM SET {name} = {taken * 2}; then restart the server",
            )
    keep = int(given.get("max_slot_wal_keep_size", "1024"))
    if keep == -1:
        what = "max_slot_wal_keep_size is -1: a slot that nobody reads keeps WAL without end"
        yield Trouble("warn", what, "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf()")
    elif keep < _KEEP_MB:
        what = f"max_slot_wal_keep_size is {keep} MB: a short outage loses the slot"
        yield Trouble("warn", what, "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf()")
    if (idle := int(given.get("idle_replication_slot_timeout") or 0)) > 0:
        what = f"idle_replication_slot_timeout is {idle}: a connector that stands still for longer loses its slot"
        yield Trouble("warn", what, "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf()")


@check(2, _FAMILY, "the role", "Connect accepts a connector whose role may not replicate, and its task fails later")
def judge_role(facts: Facts) -> Iterator[Trouble]:
    """Require: the role exists, may log in and may replicate."""
    role = facts.source.role
    if role is None:
        yield Trouble(
            "fail", f"the role {facts.role} does not exist", f"CREATE ROLE {statement.quote(facts.role)} LOGIN REPLICATION"
        )
        return
    if not role["may_login"]:
        yield Trouble("fail", f"the role {facts.role} may not log in", f"ALTER ROLE {statement.quote(facts.role)} LOGIN")
    if not role["may_replicate"]:
        yield Trouble("fail", f"the role {facts.role} may not replicate", statement.grant_replication(facts.role))


@check(3, _FAMILY, "rights to read", "the snapshot fails at the first table that it may not read")
def judge_grants(facts: Facts) -> Iterator[Trouble]:
    """Require: USAGE of each schema and SELECT of each table."""
    for table in facts.source.tables:
        if table["exists"] and not table["readable"]:
            text = statement.grant_read(table["name"], facts.role)
            fix = Fix("sql", "it adds a right to read, and nothing else", text) if table["owned"] else None
            yield Trouble("fail", f"the role {facts.role} may not read {table['name']}", text, fix)


@check(4, _FAMILY, "publication", "changes of a table that is not published are lost, and nothing says so")
def judge_publication(facts: Facts) -> Iterator[Trouble]:
    """Require: it exists, and publishes exactly the captured tables, whole, with every operation."""
    there, name = facts.source.publication, facts.names.publication
    if there is None:
        if facts.exists or facts.option("publication.autocreate.mode", "all_tables") == "disabled":
            text = statement.create_publication(name, _list_wanted(facts), ("insert", "update", "delete", "truncate"))
            yield Trouble(
                "fail",
                f"the publication {name} does not exist",
                f"`cdc apply`, or: {text}",
                Fix("sql", "it adds a publication that is missing", text),
            )
        return
    if there["all_tables"]:
        return
    missing, extra = (
        sorted(set(_list_wanted(facts)) - set(there["tables"])),
        sorted(set(there["tables"]) - set(_list_wanted(facts))),
    )
    if missing:
        text = f"ALTER PUBLICATION {statement.quote(name)} ADD TABLE {', '.join(map(statement.quote_table, missing))}"
        fix = Fix("sql", "it adds tables, and takes none away", text) if there["owned"] else None
        yield Trouble("fail", f"the publication {name} lacks {', '.join(missing)}", text, fix)
    if extra:
        text = f"ALTER PUBLICATION {statement.quote(name)} DROP TABLE {', '.join(map(statement.quote_table, extra))}"
        yield Trouble(
            "warn", f"the publication {name} also holds {', '.join(extra)}", f"{text}, unless another reader needs them"
        )
    if there["narrowed"]:
        remedy = "publish the whole table, or mean it: what the filter hides never arrives"
        yield Trouble("warn", f"the publication {name} filters rows or columns of {', '.join(there['narrowed'])}", remedy)
    yield from _judge_operations(facts)


def _judge_operations(facts: Facts) -> Iterator[Trouble]:
    there, name = facts.source.publication or {}, facts.names.publication
    wanted = facts.declared.publish if facts.declared else ("insert", "update", "delete", "truncate")
    left = [each for each in wanted if each not in there["operations"]]
    if left:
        text = statement.set_operations(name, [*there["operations"], *left])
        fix = Fix("sql", "it adds operations, and takes none away", text) if there["owned"] else None
        yield Trouble("fail", f"the publication {name} leaves out {', '.join(left)}", text, fix)


def _list_wanted(facts: Facts) -> list[str]:
    return sorted({*facts.tables, *filter(None, [facts.config.get("signal.data.collection", "")])})


@check(5, _FAMILY, "who may make the publication", "Connect answers 201, and the task fails with 'must be owner of table'")
def judge_autocreate(facts: Facts) -> Iterator[Trouble]:
    """Require: a connector that makes its publication itself owns the tables, or is superuser for all of them."""
    mode, role = facts.option("publication.autocreate.mode", "all_tables"), facts.source.role
    if (
        mode == "disabled"
        or role is None
        or role["is_superuser"]
        or (facts.source.publication is not None and mode == "all_tables")
    ):
        return
    text = statement.create_publication(facts.names.publication, _list_wanted(facts), ("insert", "update", "delete", "truncate"))
    remedy = f"publication.autocreate.mode = disabled, and as owner: {text}"
    if mode == "all_tables":
        yield Trouble("fail", f"{facts.role} is no superuser and is to make a publication FOR ALL TABLES", remedy)
        return
    foreign = [table["name"] for table in facts.source.tables if table["exists"] and not table["role_owns"]]
    if foreign:
        yield Trouble("fail", f"{facts.role} does not own {', '.join(foreign)}, and is to make the publication ({mode})", remedy)


@check(15, _FAMILY, "failover", "after a failover the slot is gone, and the changes between are lost")
def judge_failover(facts: Facts) -> Iterator[Trouble]:
    """Require: the server is the primary, and where there are standbys the slot goes with them."""
    server, slot = facts.source.server, facts.slot
    if server["is_standby"]:
        yield Trouble("fail", "the server is a standby", "point the connector to the primary")
    if not facts.source.settings.get("standbys", "0").isdigit() or int(facts.source.settings.get("standbys", "0")) == 0:
        return
    if server["version"] >= 170000 and slot is not None and not slot["failover"]:
        remedy = 'declare "slot.failover" = true, then `cdc teardown` and `cdc apply` when a snapshot suits; sync_replication_slots = on'
        yield Trouble("warn", f"there are standbys and the slot {facts.names.slot} does not fail over to them", remedy)
    elif server["version"] >= 170000 and slot is not None and not facts.source.settings.get("synchronized_standby_slots"):
        remedy = "set synchronized_standby_slots to the standbys' physical slots, so that no reader runs ahead of them"
        yield Trouble("warn", "synchronized_standby_slots is empty although the slot fails over", remedy)


@check(17, _FAMILY, "long transactions", "a slot can't be made before they end, and WAL is kept from where they began")
def judge_transactions(facts: Facts) -> Iterator[Trouble]:
    """Require: no transaction is open for more than ten minutes, no prepared one forgotten."""
    for each in facts.source.transactions:
        if each["prepared"]:
            what, remedy = (
                f"the prepared transaction {each['name']} is {each['seconds']:,} s old",
                f"COMMIT PREPARED or ROLLBACK PREPARED '{each['name']}'",
            )
        else:
            what = f"a transaction of pid {each['name']} is open for {each['seconds']:,} s ({each['query']})"
            remedy = f"end it, or SELECT pg_terminate_backend({each['name']})"
        yield Trouble("warn", what, remedy)
