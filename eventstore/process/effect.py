"""What a process may want: plain values, so that a test compares them and nothing happens before the transaction commits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from eventstore.task import NOW


@dataclass(frozen=True, slots=True)
class Send:
    """Have *command* handled on *stream* by its decider, *after* the event that it is sent for was recorded.

    Commands to one stream are handled in the order in which they are due.
    """

    stream: str
    command: object
    after: timedelta = NOW


@dataclass(frozen=True, slots=True)
class Record:
    """Have *event* recorded at the end of *stream*, *after* the event that it follows from was recorded."""

    stream: str
    event: object
    after: timedelta = NOW


@dataclass(frozen=True, slots=True)
class Schedule:
    """Send *timeout* (declared with `@command`) back to this instance, as the timer *name*: another one of that name is replaced.

    Due *after* the event that it is set for was recorded, or at the time *at*; by the database's clock.
    """

    name: str
    timeout: object
    after: timedelta = NOW
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Drop the timer *name* of this instance; nothing happens if there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class Complete:
    """End this instance: its timers are dropped, and later events of it are passed over."""


@dataclass(frozen=True, slots=True)
class Call:
    """Call the outside: the function that the program registered as *name*, with *data* (a JSON object) and a key.

    At least once: a worker that dies between the call and its note calls again, with the same key; whoever is called can tell.
    *at_most_once*: never called again; when the outcome is unknown the task is set aside as failed, for a person.
    """

    name: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    at_most_once: bool = False


Effect = Send | Record | Schedule | Cancel | Complete | Call
