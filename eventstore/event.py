"""Event types: a class under a stable stored name, and the registry that finds it again.

The stored name and version are given, never derived from the Python path, so that a class can be renamed or moved without
touching history. Any of these can be an event: a plain class with annotations (made a frozen, slotted dataclass), a
dataclass, a pydantic model, a msgspec Struct.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

from pydantic import BaseModel, TypeAdapter, ValidationError

from eventstore.errors import UndecodableRecord, UnknownEvent, UsageError
from eventstore.upcasting import Upcaster, upgrade

T = TypeVar("T")
Tagger = Callable[[Any], Iterable[str]]
_NAME = re.compile(r"^[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*$")


class EventType:
    """One stored type: its *name*, its newest *version*, the class that reads it, and the upcasters from older versions.

    *tags* says what an event of it is about, such as `course:5`.
    """

    def __init__(self, name: str, version: int, python: type, tags: Tagger | None = None) -> None:
        self.name = name
        self.version = version
        self.python = python
        self.tags = tags
        self.upcasters: dict[int, Upcaster] = {}
        self._read: Callable[[Any], Any] | None = None

    @property
    def read(self) -> Callable[[Any], Any]:
        """The function that makes an instance from decoded JSON; built at first use, since building is slow."""
        if self._read is None:
            self._read = _reader(self.python)
        return self._read

    def decode(self, data: Any, version: int) -> Any:
        """Make an instance from *data* as it was stored under schema *version*.

        Raises UndecodableRecord when a field is missing or has another type, and when *version* is newer than this code.
        """
        try:
            return self.read(data if version == self.version else upgrade(self, data, version))
        except (ValidationError, TypeError, KeyError, ValueError) as error:
            raise UndecodableRecord(
                f"event type {self.name!r} version {version} does not fit {self.python.__name__}: {_first_line(error)}. "
                f"Add an upcaster from version {version}, or mend the class."
            ) from error


class Events:
    """A registry of event types by stored name. The module-level `registry` is the one that `@event` fills."""

    def __init__(self) -> None:
        self._by_name: dict[str, EventType] = {}
        self._by_class: dict[type, EventType] = {}

    def add(self, name: str, version: int, python: type, tags: Tagger | None = None) -> EventType:
        """Register *python* under *name*. Raises UsageError when the name is malformed or taken by another class."""
        if not _NAME.match(name) or version < 1:
            raise UsageError(f"event name {name!r} version {version}: use kebab-case words and a version from 1")
        known = self._by_name.get(name)
        if known and (known.python.__module__, known.python.__qualname__) != (python.__module__, python.__qualname__):
            raise UsageError(f"event name {name!r} is taken by {known.python.__qualname__}; choose another name")
        made = EventType(name, version, python, tags)
        if known:
            made.upcasters = known.upcasters
        self._by_name[name] = self._by_class[python] = made
        return made

    def named(self, name: str) -> EventType:
        """Find the type stored as *name*. Raises UnknownEvent when no imported module declares it."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownEvent(
                f"event type {name!r} is not declared by any imported module (known: {', '.join(sorted(self._by_name))})"
            ) from None

    def of(self, python: type) -> EventType:
        """Find the type that *python* was declared as. Raises UsageError when it is no event."""
        try:
            return self._by_class[python]
        except KeyError:
            raise UsageError(f"{python.__qualname__} is not an event: decorate it with @event(name, version=1)") from None

    def __iter__(self) -> Iterator[EventType]:
        return iter(sorted(self._by_name.values(), key=lambda each: each.name))


registry = Events()


@dataclass_transform(frozen_default=True)
def event(name: str, *, version: int = 1, tags: Tagger | None = None) -> Callable[[type[T]], type[T]]:
    """Declare a class as the event type *name* at schema *version* (from 1; raise it when the stored form changes).

    *tags*: what an instance is about, as texts such as `course:5`, by which queries and conditions find it. They are recorded with
    the event, so a change here holds for new events only.
    """

    def declare(python: type[T]) -> type[T]:
        made = python if _is_model(python) else dataclasses.dataclass(frozen=True, slots=True)(python)
        registry.add(name, version, made, tags)
        return made

    return declare


def upcast(name: str, *, version: int) -> Callable[[Upcaster], Upcaster]:
    """Declare how data of event *name* stored under *version* becomes data of *version* + 1. Pure; may return the same dict."""

    def declare(function: Upcaster) -> Upcaster:
        registry.named(name).upcasters[version] = function
        return function

    return declare


def fields_of(value: object) -> Mapping[str, Any] | object:
    """Give *value* in the form that the codec can write."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if hasattr(type(value), "__struct_fields__"):
        return {each: getattr(value, each) for each in type(value).__struct_fields__}  # type: ignore[attr-defined]
    return value


def _is_model(python: type) -> bool:
    return "__dataclass_fields__" in vars(python) or hasattr(python, "__struct_fields__") or issubclass(python, BaseModel)


def _reader(python: type) -> Callable[[Any], Any]:
    if hasattr(python, "__struct_fields__"):
        convert = sys.modules["msgspec"].convert
        return lambda data: convert(data, python, strict=False)
    return TypeAdapter(python).validator.validate_python


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).partition("\n")[0]
