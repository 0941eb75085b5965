"""What a plan refuses, hides and warns of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.apply import refuse_plan
from cdc.connect.config import build_config
from cdc.connect.declaration import Adopted, Connector
from cdc.connect.source import check_conflicts, read_sources
from cdc.connect.state import ConnectorState, TaskState
from cdc.plan.diff import plan_connector
from cdc.plan.effect import find_effect
from cdc.plan.render import render_plan
from cdc.plan.world import Topic, World
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings

KAFKA = KafkaSettings(topic_prefix="shop")
OPS = Connector("ops", "postgresql://app@db:5432/ops", ("s.t",), "${env:PW}")
CONFIG = build_config(OPS, KAFKA)
TABLE = {"name": "s.t", "exists": True, "kind": "r", "identity": "d", "has_key": True, "readable": True, "owned": False}
SERVER = {
    "wal_level": "logical", "slots": 10, "slots_used": 0, "is_standby": False, "may_replicate": True, "is_superuser": False,
    "may_emit": True, "emit": "f", "version": 180000,
}  # fmt: skip
PUBLICATION = {"all_tables": False, "tables": ["s.t"], "operations": ["insert", "update", "delete", "truncate"]}
SLOT = {"active": True, "wal_status": "reserved", "invalidation_reason": None, "streaming": True, "retained_bytes": 1}
WORLD = World(
    CONFIG, ConnectorState("RUNNING", (TaskState(0, "RUNNING"),)), [{"offset": {}}], {}, SERVER, SLOT, PUBLICATION, [TABLE], [],
    {"shop.ops.s.t": Topic(1, {"cleanup.policy": "delete", "retention.ms": "-1"})},
)  # fmt: skip


def plan(connector=OPS, **changes):
    """Plan *connector* in a world that is as declared but for *changes*."""
    return plan_connector(connector, KAFKA, replace(WORLD, **changes))


def codes(found):
    """Shorten findings to severity and code."""
    return [(finding.severity, finding.code) for finding in found.findings]


def test_deprecated():
    """An option that Debezium will drop is warned of with the one to use instead; one whose text only speaks of such is not."""
    found = plan(replace(OPS, options={"flush.lsn.source": "true", "lsn.flush.mode": "connector", "tasks.max.enforce": "true"}))
    assert codes(found) == [("warn", "deprecated")] * 2
    assert [finding.what for finding in found.findings] == [
        "the option flush.lsn.source is deprecated",
        "the option tasks.max.enforce is deprecated",
    ]
    assert found.findings[0].remedy.startswith("did you mean lsn.flush.mode?")
    assert found.findings[1].remedy.startswith("take it out")


def test_as_declared():
    """Where everything is as declared there is nothing to do and nothing to say."""
    assert (plan().steps, plan().findings) == ((), ())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"tables": [{**TABLE, "readable": False}]}, "grant"),
        ({"tables": [{**TABLE, "exists": False}]}, "table"),
        ({"server": {**SERVER, "may_replicate": False}}, "role"),
        ({"publication": {**PUBLICATION, "all_tables": True}}, "publication"),
        ({"refused": {"snapshot.mode": ["wrong"]}}, "option"),
        ({"slot": None}, "slot"),
        ({"slot": {**SLOT, "wal_status": "lost"}}, "slot"),
        ({"config": {**CONFIG, "database.dbname": "other"}}, "database"),
    ],
)
def test_fails(changes, code):
    """What no step can mend fails the plan, and an apply refuses it."""
    found = plan(**changes)
    assert ("fail", code) in codes(found)
    with pytest.raises((PreconditionFailed, UsageError), match="nothing was changed"):
        refuse_plan(found, "ops")


def test_identity_needs_the_owner():
    """REPLICA IDENTITY FULL on a table that our role does not own is a failure with the owner's statement."""
    found = plan(replace(OPS, full=("s.t",)))
    assert codes(found) == [("fail", "identity")]
    assert 'ALTER TABLE "s"."t" REPLICA IDENTITY FULL' in found.findings[0].remedy


def test_partitions_are_never_changed():
    """Another number of partitions is a warning and no step, since keys would move."""
    found = plan(replace(OPS, partitions=3))
    assert [step.place for step in found.steps] == ["Connect"]
    assert codes(found) == [("warn", "partitions")]


@pytest.mark.parametrize(
    ("declared", "there", "actions"),
    [
        ("running", "RUNNING", []),
        ("running", "PAUSED", ["resume"]),
        ("running", "STOPPED", ["resume"]),
        ("running", "FAILED", ["restart"]),
        ("running", "UNASSIGNED", []),
        ("paused", "PAUSED", []),
        ("paused", "RUNNING", ["pause"]),
        ("paused", "STOPPED", ["pause"]),
        ("stopped", "STOPPED", []),
        ("stopped", "PAUSED", ["stop"]),
        ("stopped", "FAILED", ["stop", "restart"]),
    ],
)
def test_declared_state(declared, there, actions):
    """What differs between the declared and the actual state is a step, shown with both."""
    found = plan(replace(OPS, state=declared), state=ConnectorState(there, ()))
    assert [step.action for step in found.steps] == actions
    assert all(f'~ state  "{there}" -> "{declared.upper()}"' in render_plan(found) for _ in actions[:1])


def test_declared_to_stand():
    """A failed task is no matter where the connector is to stand; a new connector's plan says the state before all options."""
    failed = ConnectorState("PAUSED", (TaskState(0, "FAILED", "trace"),))
    assert plan(replace(OPS, state="paused"), state=failed).steps == ()
    made = plan(replace(OPS, state="paused"), config=None, state=None)
    assert '+ state  "PAUSED"' in render_plan(made)
    assert "state" not in made.steps[-1].values
    assert "+ state" not in render_plan(plan(config=None, state=None), whole=True)


def test_breaking_change():
    """A change of the records' form is refused until it is allowed, and shown with an exclamation mark."""
    found = plan(replace(OPS, options={"decimal.handling.mode": "double"}))
    assert '"string" -> "double"  (! records are written differently' in render_plan(found)
    with pytest.raises(PreconditionFailed, match="--allow-breaking"):
        refuse_plan(found, "ops")
    refuse_plan(found, "ops", allow_breaking=True)


@pytest.mark.parametrize(
    ("option", "effect"),
    [
        ("decimal.handling.mode", "values"),
        ("value.converter.schemas.enable", "values"),
        ("slot.name", "identity"),
        ("snapshot.mode", "offsets"),
        ("max.batch.size", "restart"),
    ],
)
def test_effect(option, effect):
    """The effect of changing an option is known."""
    assert find_effect(option)[0] == effect


def test_secret_in_plain_text():
    """A password that stands in plain text is replaced by its reference, and never shown; an adopted one stays, with a warning."""
    plain = {**CONFIG, "database.password": "hush"}
    shown = render_plan(plan(config=plain))
    assert '"(plain text, hidden)" -> "${env:PW}"' in shown
    names = Adopted("shop.ops", "shop.ops", "shop_ops", "shop_ops")
    options = {name: value for name, value in CONFIG.items() if name not in ("connector.class", "topic.prefix", "slot.name",
               "publication.name") and not name.startswith("database.")}  # fmt: skip
    adopted = plan(replace(OPS, adopted=names, options=options), config=plain)
    assert (adopted.steps, codes(adopted)) == ((), [("warn", "secret")])
    assert "hush" not in shown + render_plan(adopted) + str(plan(config=plain).facts())


def test_conflicts():
    """Two declarations of one name are refused by name."""
    with pytest.raises(UsageError, match="ops and ops both declare the connector"):
        check_conflicts([OPS, replace(OPS, tables=("s.u",))], KAFKA)
    check_conflicts([OPS, replace(OPS, name="other")], KAFKA)


def test_sources(tmp_path, monkeypatch):
    """Connectors are read from files, from directories and from Python objects."""
    (tmp_path / "one.toml").write_text('[connector]\nname="one"\ndsn="postgresql://a@b/c"\ntables=["s.t"]\n', encoding="utf-8")
    code = 'from cdc.connect.declaration import Connector\ntwo = [Connector("two", "postgresql://a@b/c", ("s.t",))]\nthree = 3\n'
    (tmp_path / "declared_here.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert [each.name for each in read_sources([str(tmp_path), "declared_here:two"], KAFKA)] == ["one", "two"]
    for source, said in (
        ("declared_here:three", "holds a int"),
        ("declared_here:four", "four"),
        (str(tmp_path / "x.toml"), "can't be read"),
    ):
        with pytest.raises(UsageError, match=said):
            read_sources([source], KAFKA)
