"""What an event class declares about persons: which fields are personal, and whose they are.

Personal fields are found at any depth: in nested classes, lists, and values of mappings. A path is a tuple of names; `*` stands for
every element.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from eventstore.errors import UsageError
from eventstore.privacy.marker import PersonalMark, SubjectMark

Path = tuple[str, ...]
Naming = str | Callable[[Any], Any]
"""How an event's subject is found: the name of a field, or a function of the event."""
EACH = "*"


@dataclass(frozen=True, slots=True)
class Declared:
    """The personal *paths* of an event class, and *subject_of*, which gives the subject of an instance."""

    paths: tuple[Path, ...]
    subject_of: Callable[[Any], str]


def read_declaration(python: type, subject: Naming | None) -> Declared | None:
    """Read what *python* declares; None = nothing personal.

    Raises UsageError when there is something personal and no subject; NameError when an annotation can't be resolved yet.
    """
    paths = tuple(_find(python, (), frozenset()))
    if not paths:
        return None
    named = subject or next((name for name, hint in _hints(python).items() if _is_marked(hint, SubjectMark)), None)
    if named is None:
        raise UsageError(
            f"{python.__qualname__} has personal data in {', '.join('.'.join(each) for each in paths)} but no subject: mark the field "
            "that names the person as Subject[str], or give @event(..., subject=lambda event: event.customer)"
        )
    return Declared(paths, _make_naming(python, named))


def _make_naming(python: type, named: Naming) -> Callable[[Any], str]:
    def subject_of(event: Any) -> str:
        found = getattr(event, named) if isinstance(named, str) else named(event)
        text = "" if found is None else str(found)
        if not text:
            raise UsageError(f"{python.__qualname__} names no subject, so its personal fields can't be sealed: give an opaque id")
        return text

    return subject_of


def _hints(python: Any) -> Mapping[str, Any]:
    """Give the annotations of a class; those that can't be resolved from here and don't speak of Personal are left out."""
    try:
        return typing.get_type_hints(python, include_extras=True)
    except TypeError:
        return {}
    except NameError:
        texts: dict[str, Any] = {}
        bases: tuple[type, ...] = python.__mro__
        for each in reversed(bases):
            texts.update(vars(each).get("__annotations__", {}))
        if any(isinstance(each, str) and "Personal" in each for each in texts.values()):
            raise
        return {name: hint for name, hint in texts.items() if not isinstance(hint, str)}


def _find(python: Any, above: Path, seen: frozenset[Any]) -> Iterator[Path]:
    """Give the personal paths of class *python*; *seen* ends classes that contain themselves."""
    if not isinstance(python, type) or python in seen or python.__module__ == "builtins":
        return
    for name, hint in _hints(python).items():
        yield from _find_in(hint, (*above, name), seen | {python})


def _find_in(hint: Any, path: Path, seen: frozenset[Any]) -> Iterator[Path]:
    if _is_marked(hint, PersonalMark):
        yield path
        return
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from _find_in(arguments[0], path, seen)
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _find_in(arguments[1], (*path, EACH), seen)
    elif isinstance(origin, type) and issubclass(origin, (list, tuple, set, frozenset)):
        yield from (found for each in arguments for found in _find_in(each, (*path, EACH), seen))
    elif arguments:
        yield from (found for each in arguments for found in _find_in(each, path, seen))
    else:
        yield from _find(hint, path, seen)


def _is_marked(hint: Any, mark: type) -> bool:
    if typing.get_origin(hint) is Annotated:
        return any(isinstance(each, mark) for each in hint.__metadata__) or _is_marked(hint.__origin__, mark)
    return (
        any(_is_marked(each, mark) for each in typing.get_args(hint) if each is not type(None)) if _is_optional(hint) else False
    )


def _is_optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)
