"""What Connect says of a connector, and why that alone proves nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class TaskState:
    """One task: RUNNING, PAUSED, FAILED, RESTARTING, UNASSIGNED; *trace* is its stack trace when it failed."""

    id: int
    state: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ConnectorState:
    """A connector and its tasks.

    RUNNING says that Connect started it: it stays so while the slot is lost or held by someone else, and even without tasks.
    """

    state: str
    tasks: tuple[TaskState, ...]
    trace: str = ""
    workers: tuple[str, ...] = ()

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Self:
        """Read the REST interface's status."""
        connector = answer["connector"]
        tasks = tuple(TaskState(int(task["id"]), task["state"], task.get("trace", "")) for task in answer["tasks"])
        workers = sorted({each["worker_id"] for each in (connector, *answer["tasks"]) if each.get("worker_id")})
        return cls(connector["state"], tasks, connector.get("trace", ""), tuple(workers))

    @property
    def is_running(self) -> bool:
        """Whether the connector, and at least one task, and all tasks run."""
        return self.state == "RUNNING" and bool(self.tasks) and all(task.state == "RUNNING" for task in self.tasks)

    @property
    def failure(self) -> str:
        """The stack trace of what failed, empty when nothing did."""
        if self.state == "FAILED":
            return self.trace or "the connector failed without a trace"
        return next((task.trace or "the task failed without a trace" for task in self.tasks if task.state == "FAILED"), "")

    def __str__(self) -> str:
        tasks = ", ".join(f"task {task.id} {task.state}" for task in self.tasks) or "no tasks"
        return f"{self.state}, {tasks}"


def find_offset(offsets: Sequence[Mapping[str, Any]], prefix: str) -> dict[str, Any]:
    """Give the source offset of the connector whose topics begin with *prefix*, empty when it has none."""
    for each in offsets:
        if each.get("partition") == {"server": prefix}:
            return dict(each.get("offset") or {})
    return {}
