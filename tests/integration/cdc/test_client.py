"""The REST client where the network breaks between it and Connect."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from cdc.connect.client import ConnectClient
from cdc.connect.config import build_config
from cdc.connect.declaration import read_connector
from cdc.connect.settings import ConnectSettings
from eventstore.errors import PreconditionFailed, Unreachable
from tests.stack.proxy import Fault
from tests.stack.waiting import eventually


@pytest.fixture
def config(source):
    """Make a sound configuration."""
    source.sql.execute("create table t (id int primary key)")
    return build_config(read_connector(source.declare("public.t")), source.kafka)


@pytest.fixture
async def between(source, proxy):
    """Put a proxy before Connect and give it with a client that goes through it, quick to lose patience."""
    parts = urlsplit(source.connect.url)
    standing = await proxy(parts.hostname, parts.port)
    settings = ConnectSettings(url=f"http://{standing.address}", read_timeout_s=3, patience_s=60)
    async with ConnectClient(settings) as connect:
        yield standing, connect


async def test_lost_answer_of_create(source, config, between):
    """A create whose answer was lost is read back, and counts as done when the connector stands there as wanted."""
    proxy, connect = between
    proxy.break_by(Fault.DROP_REPLIES)
    creating = asyncio.create_task(connect.create(source.name, config, stopped=True))
    async with ConnectClient(source.connect) as direct:
        await eventually(lambda: direct.read_config(source.name), "the connector is created behind the proxy")
        proxy.heal()
        await creating
        assert (await direct.read_config(source.name))["slot.name"] == config["slot.name"]


async def test_create_beside_another(source, config, between):
    """A create meets an equal connector as success and another one as a refusal."""
    _, connect = between
    await connect.create(source.name, config, stopped=True)
    await connect.create(source.name, config, stopped=True)
    with pytest.raises(PreconditionFailed, match="another configuration"):
        await connect.create(source.name, {**config, "max.batch.size": "7"})


async def test_cut_connections_are_retried(source, config, between):
    """Requests on connections that were cut are sent again."""
    proxy, connect = between

    async def is_stopped():
        state = await connect.read_state(source.name)
        return state is not None and state.state == "STOPPED"

    await connect.create(source.name, config, stopped=True)
    await eventually(is_stopped, "the worker took the connector over")
    for _ in range(3):
        proxy.reset()
        await eventually(is_stopped, "the connector is seen as stopped through a cut connection")
        proxy.reset()
        await connect.put_config(source.name, config)


async def test_patience_ends(source, between):
    """A worker that never answers is unreachable once patience ends, and a refused connection is so at once."""
    proxy, _ = between
    impatient = ConnectSettings(url=f"http://{proxy.address}", read_timeout_s=0.3, patience_s=0.5)
    proxy.break_by(Fault.BLACKHOLE)
    async with ConnectClient(impatient) as connect:
        with pytest.raises(Unreachable, match=proxy.address):
            await connect.read_version()
    proxy.heal()
    async with ConnectClient(ConnectSettings(url="http://127.0.0.1:9")) as connect:
        with pytest.raises(Unreachable, match="REFOLD_CONNECT_URL"):
            await connect.read_version()
