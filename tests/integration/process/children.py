"""Running the fulfilment example as a program of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RUN = "import sys; from eventstore.cli import main; sys.exit(main(sys.argv[1:]))"


@asynccontextmanager
async def child(*arguments: str, dsn: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `eventstore processes run --app …`, and see that it is gone in the end."""
    chosen = {
        "REFOLD_POSTGRES_DSN": dsn,
        "REFOLD_PROCESS_LEASE_S": "1",
        "REFOLD_PROCESS_RETRY_S": "0.05",
        "FULFILMENT_PATIENCE_S": "86400",
        **environment,
    }
    command = ["processes", "run", "--app", "examples.fulfilment.fulfilment:app", *arguments]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        *command,
        cwd=ROOT,
        env={**os.environ, **chosen},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
