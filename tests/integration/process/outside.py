"""A program that only calls the outside: a call is a line in the file that the environment names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from eventstore.process import Processes

CALLS = "PROCESS_TEST_CALLS"
app = Processes()


@app.caller("outside")
async def call(_: Mapping[str, Any], key: UUID) -> None:
    file = os.open(os.environ[CALLS], os.O_WRONLY | os.O_APPEND)
    os.write(file, f"{key}\n".encode())
    os.close(file)
