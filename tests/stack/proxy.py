"""A TCP proxy that goes wrong on command: between a client under test and a real server.

Faults hold for connections that exist and for new ones, from the next bytes on, until `heal()`. For Kafka note that a client
leaves the proxy after its first request, to the address that the broker advertises: start a broker with
`kafka_options={"advertised.listeners": ...}` naming the proxy's port, or a proxy in front of PostgreSQL or Connect only.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from enum import Enum
from typing import Self

CHUNK = 65_536


class Fault(Enum):
    """What is wrong with the network."""

    NONE = "bytes pass"
    BLACKHOLE = "bytes of both sides are held back; connections stay open"
    DROP_REPLIES = "requests arrive, what the server answers is thrown away"
    REFUSE = "new connections are reset at once"


class Proxy:
    """Listens on a port of its own and passes bytes to one server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._fault = Fault.NONE
        self._delay_s = 0.0
        self._rate = 0
        self._abandoned: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._sessions: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.accepted = 0
        self.dropped_bytes = 0

    async def start(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self

    async def stop(self) -> None:
        """Reset every connection and listen no more."""
        self._server.close()
        self.reset()
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def address(self) -> str:
        """Where clients connect to, as host:port."""
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    def break_by(self, fault: Fault) -> None:
        """Let *fault* rule from the next bytes on."""
        self._fault = fault
        (self._flowing.clear if fault is Fault.BLACKHOLE else self._flowing.set)()

    def delay(self, seconds: float) -> None:
        """Hold every chunk of either direction for *seconds*; 0 = no delay."""
        self._delay_s = seconds

    def limit(self, bytes_per_s: int) -> None:
        """Pass so many bytes a second of each connection and direction; 0 = all."""
        self._rate = bytes_per_s

    def abandon(self) -> None:
        """Pass nothing more over the connections that exist, and never tell either side; new ones work: the half-open socket."""
        self._abandoned |= self._writers

    def reset(self) -> None:
        """Cut every connection with a TCP reset, as a crashed machine or a firewall does."""
        for writer in self._writers:
            raw: socket.socket | None = writer.get_extra_info("socket")
            if raw is not None:
                with suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    def heal(self) -> None:
        """Pass bytes again, without delay; what was held back arrives now. What was abandoned stays so."""
        self._delay_s = 0.0
        self._rate = 0
        self.break_by(Fault.NONE)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions.add(session)
        self._writers.add(writer)
        self.accepted += 1
        try:
            if self._fault is not Fault.REFUSE:
                await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            self._sessions.discard(session)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, upward = await asyncio.open_connection(*self._target)
        self._writers.add(upward)
        ways = [
            asyncio.ensure_future(self._pump(reader, upward, is_reply=False)),
            asyncio.ensure_future(self._pump(upstream, writer, is_reply=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._writers.discard(upward)
            self._abandoned -= {writer, upward}
            upward.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        while chunk := await reader.read(CHUNK):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if self._rate:
                await asyncio.sleep(len(chunk) / self._rate)
            await self._flowing.wait()
            if writer in self._abandoned:
                self.dropped_bytes += len(chunk)
                continue
            if is_reply and self._fault is Fault.DROP_REPLIES:
                self.dropped_bytes += len(chunk)
                continue
            writer.write(chunk)
            await writer.drain()
