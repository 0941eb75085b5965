"""A captured table whose topic is written in Avro."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cdc.avro.wire import Framing
from cdc.capture import CapturedTable
from eventstore.source import Message, Reader, Record


@dataclass(frozen=True, slots=True)
class AvroTable(CapturedTable):
    """The changes of one table, decoded from Avro. The registry is the one of the REFOLD_REGISTRY_ settings.

    A schema is asked for when the first record with it comes, and then kept; while no registry answers, readers wait and try again.
    """

    framing: Framing = "confluent"

    def reader(self, wanted: frozenset[str]) -> Reader:
        """Make a reader of this table's changes; tombstones, and everything when the table is not wanted, give None."""
        if self.table not in wanted:
            return _pass_over
        from cdc.avro.decode import AvroDecoder
        from cdc.connect.registry import Registry

        registry = Registry()
        decoder = AvroDecoder(
            lambda found: registry.find(*found),
            self.framing,
            full=self.full,
            columns=self.columns,
            modes=self.modes,
            require=self.find_requirement(),
        )
        table = self.table

        def read(record: Record) -> Message | None:
            change = decoder.decode_record(record.key, record.value, record.headers)
            return None if change is None else Message(table, change, change.key, None)

        return read


def _pass_over(record: Record) -> Any:  # noqa: ARG001 - a Reader takes the record
    return None
