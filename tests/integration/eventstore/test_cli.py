"""The console program: one clear sentence for every mistake, and the documented exit codes."""

import json
from pathlib import Path

import pytest

from eventstore import KafkaSettings, PostgresSettings
from eventstore.cli import main
from eventstore.postgres.migrate import head
from tests.stack.databases import Databases

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: PostgresSettings) -> None:
    """Let the program find this test's database."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settings.dsn.get_secret_value())


def test_append_and_show(capsys: Capture) -> None:
    """What was appended is shown, for people and for programs, and the token of the same id is the same."""
    identity = "0190163d-8694-739b-aea5-966c26f8ad91"
    assert main(["append", "order-1", "order-placed", '{"total": 5}', "--expected", "none", "--id", identity]) == 0
    assert main(["append", "order-1", "order-placed", '{"total": 5}', "--id", identity]) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second
    assert main(["append", "order-1", "order-paid", "{}", "--expected", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 2
    assert main(["show", "order-1"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith('order-placed  {"total":5}')
    assert main(["show", "order-1", "--from", "2", "--json"]) == 0
    [shown] = json.loads(capsys.readouterr().out)
    assert (shown["type"], shown["version"]) == ("order-paid", 2)


def test_mistakes(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mistake has its exit code and a sentence on standard error; nothing is printed as a result."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"stream": "a", "type": "x", "data": {}}\n{"stream": "a", "type": "x"}\n')
    assert main(["append", "s", "x", "{}"]) == 0
    capsys.readouterr()
    for arguments, code, said in (
        (["append", "s", "x", "{}", "--expected", "7"], 1, "is at version 1, expected was version 7"),
        (["append", "s", "x", "{"], 2, "JSON: "),
        (["append", "s", "x", "[]"], 2, "give a JSON object"),
        (["append", "s", "x", "{}", "--expected", "soon"], 2, "--expected 'soon'"),
        (["append", "s", "x", "{}", "--id", "7"], 2, "is not a UUID"),
        (["append", "s", "x", "{}", "--tag", ""], 2, "tag ''"),
        (["append", "s", "x", "{}", "--app", "no.such.module"], 2, "--app no.such.module"),
        (["append", "s", "x", "{}", "--app", "eventstore"], 1, "not declared"),
        (["append", "", "x", "{}"], 2, "stream name"),
        (["import", str(tmp_path / "nothing")], 2, "is not a file"),
        (["import", str(lines)], 2, f"{lines}:2: 'data' is missing"),
        (["append"], 2, "usage: eventstore append"),
        ([], 2, "usage: eventstore"),
    ):
        assert main(arguments) == code, arguments
        captured = capsys.readouterr()
        assert said in captured.err
        assert captured.out == ""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", "postgresql://ann:s3cret@127.0.0.1:1/shop")
    assert main(["show", "s", "--json"]) == 6
    captured = capsys.readouterr()
    assert json.loads(captured.err)["error"] == "Unreachable"
    assert "s3cret" not in captured.err + captured.out


def test_silent_broker(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay without a broker ends with exit code 6 when it was asked to drain."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    assert main(["relay", "--drain"]) == 6
    assert "Kafka at 127.0.0.1:1 does not answer" in capsys.readouterr().err


def test_migrate(capsys: Capture, databases: Databases, monkeypatch: pytest.MonkeyPatch, topic_prefix: str) -> None:
    """A fresh database is refused with the command to run; after it the store works and migrating again changes nothing."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", databases.create(f"fresh_{topic_prefix}"))
    try:
        assert main(["show", "s"]) == 3
        assert "run `eventstore migrate`" in capsys.readouterr().err
        assert main(["migrate", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"before": None, "revision": head()}
        assert main(["migrate"]) == 0
        assert f"{head()} already" in capsys.readouterr().out
        assert main(["append", "s", "x", "{}"]) == 0
    finally:
        databases.drop(f"fresh_{topic_prefix}")


def test_import_and_relay(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kafka: KafkaSettings) -> None:
    """A file is imported once, however often it is asked for, and doctor finds nothing wrong."""
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"stream": "a", "type": "x", "data": {"n": 1}}\n\n{"stream": "b", "type": "x", "data": {}, "metadata": {"k": 1}}\n'
    )
    assert main(["import", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"recorded": 2, "known": 0}
    assert main(["import", str(path)]) == 0
    assert "recorded 0 events, 2 known already" in capsys.readouterr().out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["horizon"]["lag_s"] >= 0
    assert main(["doctor"]) == 0
    assert "ordered readers" in capsys.readouterr().out
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", kafka.bootstrap)
    monkeypatch.setenv("REFOLD_KAFKA_TOPIC_PREFIX", kafka.topic_prefix)
    assert main(["relay", "--drain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"] <= 2


def test_migration_script(capsys: Capture) -> None:
    """`migrate --sql` prints SQL and needs no server."""
    assert main(["migrate", "--sql"]) == 0
    script = capsys.readouterr().out
    assert script.index("CREATE SCHEMA IF NOT EXISTS eventstore") < script.index("CREATE TABLE eventstore.event (")
