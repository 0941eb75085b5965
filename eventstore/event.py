"""Event types: a class under a stable stored name, and the registry that finds it again.

The stored name and version are given, never derived from the Python path, so that a class can be renamed or moved without
touching history. Any of these can be an event: a plain class with annotations (made a frozen, slotted dataclass), a
dataclass, a pydantic model, a msgspec Struct.
"""

from __future__ import annotations

import contextlib
import dataclasses
import operator
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

from pydantic import BaseModel, TypeAdapter, ValidationError

from eventstore.errors import NewerEvent, UndecodableRecord, UnknownEvent, UsageError
from eventstore.privacy.declaration import Declared, Naming, read_declaration
from eventstore.privacy.marker import is_redacted
from eventstore.privacy.seal import mask
from eventstore.upcasting import Upcaster, upgrade

T = TypeVar("T")
Tagger = Callable[[Any], Iterable[str]]
_NAME = re.compile(r"^[a-z][a-z0-9]*(?:[-.][a-z0-9]+)*$")


class EventType:
    """One stored type: its *name*, its newest *version*, the class that reads it, and the upcasters from older versions.

    *tags* says what an event of it is about, such as `course:5`; *subject*, whose personal data it holds.
    """

    def __init__(
        self, name: str, version: int, python: type, tags: Tagger | None = None, *, subject: Naming | None = None
    ) -> None:
        self.name = name
        self.version = version
        self.python = python
        self.tags = tags
        self.upcasters: dict[int, Upcaster] = {}
        self._subject = subject
        self._read: Callable[[Any], Any] | None = None
        self._privacy: Declared | bool | None = False

    @property
    def privacy(self) -> Declared | None:
        """What the class says about persons; None = nothing, as for most. Raises UsageError for personal data of nobody."""
        if self._privacy is False:
            self._privacy = read_declaration(self.python, self._subject)
        return self._privacy  # pyright: ignore[reportReturnType]

    @property
    def read(self) -> Callable[[Any], Any]:
        """The function that makes an instance from decoded JSON; built at first use, since building is slow."""
        if self._read is None:
            self._read = _reader(self.python)
        return self._read

    def decode(self, data: Any, version: int) -> Any:
        """Make an instance from *data* as it was stored under schema *version*; what is still sealed in it reads as SEALED.

        Raises UndecodableRecord when a field is missing or has another type, NewerEvent when *version* is newer than
        this code.
        """
        private = self.privacy is not None
        try:
            if version > self.version:
                raise _newer(self, version)
            data = mask(data) if private else data
            return self.read(data if version == self.version else upgrade(self, data, version))
        except (ValidationError, TypeError, KeyError, ValueError) as error:
            why = _place(error) if private else _first_line(error)
            raise UndecodableRecord(
                f"event type {self.name!r} version {version} does not fit {self.python.__name__}: {why}. "
                f"Add an upcaster from version {version}, or mend the class."
            ) from (None if private else error)


class Events:
    """A registry of event types by stored name. The module-level `registry` is the one that `@event` fills."""

    def __init__(self) -> None:
        self._by_name: dict[str, EventType] = {}
        self._by_class: dict[type, EventType] = {}

    def add(
        self, name: str, version: int, python: type, tags: Tagger | None = None, *, subject: Naming | None = None
    ) -> EventType:
        """Register *python* under *name*. Raises UsageError when the name is malformed or taken by another class."""
        if not _NAME.match(name) or version < 1:
            raise UsageError(f"event name {name!r} version {version}: use kebab-case words and a version from 1")
        known = self._by_name.get(name)
        if known and (known.python.__module__, known.python.__qualname__) != (python.__module__, python.__qualname__):
            raise UsageError(f"event name {name!r} is taken by {known.python.__qualname__}; choose another name")
        made = EventType(name, version, python, tags, subject=subject)
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

    def find(self, name: str) -> EventType | None:
        """Find the type stored as *name*; None when no imported module declares it."""
        return self._by_name.get(name)

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
def event(
    name: str, *, version: int = 1, tags: Tagger | None = None, subject: Naming | None = None
) -> Callable[[type[T]], type[T]]:
    """Declare a class as the event type *name* at schema *version* (from 1; raise it when the stored form changes).

    *tags*: what an instance is about, as texts such as `course:5`, by which queries and conditions find it. They are recorded with
    the event, so a change here holds for new events only.
    *subject*: whose the Personal fields are, as a field's name or a function of the event; not needed beside a Subject field. The
    subject is stored in the open, so give an opaque id, never a name or an address.
    """

    def declare(python: type[T]) -> type[T]:
        made = python if _is_model(python) else dataclasses.dataclass(frozen=True, slots=True)(python)
        kind = registry.add(name, version, made, tags, subject=subject)
        with contextlib.suppress(NameError):  # what is declared further down is looked at when first used
            _ = kind.privacy
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
    write = writer_of(type(value))
    return value if write is None else write(value)


def writer_of(python: Any) -> Callable[[Any], object] | None:
    """Give what turns instances of *python* into the form that the codec can write; None when they are in it already."""
    if issubclass(python, BaseModel):
        return operator.methodcaller("model_dump", mode="json")
    if hasattr(python, "__struct_fields__"):
        names: tuple[str, ...] = python.__struct_fields__

        def write(value: object) -> dict[str, Any]:
            return {each: getattr(value, each) for each in names}

        return write
    return None


def _is_model(python: type) -> bool:
    return "__dataclass_fields__" in vars(python) or hasattr(python, "__struct_fields__") or issubclass(python, BaseModel)


def _reader(python: type) -> Callable[[Any], Any]:
    if hasattr(python, "__struct_fields__"):
        return _struct_reader(python, sys.modules["msgspec"])
    return TypeAdapter(python).validator.validate_python


def _struct_reader(python: Any, msgspec: Any) -> Callable[[Any], Any]:
    convert = msgspec.convert

    def read(data: Any) -> Any:
        if type(data) is dict and any(map(is_redacted, data.values())):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            given: dict[str, Any] = data  # pyright: ignore[reportUnknownVariableType]
            known = {name for name in python.__struct_fields__ if is_redacted(given.get(name))}
            rest = [
                (each.name, Any if each.name in known else each.type, _default(msgspec, each))
                for each in _fields(msgspec, python)
            ]
            twin = convert(given, msgspec.defstruct(python.__name__, rest, kw_only=True), strict=False)
            return python(**{name: getattr(twin, name) for name in python.__struct_fields__})
        return convert(data, python, strict=False)

    return read


def _fields(msgspec: Any, python: Any) -> Any:
    return msgspec.structs.fields(python)


def _default(msgspec: Any, field: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    return msgspec.field() if field.default is msgspec.NODEFAULT else msgspec.field(default=field.default)


def _place(error: Exception) -> str:
    """Say where it does not fit and nothing of what is there, which may be personal."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        first = next((each for each in found if each["type"] not in {"is_instance_of", "literal_error"}), found[0])
        return f"{'.'.join(map(str, first['loc']))}: {first['type']}"
    return type(error).__name__


def _newer(kind: EventType, version: int) -> NewerEvent:
    return NewerEvent(
        f"event type {kind.name!r}: version {version} is newer than this release's {kind.version}. A newer release wrote it: deploy "
        "that one here too, and replay.",
        type=kind.name,
        version=version,
    )


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).partition("\n")[0]
