"""Events as JSON lines: what `eventstore import` reads and `eventstore export` writes.

A line is an object with `stream`, `type` and `data`, and optionally `id`, `occurred_at` (ISO 8601), `metadata`, `tags` (an array
of texts) and `schema_version`. A line without an id gets one from its number and bytes, so that the same file read again gives
the same ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from eventstore.codec import decode, encode
from eventstore.envelope import NewEvent, RawEvent, utc
from eventstore.errors import RefoldError, UsageError
from eventstore.event import Events, registry


def make_event(name: str, data: Any, *, version: int | None = None, checked: bool, events: Events = registry) -> object:
    """Make an event of stored type *name*: an instance of its class when *checked*, else a RawEvent.

    Raises UnknownEvent, UndecodableRecord when *data* does not fit the class, UsageError when it is no object.
    """
    if not isinstance(data, dict):
        raise UsageError(f"data of {name!r} is {type(data).__name__}: give a JSON object")
    if not checked:
        return RawEvent(name, data, version or 1)  # pyright: ignore[reportUnknownArgumentType]
    kind = events.named(name)
    return kind.decode(data, version or kind.version)


def read_lines(path: Path, *, checked: bool, events: Events = registry) -> Iterator[tuple[str, NewEvent]]:
    """Read *path* line by line; empty lines are passed over. Raises UsageError that names the file and line."""
    if not path.is_file():
        raise UsageError(f"{path} is not a file: give a file of JSON lines")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield _read(number, line, checked=checked, events=events)
            except (RefoldError, KeyError, TypeError, ValueError) as error:
                what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise UsageError(f"{path}:{number}: {what}", file=str(path), line=number) from error


def write_line(row: Sequence[Any]) -> bytes:
    """Write a stored event, given as the texts of `eventstore.log.wire.Row`, as one line that `read_lines` reads back.

    `version`, `position` and `recorded_at` say where it was; a reader gives them anew.
    """
    stream, version, xid, sequence, event_id, name, schema_version, data, metadata, occurred_at, recorded_at, tags = row[:12]
    tagged = "" if tags is None else f'"tags":{tags},'
    return (
        f'{{"stream":{encode(stream).decode()},"version":{version},"position":"{xid}.{sequence}","id":"{event_id}",'
        f'"type":{encode(name).decode()},"schema_version":{schema_version},"occurred_at":{occurred_at},'
        f'"recorded_at":{recorded_at},{tagged}"metadata":{metadata},"data":{data}}}\n'
    ).encode()


def _read(number: int, line: bytes, *, checked: bool, events: Events) -> tuple[str, NewEvent]:
    fields = decode(line)
    if not isinstance(fields, dict):
        raise TypeError("the line is not a JSON object")
    given: dict[str, Any] = fields  # pyright: ignore[reportUnknownVariableType]
    event = make_event(given["type"], given["data"], version=given.get("schema_version"), checked=checked, events=events)
    moment = given.get("occurred_at")
    return given["stream"], NewEvent(
        event,
        id=UUID(given["id"]) if "id" in given else uuid5(NAMESPACE_OID, f"{number}:{line.decode()}"),
        occurred_at=utc(moment) if moment else None,
        metadata=given.get("metadata") or {},
        tags=given.get("tags") or (),
    )
