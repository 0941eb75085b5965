"""The whole way of an event with every process under a login of its own, in PostgreSQL and in Kafka, over TLS."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.postgres import PostgresEventStore, checkout, open_engine
from eventstore.settings import KafkaSettings, PostgresSettings
from projections.serving import ReadModels
from replay.operator import operating
from tests.bank.events import MoneyMoved
from tests.bank.release1 import app, bank
from tests.bank.runs import ended, hear, name_app
from tests.integration.security.wires import PROJECTOR, RELAY, Wires, make_users
from tests.stack.databases import Databases

ROOT = Path(__file__).resolve().parents[3]
PREFIX = "whole"
COLUMNS = bank.balance.table.c


class Company:
    """Starts processes, each with the login of its duty and nothing else."""

    def __init__(self, wires: Wires, dsn: str) -> None:
        self._wires = wires
        self._dsn = dsn
        self.secrets = {name: uuid.uuid4().hex for name in ("writer", "relay", "projector", "operator", "reader")}
        self._shared = {
            "REFOLD_POSTGRES_SSLMODE": "verify-full",
            "REFOLD_POSTGRES_SSLROOTCERT": str(wires.authority.file),
            "REFOLD_POSTGRES_CHANNEL_BINDING": "require",
            "REFOLD_KAFKA_BOOTSTRAP": f"localhost:{wires.login_port}",
            "REFOLD_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "REFOLD_KAFKA_SSL_CA_FILE": str(wires.authority.file),
            "REFOLD_KAFKA_TOPIC_PREFIX": PREFIX,
            "REFOLD_KAFKA_PARTITIONS": "2",
            "REFOLD_PROJECTIONS_APP": name_app(1),
            "REFOLD_PROJECTIONS_LOOK_S": "0.05",
            "REFOLD_PROJECTIONS_POLL_S": "0.05",
        }

    def hire(self) -> None:
        """Make the logins in PostgreSQL; the operator is a second projector."""
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            for name, secret in self.secrets.items():
                duty = "projector" if name == "operator" else name
                connection.execute(f"CREATE ROLE w_{name} LOGIN PASSWORD '{secret}' IN ROLE refold_{duty}")
            connection.execute("ALTER ROLE w_reader SET default_transaction_read_only = on")

    def dsn(self, name: str) -> str:
        parts = urlsplit(self._dsn)
        return urlunsplit(parts._replace(netloc=f"w_{name}:{self.secrets[name]}@localhost:{parts.port}"))

    def settings(self, name: str) -> PostgresSettings:
        return PostgresSettings(
            dsn=SecretStr(self.dsn(name)),
            sslmode="verify-full",
            sslrootcert=self._wires.authority.file,
            channel_binding="require",
        )

    def start(self, name: str, module: str, *argv: str) -> subprocess.Popen[str]:
        """Start a console program under the login *name*."""
        own = {
            "REFOLD_POSTGRES_DSN": self.dsn(name),
            "REFOLD_KAFKA_SASL_USERNAME": f"w-{name}",
            "REFOLD_KAFKA_SASL_PASSWORD": self.secrets[name],
            "PYTHONPATH": str(ROOT),
        }
        program = f"import sys; from {module}.cli import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", program, *argv],
            env={**os.environ, **self._shared, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    async def run(self, name: str, module: str, *argv: str) -> tuple[int, str]:
        """Run a console program to its end, and give its exit code and what it printed."""
        child = self.start(name, module, *argv)
        async with ended(child):
            out, _ = await asyncio.to_thread(child.communicate, timeout=120)
            return child.returncode, out


@pytest.fixture
def database(wires: Wires) -> Iterator[str]:
    """A migrated database on the server that wants TLS."""
    with Databases(wires.dsn) as databases:
        name = f"test_{uuid.uuid4().hex[:12]}"
        dsn = databases.create(name)
        program = "import sys; from eventstore.cli import main; sys.exit(main(['migrate']))"
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "REFOLD_POSTGRES_DSN": dsn}, check=True)
        yield dsn
        databases.drop(name)


@pytest.fixture
async def company(wires: Wires, database: str) -> AsyncIterator[Company]:
    company = Company(wires, database)
    company.hire()
    users = {f"w-{name}": company.secrets[name] for name in ("relay", "projector", "operator")}
    rights = {"w-relay": RELAY, "w-projector": PROJECTOR, "w-operator": PROJECTOR}
    await make_users(wires, users, rights, PREFIX)
    yield company
    with psycopg.connect(database, autocommit=True) as connection:
        for name in company.secrets:
            connection.execute(f"DROP OWNED BY w_{name}")  # type: ignore[arg-type]
            connection.execute(f"DROP ROLE w_{name}")  # type: ignore[arg-type]


@pytest.fixture
async def reader(company: Company) -> AsyncIterator[AsyncEngine]:
    """What a web app reads through."""
    engine = open_engine(company.settings("reader"))
    yield engine
    await engine.dispose()


async def test_whole_way(company: Company, reader: AsyncEngine) -> None:
    """Append, relay, fold, rebuild, swap, roll back, drop and read work with the least rights, whoever of the projectors does it."""
    assert (await company.run("relay", "eventstore", "relay", "--drain"))[0] == 0  # makes the topic
    relay, worker = company.start("relay", "eventstore", "relay"), company.start("projector", "projections", "run")
    models = ReadModels(reader, app, kafka=KafkaSettings(topic_prefix=PREFIX, partitions=2))

    async def balance(account: str) -> int | None:
        async with models.session() as session:
            return await session.scalar(sa.select(COLUMNS.cents).where(COLUMNS.account == account))

    async with ended(relay, worker), PostgresEventStore.open(company.settings("writer")) as store:
        token = await store.append("a", [MoneyMoved("a", 5, "deposit")])
        await hear(worker, "feeding (live)", 60)
        await models.wait_for(token, bank.projection, timeout_s=60)
        assert await balance("a") == 5
        code, out = await company.run("operator", "replay", "--projection", "bank", "--from-beginning")
        assert code == 0, out
        token = await store.append("a", [MoneyMoved("a", 7, "deposit")])
        await models.wait_for(token, bank.projection, timeout_s=60)
        assert await balance("a") == 12
        for argv in (("rollback",), ("swap", "--to", "2"), ("gc", "--force")):
            code, out = await company.run("operator", "replay", *argv, "--projection", "bank")
            assert code == 0, out
            assert await balance("a") == 12
        assert "retired" in out, "the first generation, which the worker made, is dropped"
        async with checkout(reader) as connection:
            assert await (await connection.execute("SELECT cents FROM bank.balance")).fetchall() == [(12,)]
        for child in (relay, worker):
            child.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(child.wait, 60) == 0


async def test_wrong_login(company: Company, reader: AsyncEngine) -> None:
    """A process that was given another one's login is told so, and does no harm."""
    code, out = await company.run("reader", "eventstore", "append", "a", "x", "{}")
    assert code != 0, out
    assert "permission denied" in out
    holder = open_engine(company.settings("projector"))
    async with operating(holder, "bank"):
        code, out = await company.run("operator", "replay", "--projection", "bank", "--from-beginning")
        assert (code, "is being replayed" in out) == (5, True), out
    await holder.dispose()
    code, out = await company.run("projector", "eventstore", "relay", "--drain")
    assert code == 3, out
    assert "Authorization failed" in out or "does not allow" in out
    async with checkout(reader) as connection:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await connection.execute("UPDATE projections.pointer SET generation = NULL")
        await connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await connection.execute("UPDATE projections.pointer SET generation = NULL")
