"""One turn of a process, pure: events and timeouts in, states and tasks out. Who runs it does the reading, waiting and committing.

A turn is a whole batch. Within it the later word on a timer wins, a completed instance takes nothing more, and every task's id
follows from what it is wanted for, so a batch that is done again wants the very same tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from eventstore.envelope import RawEvent
from eventstore.errors import UsageError
from eventstore.identity import derive_id
from eventstore.process.effect import Call, Cancel, Complete, Record, Schedule, Send
from eventstore.process.process import Process
from eventstore.task import Kind, Task, name_command, name_event


class Stimulus(NamedTuple):
    """What an instance reacts to: an event, or a timeout when *timer* is set. *id* and *moment* are those of its record."""

    id: UUID
    instance: str
    message: Any
    moment: datetime
    metadata: Mapping[str, Any]
    timer: str | None = None


@dataclass(slots=True)
class Instance:
    """One instance's state, and whether it is over."""

    state: Any
    completed: bool = False


@dataclass(slots=True)
class Turn:
    """What a batch amounts to: *touched* instances, *tasks* to write down, *timers* by (instance, name): the newest or None."""

    process: Process[Any, Any]
    instances: dict[str, Instance]
    touched: set[str] = field(default_factory=set[str])
    tasks: list[Task] = field(default_factory=list[Task])
    timers: dict[tuple[str, str], Task | None] = field(default_factory=dict[tuple[str, str], Task | None])

    def take(self, stimulus: Stimulus) -> None:
        """React to *stimulus*, then let the state evolve. Raises what the process raises; then the turn is spoilt."""
        name = stimulus.instance
        instance = self.instances.setdefault(name, Instance(self.process.initial(name)))
        if instance.completed or (stimulus.timer is not None and (name, stimulus.timer) in self.timers):
            return
        self.touched.add(name)
        effects = list(self.process.react(instance.state, stimulus.message))
        instance.state = self.process.evolve(instance.state, stimulus.message)
        for number, effect in enumerate(effects):
            self._want(stimulus, number, effect)

    def ended(self) -> list[str]:
        """Give the instances that this turn completed or found completed."""
        return sorted(name for name in self.touched if self.instances[name].completed)

    def _want(self, stimulus: Stimulus, number: int, effect: object) -> None:
        name = stimulus.instance
        if isinstance(effect, Complete):
            self.instances[name].completed = True
            self.timers = {key: None if key[0] == name else timer for key, timer in self.timers.items()}
        elif isinstance(effect, Cancel):
            self.timers[name, effect.name] = None
        elif isinstance(effect, Schedule):
            over = self.instances[name].completed
            self.timers[name, effect.name] = None if over else self._make(stimulus, number, effect)
        elif isinstance(effect, (Send, Record, Call)):
            self.tasks.append(self._make(stimulus, number, effect))
        else:
            raise UsageError(
                f"process {self.process.name!r} gave {effect!r}: react gives Send, Record, Schedule, Cancel, Complete or Call"
            )

    def _make(self, stimulus: Stimulus, number: int, effect: Send | Record | Schedule | Call) -> Task:
        kind, raw = _FORMS[type(effect)](effect)
        return Task(
            id=derive_id(stimulus.id, self.process.name, stimulus.instance, number),
            kind=kind,
            name=raw.type,
            data=raw.data,
            schema_version=raw.version,
            lane=effect.stream if isinstance(effect, (Send, Record)) else None,
            due=(effect.at if isinstance(effect, Schedule) else None) or stimulus.moment,
            **({} if isinstance(effect, Call) else {"after": effect.after}),
            process=self.process.name,
            instance=stimulus.instance,
            timer=effect.name if isinstance(effect, Schedule) else None,
            cause=stimulus.id,
            metadata=_told(stimulus),
            repeatable=not (isinstance(effect, Call) and effect.at_most_once),
        )


_FORMS: dict[type, Callable[[Any], tuple[Kind, RawEvent]]] = {
    Send: lambda effect: (Kind.COMMAND, name_command(effect.command)),
    Record: lambda effect: (Kind.EVENT, name_event(effect.event)),
    Schedule: lambda effect: (Kind.TIMEOUT, name_command(effect.timeout)),
    Call: lambda effect: (Kind.CALL, RawEvent(effect.name, effect.data)),
}


def _told(stimulus: Stimulus) -> dict[str, Any]:
    """Give what a task tells of where it comes from: its cause, and the story that the cause belongs to."""
    return {
        "causationid": str(stimulus.id),
        "correlationid": str(stimulus.metadata.get("correlationid", stimulus.id)),
    }
