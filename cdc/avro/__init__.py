"""Captured tables whose topics are written in Avro, with schemas in a registry; needs the extra `avro`.

`AvroTable` is a `CapturedTable` in every other respect: the same changes, the same Python values.
"""

from cdc.avro.table import AvroTable
from cdc.avro.wire import Framing

__all__ = ["AvroTable", "Framing"]
