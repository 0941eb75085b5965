"""Where a message goes: from a handler's declaration to what the fold's inner loop needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from eventstore.errors import UsageError
from eventstore.log.events import EventSource
from eventstore.tenant import split
from projections.declaration.projection import Handler
from projections.fold.sheet import Sheet

ADDS: Final = object()
"""In the place of a row's key: the handler makes rows and touches none."""


Short = tuple[dict[Any, Any], Callable[[Any], None], Callable[..., Any], Callable[[Any], Any] | None]
"""Rows, what notes that one changed, function, key function; right until the sheet gets other rows."""


class Route(NamedTuple):
    """Where a message goes: sheet, function, key function, what makes the own key the row's, maker of the third parameter.

    Without a key function the row's key is the message's own, *unpack* given or not. *scope* makes the row's key for a table with
    tenants, from body and own key; None for any other.
    """

    sheet: Sheet
    function: Callable[..., Any]
    key_of: Callable[[Any], Any] | None
    unpack: Callable[[Any], Any] | None
    detail: Callable[[Any, Any], Any] | None
    scope: Callable[[Any, Any], Any] | None

    @classmethod
    def of(cls, sheet: Sheet, handler: Handler) -> Route:
        """Read a handler's declaration."""
        detail = handler.source.detail if handler.detailed else None
        if handler.adds:
            return cls(sheet, handler.function, _add, _add, detail, None)
        is_event = isinstance(handler.source, EventSource)
        unpack = None if is_event else _take_single if sheet.table.has_single_key else _take_whole
        scope = _make_scope(handler) if sheet.table.tenant and is_event else None
        return cls(sheet, handler.function, handler.key, unpack, detail, scope)

    def key(self, body: Any, own: Any) -> Any:
        """Give the row's key, as the fold does in its inner loop."""
        if self.scope:
            return self.scope(body, own)
        return self.key_of(body) if self.key_of else self.unpack(own) if self.unpack else own

    @property
    def short(self) -> Short | None:
        """What the shortest path of a fold needs; None = this route needs more than that."""
        if self.scope or self.unpack or self.detail or self.key_of is _add:
            return None
        return self.sheet.rows, self.sheet.dirty.add, self.function, self.key_of

    @property
    def is_bare_add(self) -> bool:
        """Whether the handler makes rows of the body alone."""
        return self.key_of is _add and not self.detail


def _make_scope(handler: Handler) -> Callable[[Any, Any], Any]:
    """Give what puts the tenant of an event's stream before the key, so that no handler can reach another tenant's row."""
    key_of = handler.key

    def scope(body: Any, own: Any) -> Any:
        tenant, name = split(own)
        if tenant is None:
            raise UsageError(
                f"stream {own!r} is of no tenant, but table {handler.table.name!r} has a row a tenant: append through store.tenant(name)"
            )
        key = key_of(body) if key_of else name
        return (tenant, *key) if type(key) is tuple else (tenant, key)  # pyright: ignore[reportUnknownVariableType]

    return scope


def _add(_: Any) -> Any:
    return ADDS


def _take_single(key: Any) -> Any:
    return _take_whole(key)[0] if type(key) is tuple else key


def _take_whole(key: Any) -> Any:
    if key == ():
        raise UsageError(
            "this change has no row key: its table has no primary key, so declare the handler with key=, or give the table one"
        )
    return key
