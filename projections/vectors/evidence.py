"""Whether the events of a file may be folded without being read one by one: only what is proved is taken. Pure.

Reading an event may fail, fill in defaults, convert. For a plain dataclass whose fields are of plain types, the census of a file tells
whether every event of it reads as exactly what its columns hold; of all others, nothing is assumed, and they are read as ever.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from eventstore.event import EventType
from projections.declaration.grouping import plain

MOST_DIGITS: Final = 30
"""Digits of a decimal column, before and after the point: eight less than fit, so that a sum has room."""
_KINDS: dict[Any, frozenset[str]] = {
    int: frozenset({"int"}),
    float: frozenset({"int", "float"}),
    bool: frozenset({"bool"}),
    str: frozenset({"str"}),
    dict: frozenset({"object"}),
    list: frozenset({"array"}),
    dict[str, Any]: frozenset({"object"}),
    list[Any]: frozenset({"array"}),
}
_FORMS: dict[Any, str] = {Decimal: "decimal", datetime: "time", date: "date", UUID: "uuid"}


def doubt_class(kind: EventType) -> str | None:
    """Say why events of *kind* have to be read one by one whatever a file holds; None = they need not be."""
    python: Any = kind.python
    if kind.privacy is not None:
        return "it has personal fields"
    if not dataclasses.is_dataclass(python) or hasattr(python, "__pydantic_validator__"):
        return "it is no plain dataclass"
    own = {"__post_init__", "__get_pydantic_core_schema__", "__pydantic_config__"}
    if any(hasattr(python, each) for each in own) or not python.__dataclass_params__.init:  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        return "it has code of its own for making an instance"
    hints = typing.get_type_hints(python, include_extras=True)
    for field in dataclasses.fields(python):
        hint = plain(hints[field.name])[0]
        if hint is not Any and hint not in _KINDS and hint not in _FORMS:
            return f"its field {field.name} is {hint}"
        if not field.init:
            return f"its field {field.name} is none of its parameters"
    return None


def doubt_file(kind: EventType, found: Mapping[str, Any]) -> str | None:
    """Say why the events of *kind* in a file need reading one by one, *found* being their census at the newest schema version."""
    hints = typing.get_type_hints(kind.python)
    rows: int = found["rows"]
    absent = {"kind": "null", "nulls": 0, "missing": rows}
    python: Any = kind.python
    for field in dataclasses.fields(python):
        hint, takes_none = plain(hints[field.name])
        census = found["fields"].get(field.name, absent)
        if hint is Any:
            takes_none = True
        if census["missing"] and not (takes_none and field.default is None):
            return f"{field.name} is missing in {census['missing']} of {rows}"
        if census["nulls"] and not takes_none:
            return f"{field.name} is null in {census['nulls']} of {rows}"
        if census["kind"] != "null" and not _fits(hint, census):
            return f"{field.name} is {census.get('form', census['kind'])}, and {hint} is wanted"
    return None


def _fits(hint: Any, census: Mapping[str, Any]) -> bool:
    if hint is Any:
        return True
    if (form := _FORMS.get(hint)) is None:
        return census["kind"] in _KINDS[hint]
    return census.get("form") == form and sum(census.get("digits", ())) <= MOST_DIGITS
