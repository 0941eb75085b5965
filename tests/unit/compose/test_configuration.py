"""What the servers are told: settings in, configuration files out."""

from pathlib import Path

import pytest

from compose import connect, jvm, kafka, postgres
from compose.settings import StackSettings

HOME = Path("/data")


def test_every_setting_explains_itself() -> None:
    """Each setting says what it means and names its environment twin."""
    for name, field in StackSettings.model_fields.items():
        twin = field.validation_alias.choices[-1] if field.validation_alias else f"REFOLD_STACK_{name.upper()}"
        assert field.description is not None
        assert f"Env {twin}." in field.description, name


def test_environment_and_keyword(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyword beats the environment, and the environment beats the default."""
    monkeypatch.setenv("REFOLD_STACK_KAFKA_HEAP_MB", "300")
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", "postgresql://ada:secret@db/refold")
    settings = StackSettings(kafka_port=7000)
    assert (settings.kafka_heap_mb, settings.connect_heap_mb, settings.kafka_port) == (300, 512, 7000)
    assert "secret" not in repr(settings)
    assert StackSettings(kafka_heap_mb=400, postgres_dsn=None).kafka_heap_mb == 400


def test_postgres_is_durable_and_logical() -> None:
    """Durability is never traded for speed, decoding is logical, and only the loopback is listened on."""
    options = postgres.configure(StackSettings(), 5432)
    assert (options["fsync"], options["synchronous_commit"], options["wal_level"]) == ("on", "on", "logical")
    assert (options["listen_addresses"], options["unix_socket_directories"]) == ("127.0.0.1", "")


def test_values_are_quoted() -> None:
    """A quote in postgresql.conf and a backslash in a properties file arrive as they were given."""
    assert "application_name = 'it''s'" in postgres.render({"application_name": "it's"})
    assert "log.dirs=C:\\\\data" in jvm.render({"log.dirs": "C:\\data"})


def test_own_options_win() -> None:
    """What the user gives as an option replaces ours in each of the three files."""
    settings = StackSettings(
        postgres_options={"fsync": "off"}, kafka_options={"log.retention.ms": "1"}, connect_options={"group.id": "mine"}
    )
    assert postgres.configure(settings, 1)["fsync"] == "off"
    assert kafka.configure(settings, HOME, 1, 2)["log.retention.ms"] == "1"
    assert connect.configure(settings, "b:1", "/plugins", 3)["group.id"] == "mine"


def test_kafka_keeps_history() -> None:
    """Nothing expires by default, no topic is made by a typing error, and the addresses are those of the ports given."""
    options = kafka.configure(StackSettings(), HOME, 7001, 7002)
    assert (options["log.retention.ms"], options["log.retention.bytes"], options["auto.create.topics.enable"]) == (
        "-1",
        "-1",
        "false",
    )
    assert options["listeners"] == options["advertised.listeners"] == "PLAINTEXT://127.0.0.1:7001,CONTROLLER://127.0.0.1:7002"


def test_connect_is_exactly_once() -> None:
    """The worker supports exactly-once sources, reads secrets from files, and serves REST on the loopback."""
    options = connect.configure(StackSettings(), "127.0.0.1:7001", "/plugins", 7003)
    assert options["exactly.once.source.support"] == "enabled"
    assert options["config.providers"] == "env,file,dir"
    assert options["listeners"] == "http://127.0.0.1:7003"
