"""A connector's declaration: what is read, and what is refused with which sentence."""

from __future__ import annotations

import pytest

from cdc.connect.config import build_config, compare_config, connector_name, server_name
from cdc.connect.declaration import Connector, read_connector
from cdc.connect.secret import resolve
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.settings import KafkaSettings

KAFKA = KafkaSettings(topic_prefix="shop")
GOOD = """
[connector]
name = "operations"
dsn = "postgresql://app@db:${CDC_TEST_PORT}/operations"
tables = ["public.airlines", "public.planes"]
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a TOML file and read it as a connector."""
    monkeypatch.setenv("CDC_TEST_PORT", "6543")

    def read(text):
        path = tmp_path / "connector.toml"
        path.write_text(text, encoding="utf-8")
        return read_connector(path)

    return read


def test_reads_file(write):
    """A file gives the connector, with variables replaced from the environment."""
    connector = write(GOOD + '[options]\n"snapshot.mode" = "no_data"\nsnapshot.fetch.size = 100\n')
    assert (connector.host, connector.port, connector.user, connector.database) == ("db", 6543, "app", "operations")
    assert connector.options == {"snapshot.mode": "no_data", "snapshot.fetch.size": "100"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("db:$", "db:$X$"), "is not TOML|postgresql://user@host"),
        (('name = "operations"', 'nmae = "operations"'), "'nmae' is not known here"),
        (('name = "operations"', 'name = "my name"'), "needs letters"),
        (("public.planes", "planes"), "'planes' is not schema.table"),
        (('"public.airlines", "public.planes"', ""), "captures no table"),
        (("app@", "app:pw@"), "password in dsn is given in plain text"),
        (("CDC_TEST_PORT", "CDC_TEST_ABSENT"), "CDC_TEST_ABSENT} is not set"),
        (("\ntables", '\npassword = "pw"\ntables'), "password is given in plain text"),
        (("\ntables", '\ndsn_env = "X"\ntables'), "either dsn or dsn_env"),
        (("\ntables", "\npartitions = 0\ntables"), "outside of 1 to 1000"),
        (("\ntables", '\nstate = "resting"\ntables'), "state = 'resting' is none of running, paused, stopped"),
        (("/operations", ""), "must read postgresql://user@host:port/database"),
    ],
)
def test_refuses(write, change, sentence):
    """A wrong declaration is refused with the file and the wrong part."""
    with pytest.raises(UsageError, match=sentence) as refused:
        write(GOOD.replace(*change))
    assert "connector.toml" in str(refused.value)
    assert "pw" not in str(refused.value).replace("password", "")


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ('"hearbeat.interval.ms" = 1', "did you mean heartbeat.interval.ms"),
        ('"column.exlude.list" = "s.t.c"', "did you mean column.exclude.list"),
        ('"notification.enabled.chanels" = "log"', "did you mean notification.enabled.channels"),
        ('"column.mask.with.x.chars" = "s.t.c"', "is not known"),
        ('"slot.name" = "mine"', "settled by"),
        ('"key.converter.replace.null.with.default" = true', "settled by"),
        ('"database.sslpassword" = "secret"', "database.sslpassword is given in plain text"),
        ('"value.converter.basic.auth.user.info" = "a:b"', "user.info is given in plain text"),
        ('"producer.override.ssl.keystore.key" = "BEGIN"', "keystore.key is given in plain text"),
    ],
)
def test_refuses_options(write, option, sentence):
    """An option that is misspelt, settled elsewhere, or a secret in plain text is refused."""
    with pytest.raises(UsageError, match=sentence):
        build_config(write(f"{GOOD}[options]\n{option}\n"), KAFKA)


@pytest.mark.parametrize(
    "option",
    [
        "offset.mismatch.strategy", "transforms.x.type", "producer.override.acks", "topic.creation.groups", "column.mask.with.12.chars",
        "column.mask.hash.v2.SHA-256.with.salt.pepper", "column.truncate.to.20.chars", "signal.kafka.topic", "signal.consumer.acks",
    ],
)  # fmt: skip
def test_knows_unlisted_options(option):
    """Options that the plugin's own list leaves out, and Connect's families, are known."""
    Connector("a", "postgresql://u@h/d", ("s.t",), options={option: "x"})


def test_config_loses_nothing(write):
    """The configuration has the lossless modes, owns slot and publication, and keeps topics for ever."""
    config = build_config(write(GOOD), KAFKA)
    expected = {
        "topic.prefix": "shop.operations",
        "slot.name": "shop_operations",
        "publication.name": "shop_operations",
        "publication.autocreate.mode": "disabled",
        "table.include.list": r"public\.airlines,public\.planes",
        "value.converter.replace.null.with.default": "false",
        "key.converter.replace.null.with.default": "false",
        "decimal.handling.mode": "string",
        "offset.mismatch.strategy": "trust_offset",
        "exactly.once.support": "required",
        "topic.creation.default.retention.ms": "-1",
        "topic.creation.default.cleanup.policy": "delete",
        "database.port": "6543",
    }
    assert {name: config.get(name) for name in expected} == expected
    assert "database.password" not in config


def test_password_file(write, tmp_path):
    """A password file becomes a reference for the worker, and is read here for our own SQL only."""
    (tmp_path / "pw").write_text("s p@ce", encoding="utf-8")
    connector = write(GOOD.replace("\ntables", '\npassword_file = "pw"\ntables'))
    assert build_config(connector, KAFKA)["database.password"] == f"${{dir:{tmp_path}:pw}}"
    assert connector.find_dsn() == "postgresql://app:s%20p%40ce@db:6543/operations"


def test_password_in_properties(write, tmp_path):
    """A key of a properties file becomes a file reference."""
    (tmp_path / "pw.properties").write_text("# ours\npassword = hush\n", encoding="utf-8")
    connector = write(GOOD.replace("\ntables", '\npassword_file = "pw.properties#password"\ntables'))
    assert connector.password == f"${{file:{tmp_path}/pw.properties:password}}"
    assert ":hush@" in connector.find_dsn()


def test_dsn_from_environment(write, monkeypatch):
    """A DSN with password may come from the environment if the worker gets a reference, and is never shown."""
    monkeypatch.setenv("CDC_TEST_DSN", "postgresql://app:hush@db/operations")
    text = GOOD.replace('dsn = "postgresql://app@db:${CDC_TEST_PORT}/operations"', 'dsn_env = "CDC_TEST_DSN"')
    with pytest.raises(UsageError, match="password_file"):
        write(text)
    connector = write(text.replace("\ntables", '\npassword = "${env:DB_PASSWORD}"\ntables'))
    assert connector.find_dsn() == "postgresql://app:hush@db/operations"
    assert "hush" not in repr(connector) + repr(build_config(connector, KAFKA))


def test_unresolvable_reference():
    """A reference that this machine can't resolve says what to do instead."""
    with pytest.raises(PreconditionFailed, match="REFOLD_CDC_DSN"):
        resolve("${dir:/no/such:file}")


def test_names():
    """Slot names are what PostgreSQL allows, and long ones stay different."""
    assert connector_name("Ops-1", KAFKA) == "shop.Ops-1"
    assert server_name("Ops-1", KAFKA) == "shop_ops_1"
    long = [server_name("x" * 80 + end, KAFKA) for end in "ab"]
    assert max(map(len, long)) <= 63
    assert long[0] != long[1]


def test_compare():
    """Comparing configurations names each difference and ignores the name."""
    assert compare_config({"name": "x", "a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "3"}) == {
        "b": ("1", "2"),
        "c": (None, "3"),
    }
