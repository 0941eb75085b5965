"""Child processes in which the packages are loaded already: forked from one that did it once, which saves a second of import each.

They are real processes: they die by `kill -9`, sleep by SIGSTOP, and share nothing with the test but the pipe of what they print.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["eventstore.cli", "projections.cli", "projections.feeding.supervisor", "replay.cli", "replay.run"]
)


class Child:
    """A console program at work, with the face of `subprocess.Popen`; what it prints, errors too, comes by *stdout*."""

    def __init__(self, module: str, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        reading, writing = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(module, list(argv), dict(environment), writing), daemon=True)
        self._process.start()
        writing.close()
        self.args = [module, *argv]
        self.dsn = environment.get("REFOLD_POSTGRES_DSN", "")
        self.stdout = os.fdopen(os.dup(reading.fileno()), encoding="utf-8", errors="replace")
        reading.close()

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: its status, minus the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Give the same."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, None]:
        """Read all that it prints until it ends; after *timeout* seconds it is killed. Raises subprocess.TimeoutExpired then."""
        late = threading.Event()
        watchdog = threading.Timer(timeout, lambda: (late.set(), self.kill())) if timeout else None
        if watchdog:
            watchdog.start()
        said = "" if self.stdout.closed else self.stdout.read()
        self.stdout.close()
        self.wait()
        if watchdog:
            watchdog.cancel()
        if late.is_set():
            raise subprocess.TimeoutExpired(self.args, timeout or 0, said)
        return said, None

    def send_signal(self, number: int) -> None:
        """Signal it, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(module: str, argv: list[str], environment: dict[str, str], writing: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    for each in (1, 2):
        os.dup2(writing.fileno(), each)
    writing.close()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)
    sys.stdout, sys.stderr = (open(each, "w", encoding="utf-8", closefd=False) for each in (1, 2))  # noqa: SIM115 - our own two
    code = import_module(module).main(argv)
    sys.stdout.flush()
    os._exit(code)
