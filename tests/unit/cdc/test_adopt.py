"""Adopting and exporting: what is written says exactly what was there, and no secret."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cdc.adopt import Found, write_declaration
from cdc.connect.config import PLUGIN, build_config, find_names
from cdc.connect.declaration import read_connector
from cdc.connect.scope import list_captured
from cdc.export import FORMS, hide_secrets
from cdc.plan.world import Topic
from eventstore.errors import PreconditionFailed
from eventstore.settings import KafkaSettings

KAFKA = KafkaSettings(topic_prefix="shop")
CONFIG = {
    "connector.class": PLUGIN, "tasks.max": "1", "database.hostname": "db", "database.user": "al ice", "database.dbname": "ops",
    "database.password": "hush", "topic.prefix": "legacy", "table.include.list": r"s\..*", "plugin.name": "pgoutput",
    "transforms": "o", "transforms.o.route.topic.replacement": "events.${routedByValue}", "odd.option": 'a "b" \\ c',
    "signal.kafka.consumer.sasl.jaas.config": "also hush",
}  # fmt: skip
TABLES = [{"name": "s.a", "identity": "f"}, {"name": "s.b", "identity": "d"}]
PUBLICATION = {"operations": ["insert"]}
FORM = {"cleanup.policy": "compact", "retention.ms": "5"}


def found(**changes):
    """Give a connector that somebody made."""
    topics = {"legacy.s.a": Topic(3, FORM), "legacy.s.b": Topic(3, FORM)}
    return Found("theirs", {**CONFIG, **changes}, ["s.a", "s.b", "x.c"], TABLES, PUBLICATION, topics)


def test_declaration_is_what_was_there(tmp_path):
    """The declaration gives back the same configuration, but for secrets, and the same names, tables, rights and topics."""
    written = write_declaration(found(), "mine")
    (tmp_path / "mine.toml").write_text(written.text, encoding="utf-8")
    connector = read_connector(tmp_path / "mine.toml")
    secrets = {"database.password": "${env:MINE_DATABASE_PASSWORD}", "signal.kafka.consumer.sasl.jaas.config":
               "${env:MINE_SIGNAL_KAFKA_CONSUMER_SASL_JAAS_CONFIG}"}  # fmt: skip
    assert build_config(connector, KAFKA) == {**CONFIG, **secrets}
    assert find_names(connector, KAFKA) == ("theirs", "legacy", "debezium", "dbz_publication")
    assert (connector.tables, connector.full, connector.publish) == (("s.a", "s.b"), ("s.a",), ("insert",))
    assert (connector.partitions, connector.retention_ms, connector.cleanup) == (3, 5, "compact")
    assert "hush" not in written.text


@pytest.mark.parametrize(
    ("state", "declared"), [("RUNNING", "running"), ("FAILED", "running"), ("PAUSED", "paused"), ("STOPPED", "stopped")]
)
def test_state_is_what_it_was(tmp_path, state, declared):
    """A connector that stands is declared so, so that an apply does not set it going."""
    (tmp_path / "mine.toml").write_text(write_declaration(replace(found(), state=state), "mine").text, encoding="utf-8")
    assert read_connector(tmp_path / "mine.toml").state == declared


def test_given_names_stay(tmp_path):
    """A port, a slot and a publication that are said are said again, and a reference stays what it is."""
    given = {"database.port": "5433", "slot.name": "x", "publication.name": "y", "database.password": "${file:/p:k}"}
    (tmp_path / "mine.toml").write_text(write_declaration(found(**given), "mine").text, encoding="utf-8")
    config = build_config(read_connector(tmp_path / "mine.toml"), KAFKA)
    assert {name: config[name] for name in given} == given


def test_refused():
    """What is no Debezium connector for PostgreSQL, or captures nothing that exists, is not adopted."""
    with pytest.raises(PreconditionFailed, match="MySql"):
        write_declaration(found(**{"connector.class": "io.debezium.MySql"}), "mine")
    with pytest.raises(PreconditionFailed, match="nothing to adopt"):
        write_declaration(found(**{"table.include.list": "none"}), "mine")


@pytest.mark.parametrize("form", sorted(FORMS))
def test_export_hides_secrets(form):
    """No form of an export holds a secret, and every other option stands in it."""
    text = FORMS[form]("shop.ops", hide_secrets("ops", CONFIG))
    assert "hush" not in text
    assert all(option in text for option in CONFIG if option not in ("connector.class", "tasks.max"))
    assert PLUGIN in text


def test_export_json():
    """The JSON form is what Connect takes."""
    assert json.loads(FORMS["json"]("shop.ops", CONFIG)) == {"name": "shop.ops", "config": CONFIG}


@pytest.mark.parametrize(
    ("config", "tables"),
    [
        ({"table.include.list": r"s\.a,x.c"}, ["s.a", "x.c"]),
        ({"table.include.list": "S\\.A"}, ["S.A", "s.a"]),
        ({"table.include.list": r"s\.(a|b)"}, ["s.a", "s.b"]),
        ({"schema.include.list": "s"}, ["s.a", "s.b"]),
        ({"schema.exclude.list": "s"}, ["x.c"]),
        ({"table.exclude.list": r".*\.a"}, ["s.b", "x.c"]),
        ({"table.include.list": r"s\.absent"}, ["s.absent"]),
        ({"signal.data.collection": "x.c"}, ["s.a", "s.b"]),
        ({}, ["s.a", "s.b", "x.c"]),
    ],
)
def test_scope(config, tables):
    """Debezium's lists of regular expressions choose tables; one that is named literally is wanted even if it is absent."""
    assert list_captured(config, ["s.a", "s.b", "x.c", "pg_catalog.pg_class"]) == tables
