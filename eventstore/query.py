"""Queries over types and tags, and the conditions that an append may be put under.

A query is the OR of its items; an item asks for any of its types and all of its tags. What was read for a decision and the
condition that guards its append are the same query, so nothing can slip between the two. A marker says what a read has seen: the
snapshot it was made with, because transactions commit in another order than they begin in. Source: dcb.events, and
docs/explanation/conditions.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from eventstore.errors import UsageError

MAX_TAG: Final = 256
"""Characters in a tag."""


class Marker(NamedTuple):
    """What a read has seen. Opaque; hand it on as text (`str(marker)`, `Marker(text)`), within one store and for minutes."""

    snapshot: str

    def __str__(self) -> str:
        return self.snapshot


@dataclass(frozen=True, slots=True)
class QueryItem:
    """Events of any of *types* (event classes or stored names; none = whatever type) that have all of *tags*."""

    types: Collection[type | str] = ()
    tags: Collection[str] = ()

    def __post_init__(self) -> None:
        if isinstance(self.types, (str, type)) or isinstance(self.tags, str):
            raise UsageError(f"{self!r}: give types and tags as tuples, even where there is only one")
        check_tags(self.tags)


@dataclass(frozen=True, slots=True, init=False)
class Query:
    """Events that match at least one of *items*; without items, all events."""

    items: tuple[QueryItem, ...]

    def __init__(self, *items: QueryItem) -> None:
        object.__setattr__(self, "items", items or (QueryItem(),))

    def named(self, name_of: Callable[[type], str]) -> list[tuple[list[str] | None, list[str] | None]]:
        """Give each item as the stored names and the tags it asks for, sorted; None where it asks for nothing."""
        return [
            (
                sorted({each if isinstance(each, str) else name_of(each) for each in item.types}) or None,
                sorted(set(item.tags)) or None,
            )
            for item in self.items
        ]


@dataclass(frozen=True, slots=True)
class FailIf:
    """A condition: refuse the append when an event matches *query* that *after* has not seen (None = any such event)."""

    query: Query
    after: Marker | None = None


def check_tags(tags: Iterable[Any]) -> None:
    """Raise UsageError for what can't be a tag: 1 to 256 characters, without NUL."""
    for tag in tags:
        if not isinstance(tag, str) or not tag or len(tag) > MAX_TAG or "\0" in tag:
            raise UsageError(f"tag {str(tag)[:80]!r} of {len(str(tag))} characters: use a text of 1 to {MAX_TAG}, without NUL")
