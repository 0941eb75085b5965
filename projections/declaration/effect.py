"""Effects: what a projection does outside of its tables when an event was applied. Declarations; nothing here runs anything.

An effect belongs to the projection and not to a generation: it begins once, at offsets that are frozen then, and a rebuild has none. It is
carried out at least once, since no outside takes part in a transaction of ours; its *key* is the same each time, so that the outside can
tell a repetition.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from eventstore.envelope import Envelope
from eventstore.errors import UsageError
from eventstore.source import Source

NOW: Final = "now"
BEGINNING: Final = "beginning"
_KEYS: Final = UUID("6b1d3f0a-51c5-5f1e-9c0e-7d3f2f6f0b27")
Function = Callable[..., Awaitable[Any] | Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What an effect's function gets beside the event: the idempotency *key*, the *number* of the attempt from 1, the *envelope*."""

    key: str
    number: int
    envelope: Envelope[Any]


@dataclass(frozen=True, slots=True)
class Effect:
    """One function and the events that it is called for. *begin*: the first ones, when it is met for the first time.

    *kinds* are names of event types; *detailed* = it takes the attempt too.
    """

    name: str
    source: Source
    kinds: frozenset[str]
    function: Function
    begin: str | datetime
    detailed: bool


def declare_effect(name: str | None, source: Source, kinds: frozenset[str], function: Function, begin: str | datetime) -> Effect:
    """Make an effect. Raises UsageError for a function of another shape, or for a beginning that is none."""
    parameters = len(inspect.signature(function).parameters)
    if parameters not in {1, 2}:
        raise UsageError(f"{function.__name__} takes {parameters} parameters; an effect takes (event) or (event, attempt)")
    if begin not in {NOW, BEGINNING} and not (isinstance(begin, datetime) and begin.tzinfo):
        raise UsageError(f"begin={begin!r}: an effect begins {NOW!r}, at the {BEGINNING!r}, or at a datetime with a time zone")
    if not kinds:
        raise UsageError(f"{function.__name__}: name the events that have this effect")
    return Effect(name or function.__name__.replace("_", "-"), source, kinds, function, begin, parameters > 1)


def name_key(projection: str, effect: str, event_id: UUID) -> str:
    """Give the idempotency key of an effect of an event: the same in every process and attempt, for ever."""
    return str(uuid5(_KEYS, f"{projection}/{effect}/{event_id}"))
