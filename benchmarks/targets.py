"""What is promised of a figure, and whether a run keeps it: the last lines that a benchmark prints."""

from collections.abc import Iterable
from typing import NamedTuple


class Target(NamedTuple):
    """A figure that a run came to, and what it may be at most."""

    name: str
    value: float
    most: float

    @property
    def is_met(self) -> bool:
        """True when the run keeps what is promised."""
        return self.value <= self.most

    def __str__(self) -> str:
        return f"{'met' if self.is_met else 'MISSED':<8}{self.name}: {self.value:.3g}, at most {self.most:g}"


def show(targets: Iterable[Target]) -> str:
    """Lay them out, a line each."""
    return "\n".join(map(str, targets))
