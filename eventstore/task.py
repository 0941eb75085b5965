"""A task: something to be done at a time or as soon as possible, written down in the transaction that decided it.

Its id names it for ever: the event that it records has this id, the command that it gives carries it, so doing it twice is doing
it once. Times are the database's; a task says how long *after* a recorded moment it is due, never what a worker's clock shows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar, dataclass_transform
from uuid import UUID

from pydantic import BaseModel

from eventstore.envelope import RawEvent
from eventstore.errors import UsageError
from eventstore.event import Events, EventType, fields_of, registry
from eventstore.stream import check_moment

T = TypeVar("T")
commands = Events()
"""The registry that `@command` fills."""
NOW = timedelta(0)


@dataclass_transform(frozen_default=True)
def command(name: str, *, version: int = 1) -> Callable[[type[T]], type[T]]:
    """Declare a class as the command *name*, or as a timeout that a process sends itself: what may wait in the database.

    Like an event it may be a plain class with annotations, a dataclass, a pydantic model or a msgspec Struct.
    """

    def declare(python: type[T]) -> type[T]:
        ready = dataclasses.is_dataclass(python) or hasattr(python, "__struct_fields__") or issubclass(python, BaseModel)
        made: type[T] = python if ready else dataclasses.dataclass(frozen=True, slots=True)(python)
        commands.add(name, version, made)
        return made

    return declare


class Kind(StrEnum):
    """What a task does: record an event, handle a command, wake a process, call the outside."""

    EVENT = "event"
    COMMAND = "command"
    TIMEOUT = "timeout"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Task:
    """*kind* says what to do with *data*, a JSON object stored as *name* under *schema_version*.

    *lane*: tasks of one lane are done in order, one at a time (a stream's name); None = in any order. Due *after* the moment *due*,
    or after it is written down (None). *process*, *instance* and *cause* (an event's id) say who wanted it; *timer* is the name
    under which a timeout is replaced or cancelled. One that is not *repeatable* is never begun a second time.
    """

    id: UUID
    kind: Kind
    name: str
    data: Any
    schema_version: int = 1
    lane: str | None = None
    due: datetime | None = None
    after: timedelta = NOW
    process: str | None = None
    instance: str | None = None
    timer: str | None = None
    cause: UUID | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    repeatable: bool = True

    def __post_init__(self) -> None:
        """Refuse a naive time."""
        if self.due is not None:
            check_moment(self.due)


def name_event(message: object) -> RawEvent:
    """Give the stored form of an event. Raises UsageError for one with personal fields, which would wait in the open."""
    if isinstance(message, RawEvent):
        _refuse_personal(registry.find(message.type))
        return message
    kind = registry.of(type(message))
    _refuse_personal(kind)
    return RawEvent(kind.name, fields_of(message), kind.version)  # pyright: ignore[reportArgumentType]


def name_command(message: object) -> RawEvent:
    """Give the stored form of a command or timeout. Raises UsageError when its class is not declared with `@command`."""
    kind = commands.of(type(message))
    _refuse_personal(kind)
    return RawEvent(kind.name, fields_of(message), kind.version)  # pyright: ignore[reportArgumentType]


def _refuse_personal(kind: EventType | None) -> None:
    if kind is not None and kind.privacy is not None:
        raise UsageError(
            f"{kind.name!r} has personal fields, and what waits to be done is not sealed: let a command wait that names the subject, "
            "and let it record the event when its time comes"
        )
