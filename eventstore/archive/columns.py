"""What a file of the archive holds, column by column, and how records become that.

| column | meaning |
|---|---|
| offset, timestamp, key, value, headers | the Kafka record, whole: value: the very bytes; headers: null or left out = the usual ones |
| id, type, stream, version, schema_version, position, xid, sequence, time, recorded_at | the event's attributes; null = none of ours |
| data | the event's data as JSON text; for any other JSON record the whole of it |
| TYPE.FIELD | a field of the events of a type, where all values in the file are plain and of one kind (`eventstore.archive.shred`) |

The file's metadata holds the census of the fields under `refold.census`, and the format under `refold.archive`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final, NamedTuple

from eventstore.archive.arrow import load_arrow
from eventstore.archive.shred import Census, Column, Fields, shred
from eventstore.codec import decode, encode, loads
from eventstore.errors import VerificationFailed
from eventstore.log.fetch import Records
from eventstore.log.wire import HEADERS
from eventstore.source import Record
from eventstore.stream import Position

FORMAT: Final = b"1"
_CENSUS: Final = b"refold.census"
_FORMAT: Final = b"refold.archive"
RECORD: Final = ("offset", "timestamp", "key", "value", "headers")
ATTRIBUTES: Final = (
    "id",
    "type",
    "stream",
    "version",
    "schema_version",
    "position",
    "xid",
    "sequence",
    "time",
    "recorded_at",
    "data",
)
_NONE: Final = (None,) * (len(ATTRIBUTES) - 1)
_INT64: Final = 1 << 63
_TUPLE: Any = tuple


def make_table(records: Sequence[Record]) -> Any:
    """Make the Arrow table of *records* of one partition, in order."""
    pa = load_arrow()
    values = [each.value for each in records]
    attributes, fields = _read_values(values)
    columns: dict[str, Any] = {
        "offset": pa.array([each.offset for each in records], pa.int64()),
        "timestamp": pa.array([each.timestamp for each in records], pa.int64()).cast(pa.timestamp("ms", "UTC")),
        "key": pa.array([each.key for each in records], pa.binary()),
        "value": pa.array(values, pa.large_binary()),
    }
    if (headers := _make_headers(pa, records)) is not None:
        columns["headers"] = headers
    kinds = _attribute_kinds(pa)
    for name, found in zip(ATTRIBUTES, zip(*attributes, strict=True), strict=True):
        columns[name] = _make_times(pa, found) if name in {"time", "recorded_at"} else pa.array(found, kinds[name])
    shredded, census = shred(fields)
    for column in shredded:
        columns[column.name] = _spread(pa, column, len(values))
    return pa.table(columns).replace_schema_metadata({_FORMAT: FORMAT, _CENSUS: encode(census)})


def read_census(metadata: Mapping[bytes, bytes] | None) -> Census:
    """Give the census in a file's metadata. Raises VerificationFailed for a file that is not ours."""
    if not metadata or metadata.get(_FORMAT) != FORMAT:
        raise VerificationFailed(
            "the file is not of this archive's format 1: it was written by something else, or by a newer release"
        )
    return decode(metadata[_CENSUS])


def choose_columns(names: Sequence[str]) -> list[str]:
    """Give those of a file's columns that make its records whole."""
    return [each for each in RECORD if each in names]


def make_records(topic: str, partition: int, table: Any) -> Records:
    """Give the records of *table* as the log would, made when they are looked at."""
    held = "headers" in table.column_names
    given = map(_read_headers, table["headers"].to_pylist()) if held else repeat(HEADERS, len(table))
    columns = (
        table["offset"].to_pylist(),
        table["timestamp"].cast(load_arrow().int64()).to_pylist(),
        table["key"].to_pylist(),
        table["value"].to_pylist(),
        given,
    )
    make = partial(_TUPLE.__new__, Archived)  # the class's own constructor costs three times as much
    return Records(topic, partition, list(map(make, zip(*columns, strict=True))))


class Archived(NamedTuple):
    """One record as the log's own client gives it: without topic and partition."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def _attribute_kinds(pa: Any) -> dict[str, Any]:
    texts: dict[str, Any] = dict.fromkeys(("id", "type", "stream", "position", "data"), pa.string())
    return texts | dict.fromkeys(("version", "schema_version", "xid", "sequence"), pa.int64())


def _read_values(values: Sequence[bytes | None]) -> tuple[list[tuple[Any, ...]], dict[str, Fields]]:
    rows: list[tuple[Any, ...]] = []
    fields: dict[str, Fields] = {}
    for row, value in enumerate(values):
        document = _load(value)
        if document is None:
            rows.append((*_NONE, None))
            continue
        attributes = _read_event(document)
        if attributes is None:
            rows.append((*_NONE, encode(document).decode()))
            continue
        rows.append(attributes)
        fields.setdefault(attributes[1], Fields()).add(row, attributes[4], document["data"])
    return rows, fields


def _load(value: bytes | None) -> Any:
    try:
        return None if value is None else loads(value)
    except ValueError:
        return None


def _read_event(document: Any) -> tuple[Any, ...] | None:
    """Give the attributes of one of our events, in the order of `ATTRIBUTES`; None for anything else."""
    try:
        name, stream, version, schema_version = (document[each] for each in ("type", "subject", "streamversion", "schemaversion"))
        if not (type(name) is type(stream) is type(document["id"]) is str and type(version) is type(schema_version) is int):
            return None
        position, data = Position.parse(document["position"]), document["data"]
        if type(data) is not dict or max(*position, version, schema_version) >= _INT64:
            return None
        recorded = document["recordedat"]
        at = document.get("time", recorded)
        text = encode(data).decode()  # pyright: ignore[reportUnknownArgumentType]
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return (document["id"], name, stream, version, schema_version, str(position), *position, at, recorded, text)


def _make_times(pa: Any, texts: Sequence[Any]) -> Any:
    """Read ISO 8601 texts all at once, or one by one where some are not; what can't be read is null."""
    kind = pa.timestamp("us", "UTC")
    try:
        return pa.array(texts, pa.string()).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        return pa.array([_read_time(each) for each in texts], kind)


def _read_time(text: Any) -> Any:
    from eventstore.envelope import utc

    try:
        return utc(text)
    except (TypeError, ValueError):
        return None


def _spread(pa: Any, column: Column, count: int) -> Any:
    kind = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}[column.kind]
    if len(column.rows) == count and column.rows == range(count):
        return pa.array(column.values, kind)
    values: list[Any] = [None] * count
    for row, value in zip(column.rows, column.values, strict=True):
        values[row] = value
    return pa.array(values, kind)


def _make_headers(pa: Any, records: Sequence[Record]) -> Any:
    kind = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
    given = [each.headers for each in records]
    usual = tuple(HEADERS)
    if all(tuple(each) == usual for each in given):
        return None
    found = [None if tuple(each) == usual else [{"name": name, "value": value} for name, value in each] for each in given]
    return pa.array(found, kind)


def _read_headers(found: Any) -> Sequence[tuple[str, bytes]]:
    return HEADERS if found is None else tuple((each["name"], each["value"]) for each in found)
