"""The command line, as far as it needs no server."""

import json
from pathlib import Path

import pytest

from compose import memory
from compose.cli import main, mask
from compose.errors import MemoryShort


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REFOLD_POSTGRES_DSN", "REFOLD_KAFKA_BOOTSTRAP", "REFOLD_CONNECT_URL"):
        monkeypatch.delenv(name, raising=False)


def test_unknown_server(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown server is a usage error that lists the known ones."""
    assert main(["up", "mysql"]) == 2
    assert "postgres, kafka, connect" in capsys.readouterr().err


def test_wrong_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is no port is a usage error that names the setting."""
    monkeypatch.setenv("REFOLD_STACK_KAFKA_PORT", "123456")
    assert main(["up", "--json"]) == 2
    message = json.loads(capsys.readouterr().err)
    assert message["error"] == "StackUsageError"
    assert "kafka_port" in message["message"]


def test_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    """No command at all is a usage error."""
    assert main([]) == 2
    assert "usage: refold" in capsys.readouterr().err


def test_nothing_up(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where nothing was ever started `status` exits 3 and says stopped three times, and `down` has nothing to do."""
    assert main(["status", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [row["condition"] for row in told["servers"]] == ["stopped"] * 3
    assert main(["down", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ended"] == []
    assert list(tmp_path.iterdir()) == []


def test_unreachable_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A given server that does not answer ends `up` with exit code 6 and its address."""
    monkeypatch.setenv("REFOLD_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    assert main(["up", "kafka"]) == 6
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_demo_outside_a_checkout(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the examples are absent the demo says where they are to be had."""
    monkeypatch.setattr("compose.front.DEMO", "examples.no_such_demo")
    assert main(["demo"]) == 3
    assert "Clone the repository" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["eventstore", "projections", "cdc", "replay"])
def test_front(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the other programs answers behind the front too."""
    assert main([program, "--help"]) == 0
    assert "usage:" in capsys.readouterr().out


def test_memory_short() -> None:
    """Too little memory is refused with what is needed, what there is, and what to lower."""
    with pytest.raises(MemoryShort, match=r"need about 99999999 MiB.*\d+ MiB are available.*REFOLD_STACK_KAFKA_HEAP_MB"):
        memory.require(99_999_999)


def test_passwords_are_masked() -> None:
    """What a person is shown has no password."""
    assert mask("postgresql://ada:secret@db:1/x") == "postgresql://ada:***@db:1/x"
    assert mask("127.0.0.1:9092") == "127.0.0.1:9092"
