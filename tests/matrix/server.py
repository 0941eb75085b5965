"""A PostgreSQL that has xml, hstore, citext and ltree, which the wheel's has not; and psql."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose.postgres import find_psql
from compose.stack import Stack
from tests.integration.security.wires import TlsPostgres
from tests.stack.plugin import own_settings


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start the server below *folder*, give its DSN, and leave nothing."""
    settings = own_settings(folder / "stack", postgres_options={"fsync": "off"})
    stack = Stack(settings, print)
    stack.state.make()
    server = TlsPostgres(settings, stack.state, print)
    server.start()
    try:
        yield server.address
    finally:
        server.stop()
        server.wipe()
        stack.down(wipe=True)


def psql(dsn: str, *statements: str) -> None:
    """Run *statements* through psql."""
    program = find_psql()
    assert program is not None
    text = "SET timezone = 'UTC';\n" + ";\n".join(statements) + ";\n"
    command = [str(program), dsn, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
