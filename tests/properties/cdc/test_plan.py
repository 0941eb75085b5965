"""A plan, carried out on a world, leaves nothing to do; and it is the same however often it is made."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cdc.connect.config import build_config, find_names, name_topic
from cdc.connect.declaration import OPERATIONS, STATES, Connector
from cdc.connect.state import ConnectorState, TaskState
from cdc.plan.diff import plan_connector
from cdc.plan.render import render_plan
from cdc.plan.world import Topic, World
from eventstore.settings import KafkaSettings

KAFKA = KafkaSettings(topic_prefix="shop")
NAMES = ["s.a", "s.b", 's.Odd"Name', "other.c"]
RUNNING = ConnectorState("RUNNING", (TaskState(0, "RUNNING"),))
SLOT = {"active": True, "wal_status": "reserved", "invalidation_reason": None, "streaming": True, "retained_bytes": 1}
SERVER = {
    "wal_level": "logical", "slots": 10, "slots_used": 0, "is_standby": False, "may_replicate": True, "is_superuser": True,
    "may_emit": True, "emit": "pg_logical_emit_message(boolean,text,text,boolean)", "version": 180000,
}  # fmt: skip


@st.composite
def connectors(draw):
    """Draw a declaration."""
    tables = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return Connector(
        "ops",
        "postgresql://app@db/ops",
        tuple(tables),
        full=tuple(draw(st.lists(st.sampled_from(tables), unique=True))),
        publish=tuple(draw(st.lists(st.sampled_from(OPERATIONS), min_size=1, unique=True))),
        retention_ms=draw(st.sampled_from([-1, 5000])),
        cleanup=draw(st.sampled_from(["delete", "compact", "compact,delete"])),
        signals=draw(st.sampled_from([None, "kafka", "table"])),
        state=draw(st.sampled_from(STATES)),
        options=draw(st.dictionaries(st.sampled_from(["max.batch.size", "poll.interval.ms"]), st.sampled_from(["7", "9"]))),
    )


@st.composite
def worlds(draw, connector):
    """Draw what is there, more or less as declared."""
    config, names = build_config(connector, KAFKA), find_names(connector, KAFKA)
    flags, some = st.booleans(), st.lists(st.sampled_from(NAMES), unique=True)
    running = draw(st.sampled_from([None, config, {**config, "max.batch.size": "1", "max.queue.size": "2"}]))
    stands = [ConnectorState(each, ()) for each in ("PAUSED", "STOPPED", "FAILED")]
    state = None if running is None else draw(st.sampled_from([RUNNING, *stands]))
    operations = draw(st.lists(st.sampled_from(OPERATIONS), unique=True))
    publication = {"all_tables": False, "tables": draw(some), "operations": operations, "via_root": False}
    form = {"cleanup.policy": draw(st.sampled_from(["delete", "compact"])), "retention.ms": draw(st.sampled_from(["-1", "1"]))}
    return World(
        running,
        state,
        [],
        {},
        {**SERVER, "may_replicate": draw(flags), "may_emit": draw(flags)},
        draw(st.sampled_from([None, SLOT])),
        draw(st.sampled_from([None, publication])),
        [
            {
                "name": table, "exists": True, "kind": "r", "identity": draw(st.sampled_from("df")), "has_key": True,
                "readable": draw(flags), "owned": True,
            }
            for table in connector.tables
        ],
        [],
        {name_topic(names.prefix, table): Topic(connector.partitions, form) for table in draw(some)},
        {"exists": draw(flags), "sound": True, "writable": draw(flags)},
    )  # fmt: skip


def carry_out(world, plan):
    """Do to *world* what the servers do to themselves for each step."""
    for step in plan.steps:
        world = STEPS[step.action](world, step)
    return world


def run_sql(world, step):
    """Read the statement as PostgreSQL would."""
    text, tables = step.statement, world.tables
    named = [re.sub(r'^"|"$', "", each.replace('""', "\0")).replace('"."', ".").replace("\0", '"') for each in listed(text)]
    if text.startswith("ALTER ROLE"):
        return replace(world, server={**world.server, "may_replicate": True})
    if text.startswith("GRANT EXECUTE"):
        return replace(world, server={**world.server, "may_emit": True})
    if text.startswith("GRANT USAGE"):
        return replace(world, tables=[{**each, "readable": True} if each["name"] in step.name else each for each in tables])
    if "REPLICA IDENTITY" in text:
        return replace(world, tables=[{**each, "identity": "f"} if each["name"] == step.name else each for each in tables])
    if text.startswith(("CREATE TABLE", "GRANT SELECT")):
        return replace(world, signal_table={"exists": True, "sound": True, "writable": True})
    there = world.publication or {"all_tables": False, "tables": [], "operations": []}
    if found := re.search(r"publish = '([^']*)'", text):
        there = {**there, "operations": found[1].split(", ")}
    kept = there["tables"] if " ADD TABLE " in text else []
    return replace(world, publication={**there, "tables": [*kept, *named]} if named else there)


def listed(text):
    """Give the quoted tables of a statement about a publication."""
    found = re.search(r" TABLE (.*?)( WITH \(|$)", text)
    return re.findall(r'(?:"(?:[^"]|"")*"\.?)+', found[1]) if found else []


def make_topic(world, step):
    """Make or alter the topic."""
    there = world.topics.get(step.name, Topic(step.partitions, {}))
    return replace(world, topics={**world.topics, step.name: replace(there, config={**there.config, **step.values})})


def turn(world, step):
    """Bring the connector into the state that the step says, if it says one."""
    said = [change.new for change in step.changes if change.name == "state"]
    return replace(world, state=ConnectorState(said[0], RUNNING.tasks)) if said else world


STEPS = {
    "sql": run_sql,
    "wait": lambda world, _: replace(world, slot=SLOT),
    "create-topic": make_topic,
    "alter-topic": make_topic,
    "create-connector": lambda world, step: turn(replace(world, config=dict(step.values), state=RUNNING), step),
    "put-config": lambda world, step: replace(world, config=dict(step.values)),
    **dict.fromkeys(("resume", "pause", "stop", "restart"), turn),
}


@given(st.data())
def test_carried_out(data):
    """After every step of a plan was done, the next plan is empty, whatever was there before."""
    connector = data.draw(connectors())
    world = data.draw(worlds(connector))
    plan = plan_connector(connector, KAFKA, world)
    assert plan.facts() == plan_connector(connector, KAFKA, world).facts()
    done = plan_connector(connector, KAFKA, carry_out(world, plan))
    assert done.steps == ()
    assert "nothing to do" in render_plan(done)


@given(st.data())
def test_shown(data):
    """Every step of a plan stands in its text, with every change of what is there and every statement."""
    connector = data.draw(connectors())
    plan = plan_connector(connector, KAFKA, data.draw(worlds(connector)))
    text = render_plan(plan, whole=True)
    for step in plan.steps:
        assert f"{step.sign} {step.thing} {step.name}" in text
        assert step.statement in text
        assert all(change.name in text and str(change.new or change.old) in text for change in step.changes)
