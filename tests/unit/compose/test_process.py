"""Child processes: found again, ended with all they started, and never mistaken for others."""

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from compose.errors import StackError
from compose.process import Child, Launch
from tests.stack.waiting import until

QUIET = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {QUIET}"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {QUIET!r}]); {QUIET}"


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child("quiet", tmp_path)
    yield child
    child.stop(signal.SIGKILL, 5)


def start(child: Child, tmp_path: Path, program: str = QUIET) -> psutil.Process:
    process = child.start(Launch((sys.executable, "-c", program), tmp_path))
    until(lambda: "ready" in child.tail(), "the child says that it is ready")
    return process


def test_found_again(child: Child, tmp_path: Path) -> None:
    """Another command finds the process by its record and ends it; ending again finds nothing."""
    started = start(child, tmp_path)
    again = Child("quiet", tmp_path)
    assert again.process() == started
    assert again.stop(signal.SIGTERM, 5)
    assert not again.stop(signal.SIGTERM, 5)
    assert not psutil.pid_exists(started.pid)


def test_found_without_record(child: Child, tmp_path: Path) -> None:
    """A process whose record was never written, because the command that started it was killed, is found by its marker."""
    started = start(child, tmp_path)
    (tmp_path / "run" / "quiet.json").unlink()
    assert Child("quiet", tmp_path).process() == started


def test_recycled_pid_is_left_alone(child: Child, tmp_path: Path) -> None:
    """A record whose pid now belongs to a program with another start time is no record of ours."""
    other = psutil.Process()
    (tmp_path / "run").mkdir()
    record = {"pid": other.pid, "started": other.create_time() - 3600}
    (tmp_path / "run" / "quiet.json").write_text(json.dumps(record), "utf-8")
    assert child.process() is None
    assert not child.stop(signal.SIGKILL, 5)


def test_stubborn_is_killed(child: Child, tmp_path: Path) -> None:
    """One that ignores the polite signal is killed after the grace."""
    started = start(child, tmp_path, STUBBORN)
    assert child.stop(signal.SIGTERM, 0.2)
    assert not psutil.pid_exists(started.pid)


def test_stopped_is_ended(child: Child, tmp_path: Path) -> None:
    """One that was halted by SIGSTOP still ends politely."""
    started = start(child, tmp_path)
    started.suspend()
    assert child.stop(signal.SIGTERM, 5)
    assert not psutil.pid_exists(started.pid)


def test_family_is_ended(child: Child, tmp_path: Path) -> None:
    """What the process itself started does not outlive it."""
    started = start(child, tmp_path, PARENT)
    (offspring,) = until(started.children, "the child has a child")
    child.stop(signal.SIGTERM, 5)
    until(lambda: not offspring.is_running() or offspring.status() == psutil.STATUS_ZOMBIE, "the grandchild has ended")


def test_killed_is_gone(child: Child, tmp_path: Path) -> None:
    """A process that was killed from outside counts as gone at once, though its parent has not waited for it."""
    start(child, tmp_path).kill()
    until(lambda: child.process() is None, "the killed child is gone")


def test_missing_program(child: Child, tmp_path: Path) -> None:
    """A program that cannot be run is reported with the server's name and the program."""
    with pytest.raises(StackError, match=r"quiet cannot be started.*no-such-program"):
        child.start(Launch(("no-such-program",), tmp_path))


def test_failing_tool(child: Child, tmp_path: Path) -> None:
    """A preparing tool that fails is reported with its exit code and its own words."""
    tool = Launch((sys.executable, "-c", "import sys; sys.exit('disk full')"), tmp_path)
    with pytest.raises(StackError, match=r"quiet cannot be prepared.*ended with 1: disk full"):
        child.run(tool, 30)


def test_long_log_is_moved_aside(child: Child, tmp_path: Path) -> None:
    """A log beyond its limit is kept under another name, and the new start begins a new one."""
    child.log.parent.mkdir()
    with child.log.open("wb") as log:
        log.truncate(17 << 20)
    start(child, tmp_path)
    assert child.log.stat().st_size < 100
    assert child.log.with_suffix(".log.1").stat().st_size == 17 << 20
