"""Waiting for a state instead of for a time: a condition, a deadline, and a sentence when the deadline passes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
STEP_S = 0.02
PATIENCE_S = 60.0
"""What a busy machine may take for anything; a shorter limit would only say how busy it is."""


def until(look: Callable[[], T], what: str, timeout_s: float = PATIENCE_S) -> T:
    """Return what *look* returns as soon as that is true; raises TimeoutError naming *what* after *timeout_s* seconds."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(STEP_S)
    return found


async def eventually(look: Callable[[], Awaitable[T]], what: str, timeout_s: float = PATIENCE_S) -> T:
    """Do the same for a condition that must be awaited."""
    deadline = time.monotonic() + timeout_s
    while not (found := await look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(STEP_S)
    return found
