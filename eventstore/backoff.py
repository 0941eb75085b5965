"""How long to wait before something is tried again."""

from __future__ import annotations

import random


def jitter_s(attempt: int, *, first: float = 0.002, most: float = 0.5) -> float:
    """Seconds to wait after failed *attempt* (from 1): up to *first*, doubled each time up to *most*, by chance between 0 and that.

    The chance matters: who collided once and waits equally long collides again.
    """
    return random.uniform(0, min(most, first * 2**attempt))  # noqa: S311
