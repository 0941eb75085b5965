"""An event's data straight from its JSON, for classes of plain fields: half the time of making a dict of it first. Pure.

Whatever such a decoder accepts, it reads as `EventType.read` reads the parsed data; what it refuses (`"12"` for a number, which
the other takes) has to be read there. So a class is plain only if nothing but its fields decides what an instance holds.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec

from eventstore.codec import loads
from eventstore.event import EventType

_PLAIN: Final = frozenset({str, int, float, bool, types.NoneType})
_HOOKS: Final = ("__post_init__", "__get_pydantic_core_schema__", "__pydantic_config__", "__pydantic_validator__")


@functools.lru_cache(maxsize=1024)
def find_decoder(kind: EventType) -> Callable[[bytes | str], Any] | None:
    """Give what makes an event of *kind*, of its newest schema version, straight from its JSON; None = its class is not plain.

    It raises msgspec.MsgspecError, TypeError or ValueError for what does not fit, which then has to be read by way of a dict.
    """
    return msgspec.json.Decoder(kind.python).decode if is_plain(kind) else None


def make_decoder(kind: EventType) -> Callable[[msgspec.Raw], Any]:
    """Give what makes an event of *kind*, of its newest schema version, from its raw data.

    It raises msgspec.MsgspecError, TypeError or ValueError for what does not fit, perhaps only not at once.
    """
    if decode := find_decoder(kind):
        return decode  # pyright: ignore[reportReturnType] - it takes raw documents too
    read = kind.read
    return lambda raw: read(loads(memoryview(raw)))


def is_plain(kind: EventType) -> bool:
    """Say whether every instance of *kind* holds exactly what its JSON holds: texts, numbers, nulls, lists and dicts of such."""
    python: Any = kind.python
    if kind.privacy is not None or not dataclasses.is_dataclass(python) or any(hasattr(python, each) for each in _HOOKS):
        return False
    if python.__new__ is not object.__new__ or not python.__dataclass_params__.init:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return False
    try:
        hints = typing.get_type_hints(python, include_extras=True)
    except NameError:
        return False
    found = dataclasses.fields(python)
    return len(found) == len(python.__dataclass_fields__) and all(_is_plain(each, hints[each.name]) for each in found)


def _is_plain(field: dataclasses.Field[Any], hint: Any) -> bool:
    given = field.default is dataclasses.MISSING or type(field.default) in _PLAIN
    made = field.default_factory is dataclasses.MISSING or isinstance(field.default_factory, type)
    return field.init and given and made and _holds_plain(hint)


def _holds_plain(hint: Any) -> bool:
    """Say so of a value; a union of text and number may be read by another member than the one it was written as, so it is none."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        rest = [each for each in inner if each is not types.NoneType]
        return len(rest) == 1 and _holds_plain(rest[0])
    if origin is list:
        return _holds_plain(*inner)
    if origin is dict:
        return inner[0] is str and _holds_plain(inner[1])
    return hint is Any or hint in _PLAIN - {types.NoneType}
