"""A plan: steps in the order in which they are done, and what speaks against doing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from cdc.finding import Finding

Place = Literal["PostgreSQL", "Kafka", "Connect"]
Action = Literal[
    "sql", "create-topic", "alter-topic", "create-connector", "put-config", "resume", "pause", "stop", "restart", "wait"
]
Effect = Literal["", "restart", "values", "identity", "offsets"]
"""What changing an option does: restart the task; write values differently from now on; read or write elsewhere; nothing until
the offsets are reset."""


class Change(NamedTuple):
    """One property, as it is and as it is to be; None = not set. *effect* is empty where there is none beside the change."""

    name: str
    old: str | None
    new: str | None
    reason: str = ""
    effect: Effect = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to add (+), change (~) or remove (-). *statement* is the SQL that does it, for `sql` steps.

    A `wait` step is done by the connector itself once it runs, such as making its slot; it is shown, and apply does nothing.
    """

    place: Place
    sign: Literal["+", "~", "-"]
    thing: str
    name: str
    action: Action
    reason: str
    changes: tuple[Change, ...] = ()
    statement: str = ""
    values: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """The whole configuration to write, of a topic or a connector."""
    partitions: int = 0

    @property
    def breaking(self) -> bool:
        """Whether readers of what was written before must know of it, so that nobody does it by accident."""
        return any(change.effect in ("values", "identity") for change in self.changes)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done for one connector."""

    connector: str
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps)

    @property
    def failures(self) -> Sequence[Finding]:
        """What stops an apply."""
        return [finding for finding in self.findings if finding.severity == "fail"]

    def count(self, sign: str) -> int:
        """Count the steps with this *sign*."""
        return sum(step.sign == sign for step in self.steps)

    def facts(self) -> dict[str, Any]:
        """Give all of it for `--json`."""
        return {
            "connector": self.connector,
            "pending": self.pending,
            "breaking": any(step.breaking for step in self.steps),
            "steps": [_tell(step) for step in self.steps],
            "findings": [finding._asdict() for finding in self.findings],
            "config": dict(self.config),
        }


def _tell(step: Step) -> dict[str, Any]:
    told = {**asdict(step), "changes": [change._asdict() for change in step.changes], "breaking": step.breaking}
    return {name: value for name, value in told.items() if value not in ("", {}, 0) or name == "breaking"}
