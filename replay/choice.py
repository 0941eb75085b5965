"""What the operator chose for one replay, and what of it is a waiver that the audit keeps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator chose."""

    swap: bool = True
    accept_parked: bool = False
    accept_differences: bool = False
    grace_s: float = 900.0
    until: str | None = None
    archive: str | None = None
    store: bool = False
    """Events that the log no longer has are read from the event table."""
    processes: int = 1
    app: str | None = None
    """What `--app` named, so that other processes can load it."""

    @property
    def waivers(self) -> dict[str, Any]:
        """Give what was accepted beforehand, for the audit; nothing when nothing was."""
        given = (("parked records", self.accept_parked), ("differences", self.accept_differences))
        found = [name for name, accepted in given if accepted]
        return {"accepted": found} if found else {}
