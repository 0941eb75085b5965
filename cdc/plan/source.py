"""The steps in the captured database: rights, replica identity, signal table, publication, slot."""

from __future__ import annotations

from collections.abc import Iterator

from cdc.check import check_columns, check_server, check_slot, check_slots, check_tables
from cdc.connect.config import Names
from cdc.connect.declaration import Connector
from cdc.finding import Finding
from cdc.plan import statement
from cdc.plan.step import Change, Step
from cdc.plan.world import World

_IDENTITIES = {"d": "DEFAULT", "f": "FULL", "n": "NOTHING", "i": "INDEX", "": "none"}


def plan_source(connector: Connector, names: Names, world: World) -> Iterator[Step]:
    """Give the steps in the database, in the order in which they can be done."""
    yield from _plan_rights(connector, world)
    yield from _plan_identity(connector, world)
    yield from _plan_signals(connector, world)
    yield from _plan_publication(connector, names, world)
    yield from _plan_slot(names, world)


def check_source(connector: Connector, world: World) -> list[Finding]:
    """Judge the database as it will be once the steps are done: what they mend is no finding."""
    server = {**world.server, "may_replicate": _can_grant(world) or world.server["may_replicate"]}
    tables = [
        {
            **table,
            "readable": table["readable"] or table["owned"],
            "identity": "f" if _is_mended(connector, table) else table["identity"],
        }
        for table in world.tables
    ]
    found = check_server(server, connector.user) + check_slots(server, world.slot) + check_tables(tables, connector.user)
    found += [_refuse_identity(table["name"]) for table in world.tables if _wants_full(connector, table) and not table["owned"]]
    found += check_columns(world.columns)
    if world.publication is not None and world.publication["all_tables"] and connector.adopted is None:
        what = "the publication is FOR ALL TABLES and none of ours"
        found.append(Finding("fail", "publication", what, "drop it, or give the connector another name"))
    if world.config is not None and world.offsets and world.state is not None and world.state.state == "RUNNING":
        found += [each for each in check_slot(world.slot, world.config.get("slot.name", "debezium")) if _is_lost(world, each)]
    return found


def _is_lost(world: World, finding: Finding) -> bool:
    return world.slot is None or world.slot["wal_status"] == "lost" or "about to lose" in finding.what


def _refuse_identity(table: str) -> Finding:
    what = f"{table} is to have REPLICA IDENTITY FULL, and our role does not own it"
    return Finding("fail", "identity", what, f"let its owner run {statement.set_identity(table, 'full')}")


def _can_grant(world: World) -> bool:
    return bool(world.server["is_superuser"]) and world.server["may_replicate"] is False


def _wants_full(connector: Connector, table: dict[str, object]) -> bool:
    return bool(table["name"] in connector.full and table["exists"] and table["identity"] != "f")


def _is_mended(connector: Connector, table: dict[str, object]) -> bool:
    return _wants_full(connector, table) and bool(table["owned"])


def _plan_rights(connector: Connector, world: World) -> Iterator[Step]:
    role = connector.user
    if _can_grant(world):
        text = statement.grant_replication(role)
        yield Step("PostgreSQL", "~", "role", role, "sql", "Debezium reads the log as this role", statement=text)
    for table in world.tables:
        if table["exists"] and not table["readable"] and table["owned"]:
            text = statement.grant_read(table["name"], role)
            yield Step(
                "PostgreSQL", "+", "grant", f"{table['name']} to {role}", "sql", "the snapshot reads the rows", statement=text
            )
    if not world.server["may_emit"] and world.server["is_superuser"] and connector.adopted is None:
        text = statement.grant_emit(world.server["emit"], role)
        yield Step(
            "PostgreSQL", "+", "grant", f"heartbeat to {role}", "sql", "heartbeats free the log while idle", statement=text
        )


def _plan_identity(connector: Connector, world: World) -> Iterator[Step]:
    for table in world.tables:
        if _is_mended(connector, table):
            change = Change("replica identity", _IDENTITIES[table["identity"]], "FULL")
            reason = "updates and deletes bring the whole old row, at the cost of more log"
            text = statement.set_identity(table["name"], "full")
            yield Step("PostgreSQL", "~", "table", table["name"], "sql", reason, (change,), text)


def _plan_signals(connector: Connector, world: World) -> Iterator[Step]:
    if connector.signals is None or world.signal_table is None:
        return
    name, role = connector.signal_table, connector.user
    if not world.signal_table["exists"]:
        text = statement.create_signals(name, role)
        yield Step("PostgreSQL", "+", "table", name, "sql", "signals and snapshot watermarks are written into it", statement=text)
    elif not world.signal_table["writable"]:
        text = statement.grant_signals(name, role)
        yield Step(
            "PostgreSQL", "+", "grant", f"{name} to {role}", "sql", "snapshot watermarks are written into it", statement=text
        )


def list_published(connector: Connector) -> list[str]:
    """Give the tables that the publication must hold."""
    extra = [connector.signal_table] if connector.signals is not None else []
    if connector.adopted is not None:
        extra += filter(None, [connector.options.get("signal.data.collection")])
    return sorted({*connector.tables, *extra})


def _plan_publication(connector: Connector, names: Names, world: World) -> Iterator[Step]:
    there, wanted, name = world.publication, list_published(connector), names.publication
    if connector.adopted is not None and (there is None or there["all_tables"]):
        return
    if there is None:
        text = statement.create_publication(name, wanted, connector.publish)
        changes = (Change("tables", None, ", ".join(wanted)), Change("publish", None, ", ".join(connector.publish)))
        yield Step("PostgreSQL", "+", "publication", name, "sql", "it says what leaves the database", changes, text)
        return
    if there["all_tables"]:
        return
    if connector.adopted is not None:  # what else it holds may be somebody else's
        wanted = sorted({*wanted, *there["tables"]})
    if set(there["tables"]) != set(wanted):
        lost, gained = sorted(set(there["tables"]) - set(wanted)), sorted(set(wanted) - set(there["tables"]))
        reason = "; ".join(
            [f"{', '.join(gained)} is not captured" for _ in gained[:1]]
            + [f"{', '.join(lost)} is not declared" for _ in lost[:1]]
        )
        change = Change("tables", ", ".join(there["tables"]), ", ".join(wanted))
        text = statement.set_tables(name, wanted) if lost else statement.add_tables(name, gained)
        yield Step("PostgreSQL", "~", "publication", name, "sql", reason, (change,), text)
    if set(there["operations"]) != set(connector.publish):
        change = Change("publish", ", ".join(there["operations"]), ", ".join(connector.publish))
        text = statement.set_operations(name, connector.publish)
        yield Step("PostgreSQL", "~", "publication", name, "sql", "operations left out are lost", (change,), text)


def _plan_slot(names: Names, world: World) -> Iterator[Step]:
    if world.config is not None:
        return
    if world.slot is None:
        reason = "the connector makes it when it starts; from then on PostgreSQL keeps the log for it"
        yield Step("PostgreSQL", "+", "slot", names.slot, "wait", reason)
    else:
        reason = "kept if offsets of the same name are still there, else dropped: it would repeat old changes after the snapshot"
        yield Step("PostgreSQL", "~", "slot", names.slot, "wait", reason)
