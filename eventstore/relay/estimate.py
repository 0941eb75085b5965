"""How many partitions an events topic needs: the one number that can never be changed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from eventstore.errors import UsageError

WRITE_RATE: Final = 50_000.0
"""Events a second that one relay puts into one partition (measured: ADR 0012; less on slower machines)."""
READ_RATE: Final = 10_000.0
"""Events a second that a projection worker is assumed to fold from one partition."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """For *target* events a second, with *write* and *read* events a second through one partition."""

    target: float
    write: float = WRITE_RATE
    read: float = READ_RATE

    def __post_init__(self) -> None:
        for name, value in (("target", self.target), ("write", self.write), ("read", self.read)):
            if not value > 0:
                raise UsageError(f"the {name} rate {value:g} must be above 0 events a second")

    @property
    def partitions(self) -> int:
        """N = max(target / write, target / read), rounded up, at least 1."""
        return max(1, math.ceil(max(self.target / self.write, self.target / self.read)))
