"""How a record says which schema it was written with, and where its Avro begins. Pure.

| framing | the value begins with | else |
|---|---|---|
| `confluent` | 0, the schema's id in 4 bytes | the header `__value_schema_id`: 1, a GUID in 16 bytes; the value is bare |
| `apicurio` | 0, the global id in 8 bytes | the header `apicurio.value.globalId` or `.contentId`: 8 bytes; the value is bare |
| `apicurio-confluent` | 0, the content id in 4 bytes, which is Apicurio 3's default | the same headers |

Source: Confluent's wire format; Apicurio Registry 2 and 3, `apicurio.registry.headers.enabled` and `apicurio.registry.as-confluent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple
from uuid import UUID

from eventstore.errors import UndecodableRecord

Framing = Literal["confluent", "apicurio", "apicurio-confluent"]
Side = Literal["key", "value"]
Headers = Sequence[tuple[str, bytes]]
_LENGTHS: dict[Framing, int] = {"confluent": 4, "apicurio": 8, "apicurio-confluent": 4}
_KINDS: dict[Framing, str] = {"confluent": "id", "apicurio": "globalId", "apicurio-confluent": "contentId"}


class Reference(NamedTuple):
    """A schema by what the registry knows it as: *kind* is `id`, `guid`, `globalId` or `contentId`."""

    kind: str
    value: str


def split_frame(document: bytes, headers: Headers, side: Side, framing: Framing) -> tuple[Reference, int]:
    """Give the schema of *document* and the place at which its Avro begins. Raises UndecodableRecord."""
    found = _look_up(dict(headers), side, framing)
    if found is not None:
        return found, 0
    length = _LENGTHS[framing]
    if len(document) <= length or document[0] != 0:
        raise UndecodableRecord(
            f"the {side} is not Avro in the framing {framing!r}: it begins with {document[:10]!r} and has {len(document)} bytes. Look at "
            "the connector's converters, and at framing= of the table."
        )
    number = int.from_bytes(document[1 : 1 + length], "big")
    return Reference(_KINDS[framing], str(number)), 1 + length


def _look_up(headers: dict[str, bytes], side: Side, framing: Framing) -> Reference | None:
    if framing == "confluent":
        raw = headers.get(f"__{side}_schema_id")
        return Reference("guid", str(UUID(bytes=raw[1:]))) if raw and len(raw) == 17 and raw[0] == 1 else None
    for kind in ("globalId", "contentId"):
        raw = headers.get(f"apicurio.{side}.{kind}")
        if raw is not None and len(raw) == 8:
            return Reference(kind, str(int.from_bytes(raw, "big")))
    return None
