"""Splitting `{"schema": …, "payload": …}` without parsing the schema again and again.

The schema is most of a record's bytes and the same from record to record, so the bytes up to the payload are compared as
bytes (a memcmp) and only the payload is parsed. A prefix is trusted after it was seen to hold exactly one complete schema;
every document that starts with it then has that schema. Anything unusual (other key order, spaces) takes the slow road.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from eventstore.codec import decode, loads
from eventstore.errors import UndecodableRecord

Plan = TypeVar("Plan")

_HEAD = b'{"schema":'
_JOINT = b',"payload":'
_KEPT = 32
_BRACE = ord("}")


class Splitter(Generic[Plan]):
    """Splits documents, and keeps what *prepare* made of each different schema (the last 32)."""

    def __init__(self, prepare: Callable[[Any], Plan]) -> None:
        self._prepare = prepare
        self._known: dict[bytes, Plan] = {}
        self._prefix = b""

    def split(self, document: bytes) -> tuple[Plan, Any]:
        """Give the plan for *document*'s schema and its parsed payload. Raises UndecodableRecord."""
        prefix = self._prefix
        if not (prefix and document.startswith(prefix)):
            prefix = next((known for known in self._known if document.startswith(known)), b"")
        if prefix and document[-1] == _BRACE:
            self._prefix = prefix
            try:
                return self._known[prefix], loads(document[len(prefix) : -1])
            except ValueError:
                return self._learn(document)
        return self._learn(document)

    def _learn(self, document: bytes) -> tuple[Plan, Any]:
        whole = _read_whole(document)
        plan = self._prepare(whole["schema"])
        prefix = _find_prefix(document, whole)
        if prefix:
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[prefix] = plan
            self._prefix = prefix
        return plan, whole["payload"]


def _read_whole(document: bytes) -> dict[str, Any]:
    whole = decode(document)
    if isinstance(whole, dict):
        fields = cast("dict[str, Any]", whole)
        if {"schema", "payload"} <= fields.keys() and isinstance(fields["schema"], dict):
            return fields
    raise UndecodableRecord(
        f"the record carries no schema; it starts with {document[:40]!r}. Switch schemas.enable on for the key and value "
        "converters, or declare the columns of the captured table."
    )


def _find_prefix(document: bytes, whole: dict[str, Any]) -> bytes:
    end = document.find(_JOINT) if document.startswith(_HEAD) and len(whole) == 2 else -1
    while end >= 0:
        start = end + len(_JOINT)
        if _is_split(document, whole, end, start):
            return document[:start]
        end = document.find(_JOINT, start)  # the words stood inside the schema
    return b""


def _is_split(document: bytes, whole: dict[str, Any], end: int, start: int) -> bool:
    try:
        return loads(document[len(_HEAD) : end]) == whole["schema"] and loads(document[start:-1]) == whole["payload"]
    except ValueError:
        return False


def part_payload(document: bytes) -> Any:
    """Give the payload of one document, with or without schema, the slow way (rare records)."""
    whole = decode(document)
    if isinstance(whole, dict) and whole.keys() == {"schema", "payload"}:
        return whole["payload"]  # pyright: ignore[reportUnknownVariableType]
    return whole  # pyright: ignore[reportUnknownVariableType]
