"""A `refold` command line with a state directory of its own for each test."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from compose.process import MARKER
from compose.stack import Stack
from compose.state import VARIABLES
from tests.stack.plugin import own_settings


class Refold:
    """Runs `refold` as a person would, below one directory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.directory = home / "state"
        self.environment = {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
        self.environment |= {"REFOLD_STACK_DIR": str(self.directory)}

    def begin(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command and return it."""
        return subprocess.Popen(
            [sys.executable, "-m", "compose.cli", *arguments, "--json"],
            cwd=Path(__file__).parents[3],
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, code: int = 0, **environment: str) -> dict[str, Any]:
        """Run a command, insist on its exit code, and return the JSON that it ended with."""
        with self.begin(*arguments, **environment) as command:
            out, err = command.communicate(timeout=200)
        assert command.returncode == code, (command.returncode, out, err)
        return json.loads((out or err).splitlines()[-1])

    def pids(self) -> dict[str, int]:
        """Name the pid of every server, as `status` tells it."""
        return {row["server"]: row["pid"] for row in self.run_status()["servers"] if row["pid"]}

    def run_status(self) -> dict[str, Any]:
        """Return what `status` says, whatever its exit code."""
        with self.begin("status") as command:
            return json.loads(command.communicate(timeout=60)[0])

    def left(self) -> list[int]:
        """List the processes that belong to this directory."""
        found: list[int] = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except (psutil.Error, OSError):
                continue
            if str(self.directory) in environment.get(MARKER, "") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        return found


@pytest.fixture
def refold(tmp_path: Path) -> Iterator[Refold]:
    refold = Refold(tmp_path)
    yield refold
    Stack(own_settings(refold.directory)).down(wipe=True)
    assert refold.left() == []


def kill(pid: int) -> None:
    """End a process as a crash does."""
    os.kill(pid, signal.SIGKILL)
