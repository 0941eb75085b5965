"""A web app on a real port of this machine, for tests that speak HTTP to it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn

from tests.stack.waiting import eventually


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the ASGI *app* by uvicorn on a free port and give a client of it that keeps cookies."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", http="h11", timeout_graceful_shutdown=5))
        serving = asyncio.create_task(server.serve(sockets=[listener]))

        async def is_up() -> bool:
            return server.started or serving.done()

        try:
            await eventually(is_up, "the web app listens", 60)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            await serving
