"""The decoder of changes over Avro: other bytes, the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import fastavro
from fastavro.types import Schema as AvroSchema

from cdc.avro.schema import make_connect, strip_logic
from cdc.avro.wire import Framing, Headers, Reference, Side, split_frame
from cdc.change import Change, Decoder, Modes
from cdc.change.change import Row
from cdc.change.decode import KeyPlan, Requirement, plan_key, plan_value
from cdc.change.row import RowReader
from eventstore.errors import UndecodableRecord

Find = Callable[[Reference], Any]
"""Gives the Avro schema that a registry has under a reference; raises Unreachable, UndecodableRecord when it has none."""
_untyped: Any = fastavro
_KEPT = 64


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to read what was written with one schema."""

    avro: AvroSchema
    row: RowReader | None
    key: KeyPlan | None


class AvroDecoder(Decoder):
    """Decodes the records of one table's topic. *find* is asked once for every schema, so keep one decoder for each topic."""

    def __init__(
        self,
        find: Find,
        framing: Framing = "confluent",
        *,
        full: bool = False,
        columns: Mapping[str, str] | None = None,
        modes: Modes | None = None,
        require: Requirement | None = None,
    ) -> None:
        super().__init__(full=full, columns=columns, modes=modes, require=require)
        self._find = find
        self._framing: Framing = framing
        self._plans: dict[tuple[Side, Reference], _Plan] = {}
        self._headers: Headers = ()

    def decode_record(self, key: bytes | None, value: bytes | None, headers: Headers) -> Change | None:
        """Give the change of one record, None for a tombstone. Raises UndecodableRecord, Unreachable without the registry."""
        self._headers = headers
        return self.decode(key, value)

    def split_value(self, value: bytes) -> tuple[RowReader | None, Any]:
        """Read the envelope."""
        plan, payload = self._read(value, "value")
        return plan.row, payload

    def split_key(self, key: bytes) -> tuple[KeyPlan, Row]:
        """Read the key."""
        plan, payload = self._read(key, "key")
        assert plan.key is not None
        return plan.key, payload

    def _read(self, document: bytes, side: Side) -> tuple[_Plan, Any]:
        reference, start = split_frame(document, self._headers, side, self._framing)
        plan = self._plans.get((side, reference)) or self._learn(reference, side)
        source = BytesIO(document)
        source.seek(start)
        try:
            payload = _untyped.schemaless_reader(source, plan.avro, None)
        except Exception as error:  # whatever a corrupt document makes of a parser in C
            raise UndecodableRecord(f"the {side} is not what its schema {reference.value} says: {error!r:.200}") from error
        if source.tell() != len(document):
            raise UndecodableRecord(
                f"the {side} has {len(document) - source.tell()} bytes more than its schema {reference.value} says"
            )
        return plan, payload

    def _learn(self, reference: Reference, side: Side) -> _Plan:
        given = self._find(reference)
        try:
            connect = make_connect(given)
            avro = _untyped.parse_schema(strip_logic(given))
        except (KeyError, TypeError, ValueError, _untyped.schema.SchemaParseException, _untyped.schema.UnknownType) as error:
            raise UndecodableRecord(f"the schema {reference.value} of the {side} can't be used: {error!r:.200}") from error
        if len(self._plans) >= _KEPT:
            del self._plans[next(iter(self._plans))]
        row = plan_value(self.find_columns, connect) if side == "value" else None
        key = plan_key(self.find_columns, connect) if side == "key" else None
        found = self._plans[side, reference] = _Plan(avro, row, key)
        return found
