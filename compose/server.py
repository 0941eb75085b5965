"""What all three servers have in common: prepared, started, waited for, ended, and truthful about how they are."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psutil

from compose import memory
from compose.errors import ServerUnreachable, StackError, StackTimeout
from compose.probe import Answer
from compose.process import Child, Launch
from compose.settings import ServerName, StackSettings
from compose.state import State

Progress = Callable[[str], None]
Condition = Literal["healthy", "unhealthy", "stopped", "given"]
POLL_S = 0.1


@dataclass(frozen=True)
class ServerStatus:
    """How one server is, as `refold status` shows it; wanted are those that the last `up` was asked for, and given ones."""

    server: ServerName
    condition: Condition
    is_healthy: bool
    address: str = ""
    version: str = ""
    detail: str = ""
    pid: int | None = None
    memory_mb: int | None = None
    log: str = ""
    is_wanted: bool = False

    def as_facts(self) -> dict[str, Any]:
        """Return the fields for `--json`."""
        return asdict(self)


class Server(ABC):
    """One server of the stack. Subclasses say how it is prepared and run, and how to tell that it is ready."""

    name: ServerName
    polite = signal.SIGTERM

    def __init__(self, settings: StackSettings, state: State, progress: Progress) -> None:
        self.settings = settings
        self.state = state
        self.progress = progress
        self.child = Child(self.name, state.directory)

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients find it (DSN, bootstrap, URL), with the remembered port."""

    @abstractmethod
    def prepare(self) -> Launch:
        """Take ports, write configuration and data where they are absent, and say how to start; may be called again."""

    @abstractmethod
    def ask(self) -> Answer:
        """Ask it for its version; raises ServerUnreachable while it is not ready."""

    def finish(self) -> None:  # noqa: B027
        """Do what can only be done once it answers; called after every start."""

    def start(self) -> None:
        """Start it unless it runs, and return when it is ready; raises StackTimeout, or StackError when it ends by itself."""
        begun = time.monotonic()
        process = self.child.process()
        if process is None:
            self.sweep()
            launch = self.prepare()
            process = self.child.start(launch)
        self._wait(process, begun + self.settings.start_timeout_s)
        self.finish()
        self.progress(f"{self.name} is ready after {time.monotonic() - begun:.1f} s")

    def stop(self) -> bool:
        """End it, and return whether it ran."""
        stopped = self.child.stop(self.polite, self.settings.stop_timeout_s)
        self.sweep()
        return stopped

    def sweep(self) -> None:
        """Kill what an earlier run of this server left behind."""
        self.child.sweep()

    def wipe(self) -> None:  # noqa: B027
        """Delete what lies outside the state directory."""

    def status(self) -> ServerStatus:
        """Tell how it is, by asking it."""
        process = self.child.process()
        log = str(self.child.log)
        if process is None:
            return ServerStatus(self.name, "stopped", False, detail="no process", log=log)
        used = memory.used_mb(process)
        try:
            answer = self.ask()
        except ServerUnreachable as error:
            return ServerStatus(self.name, "unhealthy", False, self.address, "", str(error), process.pid, used, log)
        return ServerStatus(self.name, "healthy", True, self.address, answer.version, answer.detail, process.pid, used, log)

    def _wait(self, process: psutil.Process, deadline: float) -> None:
        reason = "it was not asked"
        while time.monotonic() < deadline:
            if self.child.process() is None:
                raise StackError(
                    f"{self.name} ended by itself while starting. The end of {self.child.log}:\n{self.child.tail()}",
                    server=self.name,
                )
            try:
                self.ask()
            except ServerUnreachable as error:
                reason = str(error)
                time.sleep(POLL_S)
            else:
                return
        raise StackTimeout(
            f"{self.name} (pid {process.pid}) was not ready after {self.settings.start_timeout_s:g} s: {reason} "
            f"Look into {self.child.log}, or raise REFOLD_STACK_START_TIMEOUT_S.",
            server=self.name,
            pid=process.pid,
        )
