"""Checks of the replication slot: whether somebody reads it, whether its WAL is there, and whether the heartbeat frees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cdc.doctor.check import RESTART, Fix, Trouble, check
from cdc.doctor.facts import Facts
from cdc.plan import statement

_FAMILY = "slot"
_AGAIN = "`cdc teardown` and `cdc apply` take a new snapshot"
_BEAT = "SELECT pg_logical_emit_message(false, '__cdc_heartbeat', now()::text)"


@check(
    11, _FAMILY, "the slot", "WAL is lost and with it changes, or kept until the disk is full; Connect says RUNNING all the while"
)
def judge_slot(facts: Facts) -> Iterator[Trouble]:
    """Require: it exists, is read, has its WAL, and does not hold more of it than the budget."""
    slot, name = facts.slot, facts.names.slot
    if slot is None:
        if facts.exists and facts.worker.offsets:
            yield Trouble("fail", f"the slot {name} does not exist, and the connector has offsets", _AGAIN)
        return
    if slot["wal_status"] == "lost" or slot["invalidation_reason"]:
        yield Trouble("fail", f"the slot {name} has lost its WAL ({slot['invalidation_reason'] or 'too far behind'})", _AGAIN)
        return
    if slot["plugin"] != facts.option("plugin.name", "decoderbufs"):
        yield Trouble(
            "fail",
            f"the slot {name} is of {slot['plugin']}, the connector wants {facts.option('plugin.name', 'decoderbufs')}",
            _AGAIN,
        )
    if slot["wal_status"] == "unreserved":
        remedy = (
            "raise max_slot_wal_keep_size now (ALTER SYSTEM SET …; SELECT pg_reload_conf()), and see why the connector is slow"
        )
        yield Trouble("fail", f"the slot {name} is about to lose its WAL ({slot['retained']:,} bytes behind)", remedy)
    if not slot["active"] and facts.exists:
        fix = RESTART if facts.worker.state and facts.worker.state.failure else None
        what = f"nobody reads the slot {name}, and {slot['retained']:,} bytes of WAL are kept for it"
        yield Trouble("fail", what, "`cdc resume` if it was stopped, else `cdc restart`", fix)
    if slot["retained"] > facts.budget_bytes:
        what = f"the slot {name} holds {slot['retained']:,} bytes of WAL, over the budget of {facts.budget_bytes:,}"
        yield Trouble("warn", what, "see RF-CDC-14 and RF-CDC-17; a kick frees an idle one: `cdc restart`")


@check(12, _FAMILY, "one slot, one connector", "two connectors take turns on one slot, and each loses what the other reads")
def judge_sharing(facts: Facts) -> Iterator[Trouble]:
    """Require: no other connector of this Connect cluster names our slot or our publication, and no other reader holds the slot."""
    ours = _place(facts.config)
    for name, config in facts.worker.connectors.items():
        if name == facts.names.connector or _place(config) != ours:
            continue
        if config.get("slot.name", "debezium") == facts.names.slot:
            yield Trouble("fail", f"{name} uses the slot {facts.names.slot} too", "give each connector its own slot.name")
        filtered = "filtered" in (config.get("publication.autocreate.mode"), facts.config.get("publication.autocreate.mode"))
        if filtered and config.get("publication.name", "dbz_publication") == facts.names.publication:
            what = f"{name} uses the publication {facts.names.publication} too, and filtered mode overwrites it"
            yield Trouble("fail", what, "give each connector its own publication.name")
    if facts.slot is not None and facts.slot["active"] and not facts.exists:
        what = f"the slot {facts.names.slot} is read by pid {facts.slot['active_pid']}, and Connect has no connector of that name"
        yield Trouble("fail", what, "end that reader, or choose another slot.name")


def _place(config: Mapping[str, str]) -> tuple[str | None, ...]:
    return config.get("database.hostname"), config.get("database.port", "5432"), config.get("database.dbname")


@check(13, _FAMILY, "orphans", "a slot that nobody will ever read again keeps WAL until the disk is full")
def judge_orphans(facts: Facts) -> Iterator[Trouble]:
    """Require: every logical slot and every publication of this database belongs to a connector."""
    configs = [*facts.worker.connectors.values(), facts.config]
    slots = {config.get("slot.name", "debezium") for config in configs}
    for slot in facts.source.slots:
        if slot["here"] and slot["slot_name"] not in slots and not slot["active"] and not slot["temporary"]:
            what = f"the slot {slot['slot_name']} is in no connector's configuration, and holds {slot['retained']:,} bytes of WAL"
            yield Trouble("warn", what, f"SELECT pg_drop_replication_slot('{slot['slot_name']}'), if no other reader needs it")
    publications = {config.get("publication.name", "dbz_publication") for config in configs}
    subscribed = {each for slot in facts.source.slots if slot["here"] and slot["active"] for each in [slot["slot_name"]]} - slots
    for each in facts.source.publications:
        if each["name"] not in publications and not subscribed:
            remedy = f"DROP PUBLICATION {statement.quote(each['name'])}, if no subscriber needs it"
            yield Trouble("warn", f"the publication {each['name']} is in no connector's configuration", remedy)


@check(14, _FAMILY, "heartbeat", "while the captured tables are idle WAL piles up, until the slot is lost or the disk is full")
def judge_heartbeat(facts: Facts) -> Iterator[Trouble]:
    """Require: heartbeats are on, write something that the connector reads, and PostgreSQL takes it."""
    interval = int(facts.option("heartbeat.interval.ms", "0"))
    query = facts.config.get("heartbeat.action.query", "")
    driver = facts.option("lsn.flush.mode", "connector") == "connector_and_driver"
    if interval == 0 or not (query or driver):
        what = (
            "heartbeats are off"
            if interval == 0
            else "heartbeats write nothing into the log, and free no WAL on PostgreSQL 15 and newer"
        )
        values = {"heartbeat.interval.ms": str(interval or 5000), "heartbeat.action.query": _BEAT}
        values["message.prefix.exclude.list"] = ",".join(
            filter(None, [facts.config.get("message.prefix.exclude.list", ""), "__cdc_heartbeat"])
        )
        fix = (
            Fix("config", "it adds a heartbeat and restarts the task; no record changes", values=values) if facts.exists else None
        )
        yield Trouble("fail", what, "; ".join(f"{name} = {value}" for name, value in values.items()), fix)
    elif facts.source.heartbeat:
        what = f"PostgreSQL refuses the heartbeat's statement: {facts.source.heartbeat}"
        yield Trouble("fail", what, f"heartbeat.action.query = {_BEAT}, which needs no table and no right")
    if facts.config.get("read.only") == "true" and "emit_message(false" in query.replace(" ", ""):
        remedy = query.replace("(false", "(true").replace("( false", "(true")
        what = "a read-only incremental snapshot fails the task at a heartbeat without transaction (Debezium 3.7)"
        yield Trouble("fail", what, f"heartbeat.action.query = {remedy}")
