"""The fault proxy does what its faults are named after."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.stack.proxy import Fault, Proxy
from tests.stack.waiting import until

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def echo() -> AsyncIterator[tuple[int, bytearray]]:
    heard = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(100):
                heard.extend(chunk)
                writer.write(chunk)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heard
    server.close()
    await server.wait_closed()


@pytest.fixture
async def line(proxy, echo: tuple[int, bytearray]) -> AsyncIterator[tuple[Proxy, Connection]]:
    started = await proxy("127.0.0.1", echo[0])
    reader, writer = await asyncio.open_connection(started.host, started.port)
    yield started, (reader, writer)
    writer.transport.abort()


async def say(connection: Connection, text: bytes, patience_s: float = 5.0) -> bytes:
    connection[1].write(text)
    async with asyncio.timeout(patience_s):
        return await connection[0].readexactly(len(text))


async def test_passes(line: tuple[Proxy, Connection]) -> None:
    """Without a fault bytes arrive on both sides."""
    assert await say(line[1], b"hello") == b"hello"


async def test_delays(line: tuple[Proxy, Connection]) -> None:
    """A delay holds request and reply for its length each."""
    line[0].delay(0.1)
    begun = asyncio.get_running_loop().time()
    await say(line[1], b"hello")
    assert asyncio.get_running_loop().time() - begun >= 0.2


async def test_blackhole(line: tuple[Proxy, Connection], echo: tuple[int, bytearray]) -> None:
    """A black hole lets nothing through and closes nothing; healed, what was held back arrives."""
    line[0].break_by(Fault.BLACKHOLE)
    with pytest.raises(TimeoutError):
        await say(line[1], b"hello", 0.1)
    assert echo[1] == b""
    line[0].heal()
    assert await line[1][0].readexactly(5) == b"hello"


async def test_drops_replies(line: tuple[Proxy, Connection], echo: tuple[int, bytearray]) -> None:
    """With replies dropped the server has acted and the client does not know."""
    line[0].break_by(Fault.DROP_REPLIES)
    with pytest.raises(TimeoutError):
        await say(line[1], b"hello", 0.1)
    assert (echo[1], line[0].dropped_bytes) == (b"hello", 5)


async def test_resets(line: tuple[Proxy, Connection]) -> None:
    """A reset cuts what is connected; the next connection works."""
    await say(line[1], b"hello")
    line[0].reset()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await line[1][0].readexactly(1)
    again = await asyncio.open_connection(line[0].host, line[0].port)
    assert await say(again, b"again") == b"again"
    again[1].transport.abort()


async def test_refuses(line: tuple[Proxy, Connection]) -> None:
    """While it refuses, a new connection ends at once."""
    line[0].break_by(Fault.REFUSE)
    reader, writer = await asyncio.open_connection(line[0].host, line[0].port)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.transport.abort()


def test_waiting_names_what_it_waits_for() -> None:
    """A wait that ends in vain says for what."""
    with pytest.raises(TimeoutError, match=r"not within 0.01 s: the moon is blue"):
        until(lambda: False, "the moon is blue", 0.01)
