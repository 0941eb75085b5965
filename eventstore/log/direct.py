"""Going through many documents at once: each read by one call, straight to the event's class, where its type is wanted and its class plain.

The reader of one record (`EventSource.reader`) reads a document's core first and its data after it, because any type may come. Here the
type decides, as the tag of a union, how the data is read, so both are one pass. Whatever fits none of the wanted types in their newest
version is left to that reader, which passes over it, converts it or says what is wrong; so the two give the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, Union

import msgspec

from eventstore.event import EventType
from eventstore.plain import find_decoder, make_decoder
from eventstore.source import Reader, Record, Scan, Spread, scan_each

RARE: Final = 0.25
"""Share of records of other types from which on this is slower than to read one by one: a refusal costs as much as a document."""

ENOUGH: Final = 1_000
"""Records after which that share is believed."""


def make_scan(kinds: Sequence[EventType], read: Reader) -> Scan:
    """Give what goes through documents of *kinds*; *read* reads what is none of them. Types that turn out to be rare are read by it too."""
    if not kinds:
        return scan_each(read)
    decode = _make_decoder(tuple(kinds))
    each, seen, missed = scan_each(read), 0, 0

    def scan(records: Iterable[Record]) -> Iterator[Spread]:
        return each(records) if seen > ENOUGH and missed > RARE * seen else go_through(records)

    def go_through(records: Iterable[Record]) -> Iterator[Spread]:
        nonlocal seen, missed
        body: Any = None
        for record in records:
            seen += 1
            try:
                found = decode(record.value)
                make = found.make
                body = found.data if make is None else make(found.data)
            except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
                found = None
            if found is None:
                missed += 1
                if (message := read(record)) is not None:
                    yield message
            else:
                yield found.name, body, found.subject, None

    return scan


@functools.lru_cache(maxsize=256)
def _make_decoder(kinds: tuple[EventType, ...]) -> Callable[[bytes | None], Any]:
    return msgspec.json.Decoder(Union[tuple(map(_make_form, kinds))]).decode  # noqa: UP007 # pyright: ignore[reportReturnType] - None is refused


@functools.lru_cache(maxsize=1024)
def _make_form(kind: EventType) -> type:
    """Make the form of documents of *kind*: its data is read by `plain`'s rules, or left raw for *make*."""
    is_plain = find_decoder(kind) is not None
    return msgspec.defstruct(
        "Form",
        [("subject", str), ("schemaversion", Literal[kind.version]), ("data", kind.python if is_plain else msgspec.Raw)],
        tag_field="type",
        tag=kind.name,
        gc=False,
        namespace={"name": kind.name, "make": None if is_plain else staticmethod(make_decoder(kind))},
    )
