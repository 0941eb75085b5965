"""One thing that is not as it must be, with what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """A check's outcome: *fail* stops an apply and makes a connector unhealthy, *warn* is told and goes on."""

    severity: Literal["fail", "warn"]
    code: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"
