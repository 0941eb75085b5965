"""The register of checks: a stable code, what it looks at, the danger, and the function that judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from cdc.doctor.facts import Facts

Severity = Literal["fail", "warn", "info"]


@dataclass(frozen=True, slots=True)
class Fix:
    """What `--fix` may do. *safe* says why: it only adds a right, a published table, time that records are kept, a heartbeat, a restart."""

    kind: Literal["sql", "config", "topic", "restart"]
    safe: str
    statement: str = ""
    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)


RESTART = Fix("restart", "nothing arrives now, so nothing can be lost by starting again")


class Trouble(NamedTuple):
    """What one check found."""

    severity: Severity
    fact: str
    remedy: str
    fix: Fix | None = None


Judge = Callable[[Facts], Iterable[Trouble]]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. *danger* is what happens when nobody looks."""

    code: str
    family: str
    title: str
    danger: str
    judge: Judge = field(repr=False)


class Diagnosis(NamedTuple):
    """A trouble, with the check that found it."""

    check: Check
    trouble: Trouble

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        fix = self.trouble.fix
        return {
            "code": self.check.code,
            "title": self.check.title,
            "severity": self.trouble.severity,
            "fact": self.trouble.fact,
            "danger": self.check.danger,
            "remedy": self.trouble.remedy,
            "fix": None if fix is None else asdict(fix),
        }

    def __str__(self) -> str:
        can = " (--fix does it)" if self.trouble.fix else ""
        lines = (
            f"{self.check.code} {self.trouble.severity}: {self.trouble.fact}",
            f"  danger: {self.check.danger}",
            f"  remedy: {self.trouble.remedy}{can}",
        )
        return "\n".join(lines)


CHECKS: dict[str, Check] = {}


def check(number: int, family: str, title: str, danger: str) -> Callable[[Judge], Judge]:
    """Register a function as the check of this *number*; a number is never given twice, nor to another check."""
    code = f"RF-CDC-{number:02}"

    def register(judge: Judge) -> Judge:
        if code in CHECKS:
            raise ValueError(f"two checks are called {code}")
        CHECKS[code] = Check(code, family, title, danger, judge)
        return judge

    return register
