"""The demo's child processes: started in groups of their own, ended with the demo, and found again after a demo that was killed.

Every child carries a mark in its environment and is written to a file before anything else happens; the next run ends whatever
of that file is still alive and still carries the mark, so a process id that was given to somebody else is never touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

MARK = "FLIGHTS_DEMO"
PATIENCE_S = 10.0


class ChildFailed(Exception):
    """A console program of the demo ended with an error; its last lines are in the message."""


class Children:
    """The processes of one run. Logs and the list of process ids are kept in *folder*."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.memory: dict[str, int] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._environment: dict[str, str] = {}

    def set_environment(self, environment: dict[str, str]) -> None:
        """Give the variables that every later child gets beside this process's own."""
        self._environment = environment

    def start(self, name: str, *command: str) -> None:
        """Start a program that runs until `stop`; its output goes to `<name>.log`."""
        with self._log(name) as log:
            self._running[name] = self._popen(command, log, log)
        self._write_list()

    async def run(self, name: str, *command: str, echo: bool = False) -> str:
        """Run a program to its end and give its standard output; with *echo* its progress is seen as it happens.

        Raises ChildFailed when it does not exit with 0.
        """
        with self._log(name) as log:
            process = self._running[name] = self._popen(command, subprocess.PIPE, None if echo else log)
        self._write_list()
        watcher = asyncio.create_task(self._watch_memory(name, process))
        try:
            out, _ = await asyncio.to_thread(process.communicate)
        finally:
            watcher.cancel()
            if process.poll() is None:
                self._end(process)
            self._running.pop(name, None)
            self._write_list()
        if process.returncode != 0:
            raise ChildFailed(
                f"`{' '.join(command)}` ended with {process.returncode}: {out.decode()[-500:]}{self.last_lines(name)}"
            )
        return out.decode()

    def check(self) -> None:
        """Raise ChildFailed if a program that should run has ended."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ChildFailed(f"{name} ended with {process.returncode}: {self.last_lines(name)}")
            self._note_memory(name, process)

    def stop(self, name: str) -> str:
        """Ask a program to end, wait for it, and give what it printed."""
        process = self._running.pop(name)
        self._note_memory(name, process)
        self._end(process)
        self._write_list()
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def stop_all(self) -> None:
        """End everything that is left, the last started first."""
        for name in reversed(list(self._running)):
            self.stop(name)

    def last_lines(self, name: str, count: int = 12) -> str:
        """Give the end of a program's log."""
        log = self.folder / f"{name}.log"
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-count:])

    def _popen(self, command: Sequence[str], out: IO[bytes] | int, err: IO[bytes] | None) -> subprocess.Popen[bytes]:
        programs = str(Path(sys.executable).parent)
        environment = {**os.environ, **self._environment, MARK: str(self.folder)}
        environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
        found = [sys.executable, *command[1:]] if command[0] == "python" else list(command)
        return subprocess.Popen(
            found, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, start_new_session=True
        )  # its own group: Ctrl-C reaches the demo, and the demo ends the others in order

    def _log(self, name: str) -> IO[bytes]:
        return (self.folder / f"{name}.log").open("wb")

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE_S)

    def _write_list(self) -> None:
        pids = "".join(f"{process.pid}\n" for process in self._running.values())
        (self.folder / "children").write_text(pids, encoding="utf-8")

    async def _watch_memory(self, name: str, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            self._note_memory(name, process)
            await asyncio.sleep(0.25)

    def _note_memory(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.memory[name] = max(self.memory.get(name, 0), peak_memory(process.pid))


def peak_memory(pid: int | str = "self") -> int:
    """Give a process's largest resident size in MB, 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def end_leftovers(folder: Path) -> int:
    """End what an earlier run in *folder* left running (it was killed) and give how many that were."""
    listed = folder / "children"
    pids = [int(line) for line in listed.read_text(encoding="utf-8").split()] if listed.exists() else []
    left = [pid for pid in pids if _is_ours(pid, folder)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, number)
        deadline = time.monotonic() + PATIENCE_S
        while any(_is_ours(pid, folder) for pid in left) and time.monotonic() < deadline:
            time.sleep(0.05)
    return len(left)


@contextlib.contextmanager
def held(folder: Path) -> Generator[None]:
    """Hold *folder* for this run. Raises ChildFailed when another demo is at work in it; the hold ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChildFailed(f"another demo is running in {folder}: wait for it or end it") from None
        yield


def _is_ours(pid: int, folder: Path) -> bool:
    with contextlib.suppress(OSError):
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        return f"{MARK}={folder}".encode() in environment.split(b"\0")
    return False
