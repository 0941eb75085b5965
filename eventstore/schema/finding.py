"""What a comparison or a trial has found against a type, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

ROOT = "(the whole event)"


@dataclass(frozen=True, slots=True)
class Break:
    """One way in which data of an old version can't be read.

    *path* names the field (`lines[].qty`), *old* and *new* what the schemas say of it (None = nothing). *proven* false = the
    two could not be compared and may fit all the same. *example* is data that fails, when a trial met it.
    """

    path: str
    old: str | None
    new: str | None
    why: str
    advice: str
    proven: bool = True
    example: Any = None

    def facts(self) -> dict[str, Any]:
        """Give it for `--json`."""
        facts = {"path": self.path or ROOT, "old": self.old, "new": self.new, "why": self.why, "advice": self.advice}
        return facts | ({} if self.example is None else {"example": self.example}) | ({} if self.proven else {"proven": False})
