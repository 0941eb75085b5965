"""Child processes that outlive the command which started them, and that are never mistaken for others.

Each server runs in a session of its own (Ctrl-C in the terminal does not reach it), writes to a kept log, and is recorded in a
pid file with its start time: a pid that was reused by another program has another start time and is left alone. The record
may be missing, because the command was killed between start and record; then the server is found by a marker in its
environment, so that no run ever leaves a process that the next one cannot end.
"""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import psutil

from compose.errors import StackError

MARKER = "REFOLD_STACK_CHILD"
PREPARING = ":preparing"
LOG_LIMIT = 16 << 20
# Started by this very process: kept so that the ended ones can be reaped, and so that none is collected while it runs.
_offspring: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Launch:
    """How to start one server."""

    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    user: str | None = None


class Surroundings(TypedDict):
    """What a child is started with beside its command."""

    cwd: Path
    env: dict[str, str]
    start_new_session: bool
    user: str | None
    group: int | None
    extra_groups: list[str] | None


class Child:
    """One server's process: started, found again by later commands, ended."""

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.log = state / "logs" / f"{name}.log"
        self._record = state / "run" / f"{name}.json"
        self._mark = f"{state}:{name}"

    def process(self) -> psutil.Process | None:
        """Return the running process, or None; adopts one whose record was lost."""
        found = self._recorded()
        if found is None and (strays := self._strays({self._mark})):
            found = strays[0]
            self._write(found)
        return found

    def start(self, launch: Launch) -> psutil.Process:
        """Start *launch* in its own session, with its output appended to the log; raises StackError if it cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        try:
            with self.log.open("ab") as log:
                popen = subprocess.Popen(
                    launch.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._surroundings(launch)
                )
        except OSError as error:
            raise StackError(f"{self.name} cannot be started: {error}. Command: {launch.command[0]}", server=self.name) from error
        _offspring[popen.pid] = popen
        process = psutil.Process(popen.pid)
        self._write(process)
        return process

    def run(self, launch: Launch, timeout_s: float) -> None:
        """Run a tool that prepares the server, to its end; raises StackError with what it printed when it fails."""
        try:
            done = subprocess.run(
                launch.command, capture_output=True, text=True, timeout=timeout_s, **self._surroundings(launch, PREPARING)
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackError(f"{self.name} cannot be prepared: {error}.", server=self.name) from error
        if done.returncode:
            raise StackError(
                f"{self.name} cannot be prepared: {launch.command[0]} ended with {done.returncode}: "
                f"{done.stderr.strip() or done.stdout.strip()}",
                server=self.name,
            )

    def stop(self, polite: signal.Signals, grace_s: float) -> bool:
        """End the process and all that it started: *polite* first, SIGKILL after *grace_s* seconds. False = nothing ran."""
        process = self.process()
        if process is not None:
            family = _family(process)
            with suppress(psutil.NoSuchProcess):
                process.send_signal(polite)
                process.send_signal(signal.SIGCONT)
            _, alive = psutil.wait_procs([process], timeout=grace_s)
            _kill([*alive, *family])
        self.sweep()
        return process is not None

    def sweep(self, data: Path | None = None) -> None:
        """Kill what an earlier run left behind, by marker or (PostgreSQL's backends) by working in *data*; forget the record."""
        _kill(self._strays({self._mark, self._mark + PREPARING}, data))
        self._record.unlink(missing_ok=True)

    def tail(self, lines: int = 12) -> str:
        """Return the last *lines* of the log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 16_384))
                return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    def _surroundings(self, launch: Launch, marked: str = "") -> Surroundings:
        """Compose the arguments of Popen that tools and servers share; the marker is how a later run finds both."""
        return {
            "cwd": launch.directory,
            "env": {**os.environ, **launch.environment, MARKER: self._mark + marked},
            "start_new_session": True,
            "user": launch.user,
            "group": None if launch.user is None else pwd.getpwnam(launch.user).pw_gid,
            "extra_groups": None if launch.user is None else [],
        }

    def _recorded(self) -> psutil.Process | None:
        try:
            record = json.loads(self._record.read_text("utf-8"))
            process = psutil.Process(record["pid"])
            same = abs(process.create_time() - record["started"]) < 2.0
        except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
            return None
        return process if same and _runs(process) else None

    def _write(self, process: psutil.Process) -> None:
        self._record.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._record.with_suffix(".new")
        fresh.write_text(json.dumps({"pid": process.pid, "started": process.create_time()}), "utf-8")
        fresh.replace(self._record)

    def _strays(self, marks: set[str], data: Path | None = None) -> list[psutil.Process]:
        """Find processes that carry one of *marks*, or work in *data*; the eldest first."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                marked = process.environ().get(MARKER) in marks
                if _runs(process) and (marked or (data is not None and process.cwd() == str(data))):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())


def _runs(process: psutil.Process) -> bool:
    """Say whether *process* is more than a zombie, reaping it when it is ours."""
    own = _offspring.get(process.pid)
    if own is not None and own.poll() is not None:
        del _offspring[process.pid]
        return False
    with suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _family(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
    for pid in [pid for pid, popen in _offspring.items() if popen.poll() is not None]:
        del _offspring[pid]
