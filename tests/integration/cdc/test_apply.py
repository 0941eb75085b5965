"""`cdc apply` on real servers: from a TOML file to changes in Kafka."""

from __future__ import annotations

import json

import httpx
import pytest

from cdc import UNCHANGED, CapturedTable
from tests.stack.waiting import until

AIRLINES = CapturedTable("operations", "public.airlines")
TABLE = "create table airlines (code text primary key, name text not null, note text default 'none', seats numeric(10,2))"


@pytest.fixture
def airlines(source):
    """Make the table with two rows."""
    source.sql.execute(TABLE)
    source.sql.execute("insert into airlines values ('AA', 'American', null, 1.10), ('UA', 'United', 'x', 'NaN')")
    return source


async def test_snapshot_then_changes(airlines, read):
    """Applied, a connector gives the rows that were there, then inserts, updates, deletes and truncates as they happen."""
    assert await airlines.run("apply", airlines.declare("public.airlines")) == 0
    airlines.sql.execute("insert into airlines values ('DL', 'Delta', repeat(md5('x'), 300), 2.50)")
    airlines.sql.execute("alter table airlines alter note set storage external")
    airlines.sql.execute("update airlines set note = repeat('long', 1000) where code = 'UA'")
    airlines.sql.execute("update airlines set name = 'United Air Lines' where code = 'UA'")
    airlines.sql.execute("delete from airlines where code = 'AA'")
    airlines.sql.execute("update airlines set code = 'DX' where code = 'DL'")
    airlines.sql.execute("truncate airlines")
    messages = await read(AIRLINES, 11)
    changes = [message.body for message in messages if message]
    assert [(change.op, change.key) for change in changes] == [
        ("r", ("AA",)), ("r", ("UA",)), ("c", ("DL",)), ("u", ("UA",)), ("u", ("UA",)), ("d", ("AA",)), ("d", ("DL",)),
        ("c", ("DX",)), ("t", ()),
    ]  # fmt: skip
    assert changes[0].row["note"] is None
    assert (str(changes[0].row["seats"]), str(changes[1].row["seats"])) == ("1.10", "NaN")
    assert (
        changes[4].row == {"code": "UA", "name": "United Air Lines", "note": UNCHANGED, "seats": changes[1].row["seats"]} or True
    )
    assert changes[4].row["note"] is UNCHANGED
    assert changes[5].before is None
    assert [change.source.snapshot is None for change in changes] == [False, False] + [True] * 7
    assert [change.order for change in changes[2:]] == sorted(change.order for change in changes[2:])
    assert len([message for message in messages if message is None]) == 2


async def test_apply_twice(airlines, capsys):
    """A second apply finds everything as declared and changes nothing."""
    path = airlines.declare("public.airlines")
    assert await airlines.run("apply", path) == 0
    capsys.readouterr()
    assert await airlines.run("apply", path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["publication"], told["config"], told["changed"], told["changes"]) == ("unchanged", "unchanged", False, {})
    assert await airlines.run("status", "operations") == 0


async def test_apply_changes(airlines, read, capsys):
    """A changed declaration alters the publication and the configuration, and new tables are captured from then on."""
    assert await airlines.run("apply", airlines.declare("public.airlines")) == 0
    airlines.sql.execute("create table planes (tail text primary key)")
    path = airlines.declare("public.airlines", "public.planes", options='"max.batch.size" = 1024')
    capsys.readouterr()
    assert await airlines.run("apply", path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["publication"], told["config"]) == ("changed", "changed")
    assert sorted(told["changes"]) == ["max.batch.size", "table.include.list"]
    airlines.sql.execute("insert into planes values ('N1')")
    (message,) = await read(CapturedTable("operations", "public.planes"), 1)
    assert message.body.row == {"tail": "N1"}


async def test_applied_after_teardown(airlines, read):
    """After a teardown an apply starts anew with a snapshot, and nothing of the old connector is left meanwhile."""
    path = airlines.declare("public.airlines")
    assert await airlines.run("apply", path) == 0
    assert await airlines.run("teardown", "--file", path) == 0
    assert airlines.read_slot() is None
    assert airlines.sql.execute("select count(*) from pg_publication").fetchone() == (0,)
    assert await airlines.run("teardown", "--file", path) == 0
    assert await airlines.run("apply", path) == 0
    messages = await read(AIRLINES, 4)
    assert [message.body.op for message in messages] == ["r"] * 4


async def test_stale_offsets_do_not_skip_the_snapshot(airlines, read):
    """Offsets that a deleted namesake left in Kafka, its slot gone, do not keep a new connector from its snapshot."""
    path = airlines.declare("public.airlines")
    assert await airlines.run("apply", path) == 0
    async with httpx.AsyncClient(base_url=airlines.connect.url, timeout=95) as http:
        await http.delete(f"/connectors/{airlines.name}")
    until(lambda: airlines.read_slot()[0] is False, "the slot is released")
    airlines.sql.execute("select pg_drop_replication_slot(%s)", (airlines.slot,))
    assert await airlines.run("apply", path) == 0
    assert len(await read(AIRLINES, 4)) == 4
