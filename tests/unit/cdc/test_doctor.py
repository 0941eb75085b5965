"""The 34 checks on facts: a healthy connector is met with silence, and every danger is found by its check."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from cdc.change.drift import Drift
from cdc.connect.config import build_config, find_names
from cdc.connect.declaration import Connector
from cdc.connect.state import ConnectorState, TaskState
from cdc.doctor.check import CHECKS
from cdc.doctor.facts import Facts, Log, Source, Worker
from cdc.doctor.mend import describe_fix, list_fixes
from cdc.doctor.register import examine_facts
from cdc.plan.world import Topic
from eventstore.settings import KafkaSettings

KAFKA = KafkaSettings(topic_prefix="shop")
DECLARED = Connector("ops", "postgresql://app@db:5432/ops", ("s.t",), "${env:PW}", signals="table")
CONFIG, NAMES = build_config(DECLARED, KAFKA), find_names(DECLARED, KAFKA)
TABLE = {
    "name": "s.t", "exists": True, "kind": "r", "identity": "d", "has_key": True, "readable": True, "owned": True, "role_owns": False,
    "largest": 100,
}  # fmt: skip
COLUMN = {
    "table_name": "s.t", "column_name": "c", "type": "text", "reason": None, "large": True, "identity": "d", "unknown": False,
    "nullable_default": True, "kind": None,
}  # fmt: skip
SLOT = {
    "slot_name": "shop_ops", "plugin": "pgoutput", "here": True, "active": True, "active_pid": 7, "temporary": False,
    "wal_status": "reserved", "invalidation_reason": "", "failover": False, "confirmed_bytes": 500, "retained": 10, "lag": 1,
}  # fmt: skip
SERVER = {"version": 180000, "is_standby": False}
SETTINGS = {
    "wal_level": "logical", "max_wal_senders": "10", "max_replication_slots": "10", "max_slot_wal_keep_size": "4096",
    "idle_replication_slot_timeout": "0", "standbys": "0",
}  # fmt: skip
PUBLICATION = {
    "all_tables": False, "operations": ["insert", "update", "delete", "truncate"], "tables": ["public.cdc_signal", "s.t"],
    "narrowed": [], "via_root": False, "owned": True,
}  # fmt: skip
SIGNALS = {"exists": True, "sound": True, "writable": True, "rows": 3}
DATA = Topic(1, {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": "1048588"})
OWN = Topic(1, {"cleanup.policy": "compact", "min.insync.replicas": "1"})
ROLE = {"may_login": True, "may_replicate": True, "is_superuser": False}
SOURCE = Source(
    SERVER, SETTINGS, ROLE, [TABLE], [COLUMN], PUBLICATION, [SLOT], publications=[{"name": "shop_ops"}], signals=SIGNALS
)
STATE = ConnectorState("RUNNING", (TaskState(0, "RUNNING"),))
OFFSET = {"partition": {"server": "shop.ops"}, "offset": {"lsn": 600, "lsn_commit": 600}}
WORKER = Worker("4.3.1", {"w:1": "3.7.0.Final"}, {"shop.ops": CONFIG}, {}, STATE, [OFFSET])
LOG = Log({"shop.ops.s.t": DATA}, {"config=c-config": OWN, "offset=c-offset": OWN, "status=c-status": OWN}, 1, "")
HEALTHY = Facts(NAMES, CONFIG, True, ["s.t"], SOURCE, WORKER, LOG, DECLARED)


def source(**changes):
    """Change what PostgreSQL says."""
    return replace(HEALTHY, source=replace(SOURCE, **changes))


def table(**changes):
    """Change what is known of the table."""
    return source(tables=[{**TABLE, **changes}])


def column(**changes):
    """Change what is known of the column."""
    return source(columns=[{**COLUMN, **changes}])


def slot(**changes):
    """Change what is known of the slot."""
    return source(slots=[{**SLOT, **changes}])


def worker(**changes):
    """Change what Connect says."""
    return replace(HEALTHY, worker=replace(WORKER, **changes))


def log(**changes):
    """Change what Kafka says."""
    return replace(HEALTHY, log=replace(LOG, **changes))


def config(base=HEALTHY, **changes):
    """Change options; `__` stands for a dot, None takes one out."""
    given = {name.replace("__", "."): value for name, value in changes.items()}
    merged = {name: value for name, value in {**base.config, **given}.items() if value is not None}
    return replace(base, config=merged)


def named(base=HEALTHY, **options):
    """Change options by their real names, in a dictionary."""
    return replace(base, config={**base.config, **options.pop("options")})


def topic(**changes):
    """Change what the table's topic is."""
    fields = {"trimmed": changes.pop("trimmed", 0)}
    options = {**DATA.config, **{name.replace("_", "."): value for name, value in changes.items()}}
    return log(topics={"shop.ops.s.t": Topic(1, options, **fields)})


ABSENT = replace(HEALTHY, exists=False, worker=replace(WORKER, state=None, offsets=[], connectors={}))
STOPPED = ConnectorState("STOPPED", ())
FAILED = ConnectorState("RUNNING", (TaskState(0, "FAILED", "Caused by: org.x.PSQLException: password authentication failed"),))
OTHER = {"database.hostname": "db", "database.dbname": "ops", "database.port": "5432"}
CASES = [
    ("01", "fail", source(settings={**SETTINGS, "wal_level": "replica"})),
    ("01", "warn", source(settings={**SETTINGS, "max_slot_wal_keep_size": "-1"})),
    ("01", "warn", source(settings={**SETTINGS, "max_slot_wal_keep_size": "64"})),
    ("01", "warn", source(settings={**SETTINGS, "idle_replication_slot_timeout": "3600"})),
    ("01", "fail", replace(ABSENT, source=replace(SOURCE, slots=[], settings={**SETTINGS, "max_replication_slots": "0"}))),
    ("02", "fail", source(role=None)),
    ("02", "fail", source(role={**ROLE, "may_login": False})),
    ("02", "fail", source(role={**ROLE, "may_replicate": False})),
    ("03", "fail", table(readable=False)),
    ("04", "fail", source(publication=None)),
    ("04", "fail", source(publication={**PUBLICATION, "tables": ["public.cdc_signal"]})),
    ("04", "warn", source(publication={**PUBLICATION, "tables": ["public.cdc_signal", "s.t", "s.u"]})),
    ("04", "fail", source(publication={**PUBLICATION, "operations": ["insert"]})),
    ("04", "warn", source(publication={**PUBLICATION, "narrowed": ["s.t"]})),
    ("05", "fail", config(publication__autocreate__mode="filtered")),
    ("05", "fail", config(source(publication=None), publication__autocreate__mode="all_tables")),
    ("06", "fail", table(exists=False)),
    ("06", "fail", table(has_key=False)),
    ("06", "warn", table(has_key=False, identity="f")),
    ("06", "warn", config(message__key__columns="s.t:id")),
    ("07", "warn", column(reason="unchanged")),
    ("07", "warn", named(options={
        "transforms": "u", "transforms.u.type": "io.debezium.transforms.ExtractNewRecordState",
        "transforms.u.replace.null.with.default": "false",
    })),
    ("08", "warn", column(reason="generated")),
    ("08", "warn", column(reason="dimensions")),
    ("08", "warn", column(reason="absent")),
    ("08", "fail", config(column(unknown=True), include__unknown__datatypes=None)),
    ("09", "fail", config(value__converter__replace__null__with__default=None)),
    ("10", "warn", config(column(kind="numeric"), decimal__handling__mode="precise")),
    ("10", "warn", config(column(kind="time"), time__precision__mode="connect")),
    ("11", "fail", source(slots=[])),
    ("11", "fail", slot(wal_status="lost")),
    ("11", "fail", slot(wal_status="unreserved")),
    ("11", "fail", slot(active=False)),
    ("11", "fail", slot(plugin="decoderbufs")),
    ("11", "warn", slot(retained=2 << 30)),
    ("12", "fail", worker(connectors={"shop.ops": CONFIG, "x": {**OTHER, "slot.name": "shop_ops"}})),
    ("12", "fail", worker(connectors={
        "x": {**OTHER, "slot.name": "x", "publication.name": "shop_ops", "publication.autocreate.mode": "filtered"}
    })),
    ("12", "fail", ABSENT),
    ("13", "warn", source(slots=[SLOT, {**SLOT, "slot_name": "old", "active": False}])),
    ("13", "warn", source(publications=[{"name": "old"}])),
    ("14", "fail", config(heartbeat__interval__ms="0")),
    ("14", "fail", config(heartbeat__action__query=None)),
    ("14", "fail", source(heartbeat="permission denied")),
    ("14", "fail", config(read__only="true")),
    ("15", "fail", source(server={**SERVER, "is_standby": True})),
    ("15", "warn", source(settings={**SETTINGS, "standbys": "1"})),
    ("15", "warn", source(settings={**SETTINGS, "standbys": "1"}, slots=[{**SLOT, "failover": True}])),
    ("16", "fail", table(kind="p")),
    ("17", "warn", source(transactions=[{"prepared": False, "name": "9", "seconds": 900, "query": "select 1"}])),
    ("17", "warn", source(transactions=[{"prepared": True, "name": "gid", "seconds": 900, "query": ""}])),
    ("18", "fail", source(signals={**SIGNALS, "exists": False})),
    ("18", "fail", source(signals={**SIGNALS, "sound": False})),
    ("18", "fail", source(signals={**SIGNALS, "writable": False})),
    ("18", "warn", source(signals={**SIGNALS, "rows": 200_000})),
    ("19", "fail", replace(HEALTHY, tables=["s.a b", "s.a_b"])),
    ("20", "warn", worker(plugins={"w:1": "3.6.1.Final"})),
    ("20", "fail", worker(plugins={"w:1": "3.7.0.Final", "w:2": "3.8.0.Final"})),
    ("21", "fail", worker(plugins={"w:1": None})),
    ("22", "fail", config(hearbeat__interval__ms="1")),
    ("22", "warn", config(flush__lsn__source="true")),
    ("22", "fail", worker(refused={"snapshot.mode": ["not one of these"]})),
    ("23", "fail", config(database__password="hush")),
    ("24", "fail", worker(state=None)),
    ("24", "fail", worker(state=FAILED)),
    ("24", "fail", worker(state=STOPPED)),
    ("24", "fail", worker(state=ConnectorState("RUNNING", ()))),
    ("25", "fail", worker(offsets=[{"partition": {"wrong": "x"}, "offset": {"lsn": 1}}])),
    ("25", "fail", worker(offsets=[{**OFFSET, "offset": {"lsn": "abc"}}])),
    ("25", "fail", worker(offsets=[{**OFFSET, "offset": {"lsn": 1}}], state=STOPPED)),
    ("26", "warn", replace(ABSENT, worker=replace(ABSENT.worker, leftovers=["shop.ops"]))),
    ("27", "warn", worker(exactly_once=False)),
    ("27", "info", config(exactly__once__support="requested")),
    ("28", "fail", worker(connectors={"x": {"topic.prefix": "shop.ops"}})),
    ("28", "warn", worker(connectors={"x": {"database.dbname": "ops", "signal.data.collection": "public.cdc_signal"}})),
    ("29", "fail", log(internal={"config=c-config": Topic(1, {"cleanup.policy": "delete"})})),
    ("29", "fail", log(internal={"config=c-config": Topic(5, OWN.config)})),
    ("29", "warn", log(brokers=3)),
    ("29", "info", log(internal={"config=c-config": None})),
    ("30", "fail", topic(cleanup_policy="compact")),
    ("30", "fail", topic(retention_ms="604800000")),
    ("30", "fail", topic(trimmed=1)),
    ("30", "warn", config(log(topics={}), topic__creation__default__partitions=None)),
    ("31", "warn", table(largest=900_000)),
    ("32", "fail", log(proof="not within 15 s")),
    ("33", "warn", slot(lag=1 << 30)),
    ("34", "fail", replace(HEALTHY, drift=[("public.t", Drift("dropped", "name", "text", ""))])),
    ("34", "info", replace(HEALTHY, drift=[("public.t", Drift("added", "name", "", "text"))])),
]  # fmt: skip


def test_healthy():
    """A healthy connector gives nothing at all."""
    assert examine_facts(HEALTHY) == []


@pytest.mark.parametrize(("number", "severity", "facts"), CASES)
def test_found(number, severity, facts):
    """Each danger is found by its check, with its severity, the fact, the danger and what mends it."""
    found = [each for each in examine_facts(facts) if each.check.code == f"RF-CDC-{number}"]
    assert severity in {each.trouble.severity for each in found}
    for each in found:
        assert each.trouble.fact
        assert each.trouble.remedy
        assert each.check.danger in str(each)


def test_all_provoked():
    """There are 34 checks, numbered without a gap, and each is provoked above."""
    assert sorted(CHECKS) == [f"RF-CDC-{number:02}" for number in range(1, 35)]
    assert {f"RF-CDC-{number}" for number, _, _ in CASES} == set(CHECKS)


def test_fixes_only_add():
    """What --fix may do drops, revokes and shortens nothing; each fix comes once, and a restart last."""
    fixes = [each for _, _, facts in CASES for each in list_fixes(examine_facts(facts))]
    assert {fix.kind for _, fix in fixes} == {"sql", "config", "topic", "restart"}
    statements = [fix.statement.partition("WITH")[0].split() for _, fix in fixes]
    assert not [words for words in statements if {"DROP", "REVOKE", "DELETE", "TRUNCATE"} & set(words)]
    assert all(fix.safe and describe_fix(fix) for _, fix in fixes)
    tables, slots = [{**TABLE, "readable": False}], [{**SLOT, "active": False}]
    both = examine_facts(replace(worker(state=FAILED), source=replace(SOURCE, slots=slots, tables=tables)))
    assert [fix.kind for _, fix in list_fixes(both)] == ["sql", "restart"]


def test_secret_is_moved_to_the_declared_reference():
    """A password in plain text is mended by the reference that the declaration names, and is never repeated."""
    (found,) = [each for each in examine_facts(config(database__password="hush")) if each.check.code == "RF-CDC-23"]
    assert found.trouble.fix.values == {"database.password": "${env:PW}"}
    assert "hush" not in str(found.facts())


def test_reference_fresh():
    """docs/reference/cdc-checks.md is what `make docs` writes."""
    docs = Path(__file__).parents[3] / "docs"
    written = runpy.run_path(str(docs / "checks.py"))["render"]()
    assert (docs / "reference" / "cdc-checks.md").read_text(encoding="utf-8") == written
