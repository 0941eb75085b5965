"""What an answer of Connect means: done, try again, or nobody knows. Pure, so that a table of cases can test it.

Connect answers 409 for four different things told apart by text only, leaks a rebalance as 500 on reads, and gives HTML while
it boots. After a time-out, or a 500 that says so, a write may have been carried out: its outcome must be read back.
"""

from __future__ import annotations

import random
from enum import Enum, auto

_MOMENTARY = ("rebalance", "conflicting operation", "stale configuration", "momentarily", "new set of task configs")
_UNKNOWN = ("request timed out", "io error trying to forward", "timed out while")


class Verdict(Enum):
    """What to do with an answer."""

    DONE = auto()
    AGAIN = auto()
    BOOTING = auto()
    UNKNOWN = auto()
    REFUSED = auto()


def judge(status: int, text: str, *, is_json: bool) -> Verdict:
    """Judge one answer by its status and message; *is_json* is whether the body was JSON (or empty)."""
    message = text.lower()
    if status < 300:
        return Verdict.DONE if is_json else Verdict.BOOTING
    if not is_json or status == 503:
        return Verdict.BOOTING if status in (404, 500, 502, 503, 504) else Verdict.REFUSED
    if status == 500 and any(words in message for words in _UNKNOWN):
        return Verdict.UNKNOWN
    if status in (409, 500) and "already exists" not in message and any(words in message for words in _MOMENTARY):
        return Verdict.AGAIN
    return Verdict.REFUSED


def backoff_s(attempt: int) -> float:
    """Give the seconds to wait before *attempt* (from 1) is repeated: from 0.25 doubling to 5, with jitter down to half."""
    ceiling = min(5.0, 0.25 * 2 ** (attempt - 1))
    return ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
