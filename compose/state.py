"""The state directory of one stack: who works on it, which ports it took, its password, and the `stack.env` of the others.

Everything the stack writes lies below this directory, so that deleting it is a clean end. Only its owner may enter it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from compose import ports
from compose.errors import StackHeld
from compose.settings import ServerName

VARIABLES: dict[ServerName, str] = {
    "postgres": "REFOLD_POSTGRES_DSN",
    "kafka": "REFOLD_KAFKA_BOOTSTRAP",
    "connect": "REFOLD_CONNECT_URL",
}
PORTS = ("postgres", "kafka", "controller", "connect")

OWNED = (
    *("postgres", "postgres.new", "kafka", "connect", "logs", "run"),
    *("kafka.properties", "connect.properties", "log4j2.properties"),
    *("state.json", "password", "stack.env", ".gitignore", "lock"),
)


class State:
    """Paths and remembered facts below one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.env_file = self.directory / "stack.env"
        self._facts = self.directory / "state.json"
        self._password = self.directory / "password"
        self._lock = self.directory / "lock"
        self._turn = threading.RLock()  # servers are prepared side by side

    def make(self) -> None:
        """Create the directory for its owner alone, unseen by git."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        ignore = self.directory / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")

    @contextmanager
    def held(self, timeout_s: float) -> Generator[None]:
        """Be the only `refold` command on this directory; raises StackHeld when another still is after *timeout_s* seconds."""
        deadline = time.monotonic() + timeout_s
        while (file := self._try_hold()) is None:
            if time.monotonic() >= deadline:
                pid = self._lock.read_text("utf-8").strip() or "unknown" if self._lock.exists() else "unknown"
                raise StackHeld(
                    f"{self.directory} is still held by another refold command (pid {pid}) after {timeout_s:g} s. "
                    "Wait until it ends, or end it.",
                    pid=pid,
                )
            time.sleep(0.05)
        with file:
            yield

    def wipe(self) -> None:
        """Delete what the stack wrote, and the directory unless someone else keeps things in it; only while `held`."""
        for entry in OWNED:
            path = self.directory / entry
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            self.directory.rmdir()

    def _try_hold(self) -> TextIO | None:
        """Lock the lock file if no one holds it, and write our pid into it; the lock ends with the file or the process."""
        try:
            self.make()
            file = self._lock.open("a+", encoding="utf-8")
        except FileNotFoundError:  # the holder wiped the directory meanwhile
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.fstat(file.fileno()).st_ino == self._lock.stat().st_ino  # else the former holder has wiped it
        except OSError:
            same = False
        if not same:
            file.close()
            return None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def recall(self, key: str) -> Any:
        """Return a remembered fact, or None."""
        try:
            return json.loads(self._facts.read_text("utf-8")).get(key)
        except (OSError, ValueError):
            return None

    def remember(self, **facts: Any) -> None:
        """Add *facts* to those remembered, atomically."""
        with self._turn:
            try:
                known = json.loads(self._facts.read_text("utf-8"))
            except (OSError, ValueError):
                known = {}
            write_private(self._facts, json.dumps({**known, **facts}, indent=1))

    def password(self) -> str:
        """Return the password of PostgreSQL's superuser, made once; the file is readable by its owner alone."""
        if not self._password.exists():
            write_private(self._password, secrets.token_urlsafe(24))
        return self._password.read_text("utf-8")

    def port(self, key: str) -> int:
        """Return the remembered port of *key*, 0 when none was ever taken."""
        return int(self.recall(f"port.{key}") or 0)

    def take_port(self, key: str, asked: int) -> int:
        """Take the port *asked* for, else the remembered one if it is still free, else a free one; and remember it."""
        with self._turn:
            others = {self.port(other) for other in PORTS if other != key}
            if asked:
                port = ports.claim(asked, f"REFOLD_STACK_{key.upper()}_PORT")
            elif (port := self.port(key)) == 0 or not ports.is_free(port):
                port = ports.choose(f"{self.directory}:{key}", others)
            self.remember(**{f"port.{key}": port})
            return port

    def publish(self, addresses: Mapping[ServerName, str]) -> None:
        """Write `stack.env`, from which the other programs learn the addresses."""
        lines = [f"{VARIABLES[server]}='{address}'" for server, address in addresses.items()]
        write_private(self.env_file, "# Written by `refold up`, removed by `refold down`.\n" + "\n".join(lines) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace *path* by *text* in one step, readable and writable by its owner alone."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
