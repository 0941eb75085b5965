"""An event on the wire: one CloudEvents 1.0 JSON document in structured mode.

Structured, because the headers of binary mode are slow to read in Python (measured: 89,000/s against 173,000/s). Attributes
beside the standard ones: `streamversion`, `schemaversion`, `position` ("xid.sequence"), `recordedat`, and the metadata under
`metadata`; what tracing tools look for (`traceparent`, `tracestate`, `correlationid`, `causationid`) is repeated at the top. Tags are
a JSON array written as a text under `tags`, because an attribute of CloudEvents can't be an array; without tags nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec

from eventstore.codec import decode, encode
from eventstore.envelope import NO_TAGS, Envelope, utc
from eventstore.errors import UndecodableRecord
from eventstore.event import Events, fields_of
from eventstore.stream import Position

CONTENT_TYPE: Final = b"application/cloudevents+json"
HEADERS: Final = (("content-type", CONTENT_TYPE),)
REPEATED: Final = ("traceparent", "tracestate", "correlationid", "causationid")

Row = tuple[str, int, int, int, str, str, int, str, str, str, str, str | None]
"""Stream, version, xid, sequence, id, type, schema version, then as JSON data, metadata, occurred at, recorded at, tags or None."""


class Core(msgspec.Struct, gc=False):
    """What a fold needs of a document. The rest is passed over, its data kept raw: a quarter of the time of reading all."""

    type: str
    subject: str
    schemaversion: int
    data: msgspec.Raw


read_core: Callable[[bytes], Core] = msgspec.json.Decoder(Core).decode
"""Reads the core of one document; raises msgspec.MsgspecError for whatever has none."""


@lru_cache(maxsize=4_096)
def _quote_often(text: str) -> str:
    return encode(text).decode()


def compose(row: Row, source: str) -> bytes:
    """Write the document of one stored event from texts as the database gives them, without reading its data.

    *source* names the store (CloudEvents `source`, a URI reference).
    """
    stream, version, xid, sequence, event_id, name, schema_version, data, metadata, occurred_at, recorded_at, tags = row
    extras = "" if metadata == "{}" else _extras(metadata)
    if tags is not None:
        extras = f',"tags":{encode(tags).decode()}{extras}'
    return (
        f'{{"specversion":"1.0","id":"{event_id}","source":{_quote_often(source)},"type":{_quote_often(name)},'
        f'"subject":{encode(stream).decode()},"time":{occurred_at},"datacontenttype":"application/json",'
        f'"streamversion":{version},"schemaversion":{schema_version},"position":"{xid}.{sequence}",'
        f'"recordedat":{recorded_at}{extras},"data":{data}}}'
    ).encode()


def compose_envelope(envelope: Envelope[Any], source: str) -> bytes:
    """Write the document of *envelope* (for tests and for other ways into the log)."""
    row = (
        envelope.stream,
        envelope.version,
        envelope.position.xid,
        envelope.position.sequence,
        str(envelope.id),
        envelope.type,
        envelope.schema_version,
        encode(fields_of(envelope.data)).decode(),
        encode(dict(envelope.metadata)).decode(),
        encode(envelope.occurred_at).decode(),
        encode(envelope.recorded_at).decode(),
        encode(sorted(envelope.tags)).decode() if envelope.tags else None,
    )
    return compose(row, source)


def parse(document: bytes, registry: Events) -> Envelope[Any]:
    """Read what `compose` wrote. Raises UndecodableRecord for anything else, UnknownEvent for a type that nothing declares."""
    fields = decode(document)
    kind = registry.named(_text(fields, "type"))
    return open_envelope(fields, kind.decode(fields.get("data"), _version(fields)))


def open_envelope(fields: Mapping[str, Any], data: Any) -> Envelope[Any]:
    """Make the envelope of a decoded document around its decoded *data*. Raises UndecodableRecord."""
    try:
        recorded = utc(fields["recordedat"])
        return Envelope(
            stream=fields["subject"],
            version=fields["streamversion"],
            position=Position.parse(fields["position"]),
            id=UUID(fields["id"]),
            type=fields["type"],
            schema_version=fields["schemaversion"],
            data=data,
            metadata=fields.get("metadata") or {},
            occurred_at=utc(fields["time"]) if "time" in fields else recorded,
            recorded_at=recorded,
            tags=frozenset(decode(fields["tags"])) if "tags" in fields else NO_TAGS,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UndecodableRecord(f"not one of our CloudEvents: {type(error).__name__} {error}") from error


def position_of(document: bytes) -> Position:
    """Read only the position of a document. Raises UndecodableRecord."""
    try:
        return Position.parse(decode(document)["position"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UndecodableRecord(f"{document[:60]!r}… is not one of our CloudEvents: it has no position") from error


def _extras(metadata: str) -> str:
    fields = decode(metadata)
    repeated = "".join(f',"{each}":{encode(fields[each]).decode()}' for each in REPEATED if isinstance(fields.get(each), str))
    return f'{repeated},"metadata":{metadata}'


def _text(fields: Any, name: str) -> str:
    if isinstance(fields, dict) and isinstance(value := fields.get(name), str):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return value
    raise UndecodableRecord(f"not one of our CloudEvents: no text under {name!r}")


def _version(fields: Mapping[str, Any]) -> int:
    version = fields.get("schemaversion")
    if isinstance(version, int):
        return version
    raise UndecodableRecord(f"not one of our CloudEvents: schemaversion is {version!r}")
