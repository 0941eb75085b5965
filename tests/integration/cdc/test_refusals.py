"""What `cdc` refuses, with which exit code, and that it changed nothing."""

from __future__ import annotations

import pytest

from cdc.connect.client import ConnectClient


@pytest.fixture
def table(source):
    """Make one sound table."""
    source.sql.execute("create table t (id int primary key)")
    return source


@pytest.mark.parametrize(
    ("tables", "options", "extra", "code", "sentence"),
    [
        (("public.t",), '"hearbeat.interval.ms" = "1"', "", 2, "did you mean heartbeat.interval.ms"),
        (("public.t",), '"snapshot.mode" = "sometimes"', "", 2, "snapshot.mode"),
        (("public.t",), '"database.sslpassword" = "hush"', "", 2, "plain text"),
        (("public.t", "public.absent"), "", "", 3, "public.absent does not exist"),
        (("public.keyless",), "", "", 3, "no primary key"),
        (("public.t",), "", 'worker_address = "127.0.0.1:1"', 2, "database.hostname"),
    ],
)
async def test_refused(table, capsys, tables, options, extra, code, sentence):
    """A wrong option, a missing or keyless table, an address the worker can't reach: refused by name, nothing changed."""
    table.sql.execute("create table keyless (id int)")
    assert await table.run("apply", table.declare(*tables, options=options, extra=extra)) == code
    assert sentence in capsys.readouterr().err
    async with ConnectClient(table.connect) as connect:
        assert await connect.read_config(table.name) is None
    assert table.sql.execute("select count(*) from pg_publication").fetchone() == (0,)


async def test_connect_unreachable(table, capsys, monkeypatch):
    """A Connect worker that does not answer is exit code 6 in every command."""
    monkeypatch.setenv("REFOLD_CONNECT_URL", "http://127.0.0.1:9")
    path = table.declare("public.t")
    for arguments in (("apply", path), ("status", "operations"), ("pause", "operations"), ("teardown", "operations")):
        assert await table.run(*arguments) == 6
        assert "REFOLD_CONNECT_URL" in capsys.readouterr().err


async def test_database_unreachable(table, capsys, monkeypatch):
    """A source database that does not answer is exit code 6."""
    monkeypatch.setenv("REFOLD_CDC_DSN", "postgresql://refold@127.0.0.1:9/x")
    assert await table.run("apply", table.declare("public.t")) == 6
    assert "source database" in capsys.readouterr().err


async def test_unknown_connector(table, capsys):
    """A connector that Connect does not know is a failed precondition, by name."""
    for command in ("status", "pause", "resume", "restart"):
        assert await table.run(command, "nobody") == 3
        assert f"{table.kafka.topic_prefix}.nobody" in capsys.readouterr().err
