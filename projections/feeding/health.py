"""`/livez` and `/readyz` over HTTP: true answers for whoever restarts processes or waits for them, and nothing else.

`/readyz` says 503 as soon as a worker has no partitions, has met an error, or something has not moved for `slow_s`; `/livez` only when
it has been so for `stuck_s`, since a restart costs a rebalance. Both carry the ages and the lag of every worker as JSON. A process whose
event loop is blocked answers nothing, which a prober counts as failed too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from eventstore.codec import encode
from eventstore.errors import PreconditionFailed
from projections.feeding.supervisor import Supervisor
from projections.settings import ProjectionSettings

PATIENCE_S = 5.0
"""Seconds that a client may take to say what it wants."""
Answer = tuple[bool, dict[str, Any]]


def judge_life(supervisor: Supervisor, settings: ProjectionSettings) -> Answer:
    """Say whether every worker has moved within `stuck_s`, and how each of them is."""
    return _judge(supervisor, settings.stuck_s, ready=False)


def judge_readiness(supervisor: Supervisor, settings: ProjectionSettings) -> Answer:
    """Say whether every generation of this release is being fed, without error and within `slow_s`."""
    return _judge(supervisor, settings.slow_s, ready=True)


def _judge(supervisor: Supervisor, limit_s: float, *, ready: bool) -> Answer:
    now = time.monotonic()
    complaints: list[str] = []
    if now - supervisor.looked > limit_s:
        complaints.append(f"the catalogue could not be read for {now - supervisor.looked:.0f} s")
    for worker in supervisor.workers:
        pulse = worker.pulse
        complaints += [f"{pulse.name}: {each}" for each in pulse.judge(now, limit_s)]
        complaints += [f"{pulse.name}: {each}" for each in pulse.judge_copies()] if ready else []
        if ready and pulse.error:
            complaints.append(f"{pulse.name}: {pulse.error}")
        elif ready and not pulse.is_open:
            complaints.append(f"{pulse.name}: no partitions yet")
    if ready and not supervisor.workers:
        complaints.append("no generation is fed by this release")
    return not complaints, {"complaints": complaints, "workers": [each.pulse.facts(now) for each in supervisor.workers]}


@asynccontextmanager
async def served(supervisor: Supervisor, settings: ProjectionSettings) -> AsyncGenerator[int]:
    """Serve both endpoints, and give the port. Raises PreconditionFailed when it is taken."""
    answers: dict[str, Callable[[], Answer]] = {
        "/livez": lambda: judge_life(supervisor, settings),
        "/readyz": lambda: judge_readiness(supervisor, settings),
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            method, path, *_ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
            writer.write(_respond(method, answers.get(path.partition("?")[0])))
            await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, settings.health_host, settings.health_port or 0)
    except OSError as error:
        raise PreconditionFailed(
            f"the health endpoints can't listen on {settings.health_host}:{settings.health_port}: {error.strerror}; choose another "
            "--health-port"
        ) from error
    async with server:
        yield server.sockets[0].getsockname()[1]


def _respond(method: str, answer: Callable[[], Answer] | None) -> bytes:
    if answer is None or method not in {"GET", "HEAD"}:
        status, body = ("404 Not Found", {"paths": ["/livez", "/readyz"]}) if answer is None else ("405 Method Not Allowed", {})
    else:
        good, facts = answer()
        status, body = ("200 OK" if good else "503 Service Unavailable"), {"ok": good, **facts}
    text = encode(body)
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nCache-Control: no-store\r\n"
    return (head + "Connection: close\r\n\r\n").encode() + (text if method != "HEAD" else b"")
