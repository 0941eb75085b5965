"""The stack as a whole: `up` makes every server ready, `status` tells the truth, `down` leaves nothing running.

All three may be called at any time and again: `up` keeps what runs, starts what does not, and finds what an interrupted
command left behind. Commands on one directory exclude each other. A server whose address the user gave is checked, never
started or stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

from compose import memory, probe
from compose.connect import Connect
from compose.errors import ServerDown, ServerUnreachable, StackPrecondition
from compose.jars import Library, read_lock
from compose.kafka import Kafka
from compose.postgres import Postgres, find_psql
from compose.runtime import Java, find_java
from compose.server import Progress, Server, ServerStatus
from compose.settings import SERVERS, ServerName, StackSettings
from compose.state import State


@dataclass(frozen=True)
class Addresses:
    """Where the servers that are up can be reached; asking for one that is not raises ServerDown."""

    known: dict[ServerName, str] = field(default_factory=dict[ServerName, str])

    @property
    def postgres_dsn(self) -> str:
        """The libpq URI, with its password."""
        return self._of("postgres")

    @property
    def kafka_bootstrap(self) -> str:
        """Comma-separated host:port pairs."""
        return self._of("kafka")

    @property
    def connect_url(self) -> str:
        """The URL of Connect's REST API."""
        return self._of("connect")

    def _of(self, name: ServerName) -> str:
        if name not in self.known:
            raise ServerDown(f"{name} is not part of what was started: call up('{name}').", server=name)
        return self.known[name]


def be_silent(_: str) -> None:
    """Take progress and drop it."""


class Stack:
    """The servers below one state directory."""

    def __init__(self, settings: StackSettings | None = None, progress: Progress = be_silent) -> None:
        self.settings = settings or StackSettings()
        self.state = State(self.settings.dir)
        self.progress = progress

    @cached_property
    def java(self) -> Java:
        """The Java that runs Kafka and Connect."""
        return find_java(self.settings.java_home)

    @cached_property
    def library(self) -> Library:
        """The jars."""
        return Library(self.settings.cache, read_lock(), self.settings.maven_url)

    def server(self, name: ServerName) -> Server:
        """Return one server, for tests that start, signal or end it alone."""
        if name == "postgres":
            return Postgres(self.settings, self.state, self.progress)
        kind = Kafka if name == "kafka" else Connect
        return kind(self.settings, self.state, self.progress, lambda: self.java, self.library)

    def given(self) -> dict[ServerName, str]:
        """Return the addresses that the user gave, without those that are our own (someone may have sourced `stack.env`)."""
        dsn = self.settings.postgres_dsn.get_secret_value() if self.settings.postgres_dsn else None
        asked: dict[ServerName, str | None] = {
            "postgres": dsn,
            "kafka": self.settings.kafka_bootstrap,
            "connect": self.settings.connect_url,
        }
        own: dict[str, str] = self.state.recall("own") or {}
        return {name: address for name, address in asked.items() if address and own.get(name) != address}

    def up(self, *names: ServerName) -> Addresses:
        """Make *names* (default: all) ready, with what they need, and return every address that is known.

        Idempotent. Raises StackError's kinds; servers that this call started are ended again when it fails.
        """
        wanted: list[ServerName] = [
            name for name in SERVERS if not names or name in names or (name == "kafka" and "connect" in names)
        ]
        given = self.given()
        with self.state.held(self.settings.lock_timeout_s):
            for name in wanted:
                if name in given:
                    ask_given(name, given[name])
            ours: list[ServerName] = [name for name in wanted if name not in given]
            self.state.remember(wanted=sorted({*(self.state.recall("wanted") or ()), *ours}))
            self._start([self._checked(name) for name in ours])
            return self._publish(given)

    def status(self) -> tuple[ServerStatus, ...]:
        """Tell how every server is; nothing is started, waited for or changed."""
        given, wanted = self.given(), self.state.recall("wanted") or ()

        def tell(name: ServerName) -> ServerStatus:
            row = status_given(name, given[name]) if name in given else self.server(name).status()
            return replace(row, is_wanted=name in given or name in wanted)

        with ThreadPoolExecutor(len(SERVERS)) as pool:
            return tuple(pool.map(tell, SERVERS))

    def down(self, *, wipe: bool = False) -> tuple[ServerName, ...]:
        """End every server of this directory and return the names of those that ran; *wipe* deletes the data as well."""
        if not self.state.directory.exists():
            return ()
        with self.state.held(self.settings.lock_timeout_s):
            self.state.env_file.unlink(missing_ok=True)
            self.state.remember(wanted=[])
            ended = {"connect": self._end("connect")}
            with ThreadPoolExecutor(2) as pool:
                ended |= zip(("postgres", "kafka"), pool.map(self._end, ("postgres", "kafka")), strict=True)
            if wipe:
                self.server("postgres").wipe()
                self.state.wipe()
        return tuple(name for name in SERVERS if ended[name])

    @contextmanager
    def running(self, *names: ServerName, wipe: bool = False) -> Generator[Addresses]:
        """Have *names* up for the length of a `with` block."""
        try:
            yield self.up(*names)
        finally:
            self.down(wipe=wipe)

    def _checked(self, name: ServerName) -> Server:
        """Return the server, unless it runs on another port than the one asked for."""
        server, asked, have = self.server(name), self.settings.port(name), self.state.port(name)
        if asked and asked != have and server.child.process() is not None:
            raise StackPrecondition(
                f"{name} runs on port {have}, REFOLD_STACK_{name.upper()}_PORT asks for {asked}: run `refold down` first.",
                server=name,
            )
        return server

    def _start(self, servers: Sequence[Server]) -> None:
        """Start PostgreSQL and Kafka side by side, then Connect; end those that this call started when one fails."""
        new = [server for server in servers if server.child.process() is None]
        memory.require(self.settings.memory_needed_mb * len(new) // len(SERVERS) if new else 0)
        if any(server.name != "postgres" for server in new):
            self.library.fetch(self.progress)
        try:
            with ThreadPoolExecutor(len(SERVERS)) as pool:
                for _ in pool.map(Server.start, [server for server in servers if server.name != "connect"]):
                    pass
            for server in servers:
                if server.name == "connect":
                    server.start()
        except BaseException:
            for server in new:
                server.stop()
            raise

    def _end(self, name: ServerName) -> bool:
        return self.server(name).stop()

    def _publish(self, given: dict[ServerName, str]) -> Addresses:
        ours: list[ServerName] = [name for name in SERVERS if name not in given]
        own: dict[ServerName, str] = {}
        for server in map(self.server, ours):
            if server.child.process() is not None:
                own[server.name] = server.address
        known: dict[ServerName, str] = {**own, **given}
        self.state.remember(own=own)
        self.state.publish(known)
        return Addresses(known)


def ask_given(name: ServerName, address: str) -> probe.Answer:
    """Ask a server that the user named; raises ServerUnreachable."""
    questions: dict[ServerName, Callable[[], probe.Answer]] = {
        "postgres": lambda: probe.ask_postgres(address, find_psql()),
        "kafka": lambda: probe.ask_kafka(address),
        "connect": lambda: probe.ask_connect(address),
    }
    return questions[name]()


def status_given(name: ServerName, address: str) -> ServerStatus:
    """Tell how a server is that the user named."""
    shown = probe.masked(address) if name == "postgres" else address
    try:
        answer = ask_given(name, address)
    except ServerUnreachable as error:
        return ServerStatus(name, "given", False, shown, detail=str(error))
    return ServerStatus(name, "given", True, shown, answer.version, answer.detail)
