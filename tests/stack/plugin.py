"""Real servers as fixtures: `stack`, `postgres_dsn`, `kafka_bootstrap`, `connect_url`, `topic_prefix`, `proxy`.

A session starts only the servers that its tests ask for, when the first of them does. Three ways, by `--stack`:

- `own` (default): a stack of its own, emptied at the start, ended with the session; its logs stay in `.refold/test-N`;
- `keep`: the same, left running for the next session (end it by `REFOLD_STACK_DIR=.refold/test-kept refold down`);
- `given`: the servers named by REFOLD_POSTGRES_DSN, REFOLD_KAFKA_BOOTSTRAP and REFOLD_CONNECT_URL.

A server that is missing or does not start is an error of the test, never a skip. Several sessions may run in one checkout.
"""

import fcntl
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from compose.settings import SERVERS, StackSettings
from compose.stack import Stack
from compose.state import VARIABLES
from compose.versions import pinned
from tests.stack.databases import Databases
from tests.stack.proxy import Proxy
from tests.stack.waiting import PATIENCE_S


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--stack`."""
    parser.addoption("--stack", choices=("own", "keep", "given"), default="own", help="where real servers come from")


def pytest_configure() -> None:
    """Have the servers' Java compile simply, and swaps wait for a busy machine.

    Tests start many servers, for a few seconds each: that takes 4 instead of 6 s of processor time a broker.
    """
    os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
    os.environ.setdefault("REFOLD_REPLAY_SWAP_S", f"{PATIENCE_S:g}")


def pytest_report_header(config: pytest.Config) -> str:
    """Name the servers' versions in the header."""
    versions, way = pinned(), config.getoption("--stack")
    named = "" if way == "given" else f": PostgreSQL {versions.postgres}, Kafka {versions.kafka}, Debezium {versions.debezium}"
    return f"stack: {way}{named}"


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give the stack of this session; `stack.up("kafka")` makes a server ready, `stack.server("kafka").child` is its process."""
    way, root = pytestconfig.getoption("--stack"), pytestconfig.rootpath / ".refold"
    if way == "given":
        missing = [variable for variable in VARIABLES.values() if not os.environ.get(variable)]
        if missing:
            raise pytest.UsageError(f"--stack=given needs {', '.join(missing)} in the environment")
        yield Stack(StackSettings(dir=tmp_path_factory.mktemp("stack")), print)
        return
    if way == "keep":
        yield Stack(own_settings(root / "test-kept"), print)
        return
    root.mkdir(exist_ok=True)
    for number in range(1, 100):
        with (root / f"test-{number}.lock").open("w") as lock:
            if not _try_lock(lock.fileno()):
                continue
            own = Stack(own_settings(root / f"test-{number}"), print)
            own.down(wipe=True)
            yield own
            own.down()
            return
    raise pytest.UsageError(f"99 sessions hold the test directories of {root}: end some of them")


def own_settings(directory: Path, postgres_options: Mapping[str, str] | None = None, **settings: object) -> StackSettings:
    """Make settings for a stack in *directory* that ignore every server named by the environment.

    Its PostgreSQL does nothing by itself: whatever an autovacuum writes would hold back the readers of all databases meanwhile.
    """
    nothing = {"postgres_dsn": None, "kafka_bootstrap": None, "connect_url": None}
    options = {"autovacuum": "off", **(postgres_options or {})}
    return StackSettings(dir=directory, postgres_options=options, **{**nothing, **settings})


@pytest.fixture(scope="session")
def databases(stack: Stack) -> Iterator[Databases]:
    """Make and drop databases on the stack's PostgreSQL."""
    with Databases(stack.up("postgres").postgres_dsn) as databases:
        yield databases


@pytest.fixture(scope="session")
def postgres_template() -> str:
    """Name the database that each test's own one copies; a conftest may override it with `databases.make_template(...)`."""
    return "template1"


@pytest.fixture
def postgres_dsn(databases: Databases, postgres_template: str) -> Iterator[str]:
    """Give the DSN of a database that only this test has; dropped afterwards, with its replication slots."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield databases.create(name, postgres_template)
    databases.drop(name)


@pytest.fixture(scope="session")
def kafka_bootstrap(stack: Stack) -> str:
    """Give the address of the broker; keep to topics and groups that begin with `topic_prefix`."""
    return stack.up("kafka").kafka_bootstrap


@pytest.fixture(scope="session")
def connect_url(stack: Stack) -> str:
    """Give the URL of Kafka Connect; name connectors after `topic_prefix` and delete them at the end."""
    return stack.up(*SERVERS).connect_url


@pytest.fixture
def topic_prefix() -> str:
    """Make a prefix that no other test and no earlier session uses."""
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def proxy() -> AsyncIterator[Callable[[str, int], Awaitable[Proxy]]]:
    """Start a fault proxy at every call with the host and port of a server; all end with the test."""
    started: list[Proxy] = []

    async def start(host: str, port: int) -> Proxy:
        started.append(await Proxy(host, port).start())
        return started[-1]

    yield start
    for one in started:
        await one.stop()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
