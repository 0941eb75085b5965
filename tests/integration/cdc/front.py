"""A door before Connect that is opened late: what somebody else does in between is done for certain, and what a worker knows comes late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from cdc.connect.settings import ConnectSettings
from eventstore.codec import encode

Hook = Callable[[], Awaitable[object]]
_UNKNOWN = b'{"error_code":404,"message":"Connector not found"}'


class Front:
    """Passes requests on, one after the other; *settings* lead to it."""

    def __init__(self, behind: str) -> None:
        self.settings = ConnectSettings()
        self._http = httpx.AsyncClient(base_url=behind, timeout=95, trust_env=False)
        self._before: dict[tuple[str, str], Hook] = {}
        self._after: dict[tuple[str, str], Hook] = {}
        self._unseen: set[str] = set()
        self._late: dict[tuple[str, str], int] = {}

    def do_before(self, method: str, ending: str, hook: Hook) -> None:
        """Do *hook* once, before the first such request to a path that ends so is passed on."""
        self._before[method, ending] = hook

    def do_after(self, method: str, ending: str, hook: Hook) -> None:
        """Do *hook* once, when the first such request was carried out and before its answer is given."""
        self._after[method, ending] = hook

    def forget(self, name: str) -> None:
        """Leave the connector *name* out of lists with statuses, as Connect does with one that has none yet."""
        self._unseen.add(name)

    def hide(self, method: str, ending: str, times: int = 1) -> None:
        """Answer so many of these requests as a worker does that has not heard of the connector yet."""
        self._late[method, ending] = times

    @property
    def is_done(self) -> bool:
        """Whether all that was asked for has happened, without which a test would prove nothing."""
        return not self._before and not self._after and not any(self._late.values())

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, a request at a time, until the client closes it."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = lines[0].split(" ")
                status, content = await self._answer(method, path, body)
                writer.write(b"HTTP/1.1 %d -\r\nContent-Length: %d\r\n\r\n" % (status, len(content)) + content)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.transport.abort()

    async def aclose(self) -> None:
        """Pass nothing on any more."""
        await self._http.aclose()

    async def _answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        for key in [each for each in self._before if each[0] == method and path.endswith(each[1])]:
            await self._before.pop(key)()
        for key, times in self._late.items():
            if times and key[0] == method and path.endswith(key[1]):
                self._late[key] -= 1
                return 404, _UNKNOWN
        answer = await self._http.request(method, path, content=body, headers={"Content-Type": "application/json"})
        for key in [each for each in self._after if each[0] == method and path.endswith(each[1])]:
            await self._after.pop(key)()
        if self._unseen and "expand=status" in path:
            return answer.status_code, encode({name: told for name, told in answer.json().items() if name not in self._unseen})
        return answer.status_code, answer.content


@asynccontextmanager
async def open_front(behind: str) -> AsyncIterator[Front]:
    """Stand before the Connect at *behind*."""
    front = Front(behind)
    server = await asyncio.start_server(front.take, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    front.settings = ConnectSettings(url=f"http://{host}:{port}")
    try:
        yield front
    finally:
        server.close()
        await front.aclose()
