"""`refold up`, `status` and `down` with PostgreSQL alone: what holds for one server holds for each."""

import os
import signal
import socket
from pathlib import Path

import psutil
import psycopg
import pytest

from compose import ports
from compose.errors import StackError, StackTimeout
from compose.identity import choose_identity
from compose.stack import Stack
from tests.integration.compose.conftest import Refold, kill
from tests.stack.plugin import own_settings
from tests.stack.waiting import until


def rows(dsn: str) -> list[tuple[int]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (x int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        return connection.execute("SELECT x FROM kept").fetchall()


def test_up_down_up(refold: Refold) -> None:
    """Data, password and port outlive `down`; `stack.env` does not."""
    first = refold.run("up", "postgres")
    rows(first["postgres"])
    env_file = refold.directory / "stack.env"
    assert first["postgres"] in env_file.read_text("utf-8")
    assert refold.run("down")["ended"] == ["postgres"]
    assert not env_file.exists()
    assert refold.left() == []
    assert refold.run("up", "postgres") == first
    assert rows(first["postgres"]) == [(1,), (1,)]


def test_up_twice(refold: Refold) -> None:
    """A second `up` keeps the process that runs; a second `down` has nothing to do and says so."""
    refold.run("up", "postgres")
    pids = refold.pids()
    refold.run("up", "postgres")
    assert refold.pids() == pids
    assert refold.run("status")["healthy"], "only what was asked for must run"
    refold.run("down")
    assert refold.run("down")["ended"] == []


def test_wipe(refold: Refold) -> None:
    """`down --wipe` leaves neither process nor file, and the next `up` begins with an empty database."""
    dsn = refold.run("up", "postgres")["postgres"]
    rows(dsn)
    refold.run("down", "--wipe")
    assert not refold.directory.exists()
    assert rows(refold.run("up", "postgres")["postgres"]) == [(1,)]


def test_server_killed(refold: Refold) -> None:
    """After `kill -9` of the server `status` exits 3 and says so, and `up` brings it back with its data."""
    dsn = refold.run("up", "postgres")["postgres"]
    with psycopg.connect(dsn):
        rows(dsn)
        kill(refold.pids()["postgres"])
        told = refold.run("status", code=3)
    assert [row["condition"] for row in told["servers"] if row["server"] == "postgres"] == ["stopped"]
    assert rows(refold.run("up", "postgres")["postgres"]) == [(1,), (1,)]


def test_up_killed(refold: Refold) -> None:
    """After `kill -9` of `up` itself the next one makes the server ready, and one `down` ends all there is."""
    with refold.begin("up", "postgres") as command:
        until(lambda: refold.left() or command.poll() is not None, "the first `up` has started something")
        command.kill()
    dsn = refold.run("up", "postgres")["postgres"]
    assert rows(dsn) == [(1,)]
    assert len(refold.left()) >= 1
    refold.run("down")
    assert refold.left() == []


def test_up_interrupted(refold: Refold) -> None:
    """SIGTERM to `up` ends what it has started and exits 130."""
    with refold.begin("up", "postgres", REFOLD_STACK_POSTGRES_OPTIONS='{"wal_level": "minimal"}') as command:
        until(lambda: refold.left() or command.poll() is not None, "`up` has started something")
        command.send_signal(signal.SIGTERM)
        command.communicate(timeout=60)
    assert command.returncode in {130, 1}
    assert refold.left() == []


def test_two_at_once(refold: Refold) -> None:
    """Of two `up` at once one waits for the other, and both end with the same server."""
    with refold.begin("up", "postgres") as one, refold.begin("up", "postgres") as two:
        answers = {command.communicate(timeout=120)[0] for command in (one, two)}
    assert (one.returncode, two.returncode, len(answers)) == (0, 0, 1)
    assert list(refold.pids()) == ["postgres"]


def test_held_directory(refold: Refold) -> None:
    """A directory that another command holds ends `up` with exit code 5 and the holder's pid."""
    with Stack(own_settings(refold.directory)).state.held(0):
        refused = refold.run("up", "postgres", code=5, REFOLD_STACK_LOCK_TIMEOUT_S="0.1")
    assert refused["pid"] == str(os.getpid())


def test_port_taken(refold: Refold) -> None:
    """A given port that another program holds ends `up` with exit code 3, naming port, setting and pid; nothing is left."""
    with socket.socket() as holder:
        holder.bind((ports.LOOPBACK, 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        refused = refold.run("up", "postgres", code=3, REFOLD_STACK_POSTGRES_PORT=port)
    for part in (port, "REFOLD_STACK_POSTGRES_PORT", f"pid {os.getpid()}"):
        assert part in refused["message"]
    assert refold.left() == []


def test_remembered_port_taken(refold: Refold) -> None:
    """A remembered port that another program took meanwhile is replaced by a free one."""
    before = refold.run("up", "postgres")["postgres"]
    refold.run("down")
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((ports.LOOPBACK, int(before.rsplit(":", 1)[1].split("/")[0])))
        holder.listen()
        assert refold.run("up", "postgres")["postgres"] != before


def test_other_port_while_running(refold: Refold) -> None:
    """Asking for another port while the server runs is refused with what to do."""
    refold.run("up", "postgres")
    refused = refold.run("up", "postgres", code=3, REFOLD_STACK_POSTGRES_PORT=str(ports.choose("other", set())))
    assert "refold down" in refused["message"]


def test_wrong_option(refold: Refold) -> None:
    """A server that ends while starting is reported with the end of its log, and nothing is left running."""
    refused = refold.run("up", "postgres", code=1, REFOLD_STACK_POSTGRES_OPTIONS='{"no_such_setting": "1"}')
    assert "no_such_setting" in refused["message"]
    assert refold.left() == []


def test_frozen_server(tmp_path: Path) -> None:
    """A server that is halted is `unhealthy`, `up` gives it up in time with exit code 4, and `down` still ends it."""
    stack = Stack(own_settings(tmp_path / "s", start_timeout_s=60))
    stack.up("postgres")
    process = stack.server("postgres").child.process()
    assert process is not None
    process.suspend()
    impatient = Stack(own_settings(tmp_path / "s", start_timeout_s=0.2))
    with pytest.raises(StackTimeout, match=str(process.pid)):
        impatient.up("postgres")
    assert impatient.status()[0].condition == "unhealthy"
    assert stack.down(wipe=True) == ("postgres",)
    assert not psutil.pid_exists(process.pid)


def test_given_server(refold: Refold, postgres_dsn: str) -> None:
    """A given server is checked and not started, and `down` does not touch it."""
    told = refold.run("up", "postgres", REFOLD_POSTGRES_DSN=postgres_dsn)
    assert told["postgres"] == postgres_dsn
    assert refold.left() == []
    refold.run("down", REFOLD_POSTGRES_DSN=postgres_dsn)
    assert rows(postgres_dsn) == [(1,)]


def test_own_address_is_not_given(refold: Refold) -> None:
    """Someone who has sourced `stack.env` still starts, sees and ends the own server."""
    dsn = refold.run("up", "postgres")["postgres"]
    assert refold.run("up", "postgres", REFOLD_POSTGRES_DSN=dsn)["postgres"] == dsn
    assert refold.run("down", REFOLD_POSTGRES_DSN=dsn)["ended"] == ["postgres"]
    assert refold.run("up", "postgres", REFOLD_POSTGRES_DSN=dsn)["postgres"] == dsn
    assert list(refold.pids()) == ["postgres"]


def test_without_namespaces(tmp_path: Path) -> None:
    """Root can drop to another user instead of using a namespace; that user's files are wiped too."""
    if os.geteuid() != 0:
        assert choose_identity("nobody").user is None
        return
    stack = Stack(own_settings(tmp_path / "s", postgres_user="nobody"))
    with stack.running("postgres", wipe=True) as servers:
        assert rows(servers.postgres_dsn) == [(1,)]
        process = stack.server("postgres").child.process()
        assert process is not None
        assert process.username() == "nobody"
        away = Path(process.cwd()).parent
    assert not away.exists()


def test_half_made_cluster(tmp_path: Path) -> None:
    """A cluster whose making was cut off is made anew."""
    (tmp_path / "s" / "postgres.new" / "base").mkdir(parents=True)
    with Stack(own_settings(tmp_path / "s")).running("postgres", wipe=True) as servers:
        assert rows(servers.postgres_dsn) == [(1,)]


def test_foreign_data(tmp_path: Path) -> None:
    """Data of another major version is refused by name and left as it is."""
    data = tmp_path / "s" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n", "ascii")
    with pytest.raises(StackError, match="made by PostgreSQL 16"):
        Stack(own_settings(tmp_path / "s")).up("postgres")
    assert (data / "PG_VERSION").exists()
