"""Somebody else does something between a look and the deed, or a worker of the cluster hears of a connector a moment late."""

from __future__ import annotations

import pytest

from cdc import CapturedTable
from cdc.apply import apply_connector
from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import read_connector
from eventstore.errors import HeldElsewhere
from tests.integration.cdc.front import open_front

ROWS = CapturedTable("operations", "public.t")


@pytest.fixture
def declared(source):
    """Make a table with rows, and declare a connector on it."""
    source.sql.execute("create table t (id int primary key, name text)")
    source.sql.execute("insert into t select i, 'x' from generate_series(1, 3) i")
    return read_connector(source.declare("public.t"))


def make_slot(source):
    """Make the slot as a connector does that is about to take its snapshot: nobody reads it yet."""
    source.sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (source.slot,))


async def test_two_apply_at_once(source, declared):
    """Of two that make a connector at once one is refused, and leaves the slot alone that the other's snapshot goes by."""
    make_slot(source)

    async def overtake():
        async with ConnectClient(source.connect) as other:
            await other.create(source.name, build_config(declared, source.kafka), stopped=True)
        source.sql.execute("select pg_drop_replication_slot(%s)", (source.slot,))
        make_slot(source)

    async with open_front(source.connect.url) as front:
        front.do_before("POST", "/connectors", overtake)
        with pytest.raises(HeldElsewhere, match="someone else made"):
            await apply_connector(declared, kafka=source.kafka, settings=front.settings)
        assert front.is_done
    assert source.read_slot() is not None
    async with ConnectClient(source.connect) as connect:
        assert (await connect.read_state(source.name)).state == "STOPPED"


async def test_hears_late_of_a_new_connector(source, declared, read):
    """Offsets of a deleted namesake are deleted although the worker that is asked does not know the new connector at once."""
    async with ConnectClient(source.connect) as connect:
        await connect.create(source.name, build_config(declared, source.kafka), stopped=True)
        offset = {"lsn": 1, "lsn_proc": 1, "lsn_commit": 1, "messageType": "INSERT", "txId": 0, "ts_usec": 0}
        await connect.write_offsets(source.name, [{"partition": {"server": source.name}, "offset": offset}])
        assert await connect.delete(source.name)
    async with open_front(source.connect.url) as front:

        async def made():
            front.hide("GET", f"/{source.name}/config", 2)
            front.hide("DELETE", f"/{source.name}/offsets", 2)

        front.do_before("POST", "/connectors", made)
        await apply_connector(declared, kafka=source.kafka, settings=front.settings)
        assert front.is_done
    assert [message.body.key[0] for message in await read(ROWS, 3)] == [1, 2, 3]
