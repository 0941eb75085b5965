"""An event's data straight from its JSON, for classes of plain fields: half the time of making a dict of it first. Pure.

Whatever such a decoder accepts, it reads as `EventType.read` reads the parsed data; what it refuses (`"12"` for a number, which
the other takes) has to be read there. So a class is plain only if nothing but its fields decides what an instance holds.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec

from eventstore.codec import loads
from eventstore.event import EventType

_PLAIN: Final = frozenset({str, int, float, bool, types.NoneType})
_HOOKS: Final = ("__post_init__", "__get_pydantic_core_schema__", "__pydantic_config__", "__pydantic_validator__")


def make_decoder(kind: EventType) -> Callable[[msgspec.Raw], Any]:
    """Give what makes an event of *kind*, of its newest schema version, from its raw data.

    It raises msgspec.MsgspecError, TypeError or ValueError for what does not fit, perhaps only not at once.
    """
    if is_plain(kind):
        return msgspec.json.Decoder(kind.python).decode
    read = kind.read
    return lambda raw: read(loads(memoryview(raw)))


def is_plain(kind: EventType) -> bool:
    """Say whether every instance of *kind* holds exactly the texts, numbers and nulls that its JSON holds."""
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
    """Say so of one field; a union of text and number may be read by another member than the one it was written as, so it is none."""
    members = set(typing.get_args(hint)) if typing.get_origin(hint) in {typing.Union, types.UnionType} else {hint}
    given = field.default is dataclasses.MISSING or type(field.default) in _PLAIN
    plain = members <= _PLAIN and len(members - {types.NoneType}) == 1
    return plain and given and field.init and field.default_factory is dataclasses.MISSING
