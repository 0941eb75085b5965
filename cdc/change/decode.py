"""One Kafka record of a captured table -> one Change. Pure: bytes in, values out.

A value must be Debezium's envelope; rows flattened by ExtractNewRecordState have lost what a reader needs and are refused. A
tombstone (no value) is None: it serves the log's compaction, the `d` before it told the news. Everything that is not as
promised raises UndecodableRecord with the reason, so that a worker can park the record and go on.
Measured: benchmarks/cdc_decode.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from cdc.change.change import Change, Origin, Row
from cdc.change.column import Column, Schema, Step, find_column
from cdc.change.declared import Modes, declare_columns, find_packing
from cdc.change.envelope import Splitter
from cdc.change.number import read_bytes
from cdc.change.row import RowReader, compile_declared, compile_row
from eventstore.codec import decode, loads
from eventstore.errors import UndecodableRecord

_FAILURES = (KeyError, TypeError, ValueError, IndexError, AttributeError)
_WITH_SCHEMA = b'{"schema":{'
_ROWLESS = {"t", "m"}
_LAST_TIME = 62_000_000_000_000_000
"""Microseconds to 1970 from the year 5 and on to 3934."""
Finder = Callable[[Schema], dict[str, Column]]
Requirement = Callable[[Sequence[Schema]], None]


class KeyPlan(NamedTuple):
    """How a key is read: the names of its columns, in order, and the reader of their values."""

    names: tuple[str, ...]
    read: RowReader


class Decoder:
    """Decodes the records of one table's topic; it caches by schema, so keep one for each topic.

    Each record brings its schema, or *columns* (name -> PostgreSQL type) declares all of them, written in *modes*. Beside a
    schema a declaration overrides it for its column: a domain over numeric is text to the schema.
    *full* says that the table has REPLICA IDENTITY FULL, so that `before` holds real values. *require* is asked about the fields of each
    new schema of a row, and raises for one that it refuses.
    """

    def __init__(
        self,
        *,
        full: bool = False,
        columns: Mapping[str, str] | None = None,
        modes: Modes | None = None,
        require: Requirement | None = None,
    ) -> None:
        self._full = full
        chosen = modes or Modes()
        self._declared = declare_columns(columns or {}, chosen)
        binary = find_packing(chosen)
        self._content = binary or read_bytes
        find = self.find_columns = partial(_columns, declared=self._declared, binary=binary, require=require)
        self._values = Splitter(partial(plan_value, find))
        self._keys = Splitter(partial(plan_key, find))
        self._narrow = compile_declared(self._declared)
        self._key_plan: KeyPlan | None = None

    def decode(self, key: bytes | None, value: bytes | None) -> Change | None:
        """Give the change of one record, None for a tombstone. Raises UndecodableRecord with the reason."""
        if value is None:
            return None
        read, payload = self.split_value(value)
        try:
            op, source = payload["op"], payload["source"]
            order = _read_order(source["sequence"])
            _require_time(source)
            if op in _ROWLESS:
                return _read_rowless(op, payload, source, order, self._content)
            after = payload["after"]
            names, values = self._read_key(key)
            table = f"{source['schema']}.{source['table']}"
            transaction = payload.get("transaction")
            return Change(
                op,
                table,
                values,
                self._read_before(payload["before"], read),
                _read_after(op, after, read),
                Origin(source),
                order,
                names,
                transaction and transaction["total_order"],
            )
        except _FAILURES as error:
            raise _refuse(payload, error) from error

    def _read_before(self, before: Row | None, read: RowReader | None) -> Row | None:
        if not self._full or before is None or read is None:
            return None
        return read(before)

    def split_value(self, value: bytes) -> tuple[RowReader | None, Any]:
        """Give the envelope as parsed JSON, and how its rows are read."""
        if self._declared and not value.startswith(_WITH_SCHEMA):
            return self._narrow, decode(value)
        return self._values.split(value)

    def split_key(self, key: bytes) -> tuple[KeyPlan, Row]:
        """Give the key as parsed JSON, and how it is read."""
        if not self._declared or key.startswith(_WITH_SCHEMA):
            return self._keys.split(key)
        payload = decode(key)
        plan = self._key_plan
        if plan is None or plan.names != tuple(payload):
            plan = self._key_plan = _plan_declared_key(payload, self._declared)
        return plan, payload

    def _read_key(self, key: bytes | None) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        if key is None:
            return (), ()
        plan, payload = self.split_key(key)
        row = plan.read(payload)
        return plan.names, tuple(row[name] for name in plan.names)


def _plan_declared_key(payload: Row, declared: Mapping[str, Column]) -> KeyPlan:
    unknown = [name for name in payload if name not in declared]
    if unknown:
        raise ValueError(f"the key column {unknown[0]} is not declared")
    return KeyPlan(tuple(payload), compile_row({name: declared[name] for name in payload}))


def _read_order(sequence: str) -> tuple[int, int]:
    commit, event = loads(sequence)
    position = int(event)
    return (position if commit is None else int(commit)), position


def _require_time(source: dict[str, Any]) -> None:
    """Require a commit time that `Origin.committed_at` can give."""
    micros = source.get("ts_us")
    if micros is None:
        micros = source["ts_ms"] * 1000
    if type(micros) is not int or not -_LAST_TIME < micros < _LAST_TIME:
        raise ValueError(f"the source's time {micros!r:.40} is no time")


def _read_after(op: str, after: Row | None, read: RowReader | None) -> Row | None:
    if op == "d":
        return None
    if op not in ("c", "u", "r"):
        raise ValueError(f"op {op!r} is none of c, u, d, r, t, m")
    if after is None or read is None:
        raise ValueError(f"a change with op {op!r} has no row after it")
    return read(after)


def _read_rowless(op: Any, payload: dict[str, Any], source: dict[str, Any], order: tuple[int, int], read: Step) -> Change:
    if op == "t":
        return Change("t", f"{source['schema']}.{source['table']}", (), None, None, Origin(source), order)
    message = payload["message"]
    content = {"prefix": message["prefix"], "content": read(message["content"])}
    return Change("m", "", (message["prefix"],), None, content, Origin(source), order, ("prefix",))


def plan_value(find: Finder, schema: Schema) -> RowReader | None:
    """Make the row reader of an envelope's schema; None for messages, which have no row."""
    try:
        after = next((field for field in schema["fields"] if field["field"] == "after"), None)
        return None if after is None else compile_row(find(after))
    except (KeyError, TypeError, ValueError) as error:
        raise UndecodableRecord(f"the value's schema can't be used: {error}", schema=str(schema.get("name"))) from error


def plan_key(find: Finder, schema: Schema) -> KeyPlan:
    """Make the plan of a key's schema."""
    try:
        columns = find(schema)
    except (KeyError, TypeError, ValueError) as error:
        raise UndecodableRecord(f"the key's schema can't be used: {error}", schema=str(schema.get("name"))) from error
    return KeyPlan(tuple(columns), compile_row(columns))


def _columns(
    struct: Schema, declared: Mapping[str, Column], binary: Step | None, require: Requirement | None
) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    if require is not None and struct.get("field") == "after":
        require(struct["fields"])
    for field in struct["fields"]:
        name = field["field"]
        try:
            columns[name] = declared.get(name) or find_column(field, binary)
        except ValueError as error:
            raise ValueError(f"column {name}: {error}") from error
    return columns


def _refuse(payload: Any, error: Exception) -> UndecodableRecord:
    if not isinstance(payload, dict):
        return UndecodableRecord(f"not a Debezium envelope but {payload!r:.80}")
    fields = cast("dict[str, Any]", payload)
    if "op" not in fields or "source" not in fields:
        seen = ", ".join(sorted(fields)[:8])
        hint = "take the ExtractNewRecordState transform off the connector" if "status" not in fields else "use read_boundary"
        return UndecodableRecord(f"not a Debezium envelope: no op or source among its fields ({seen}); {hint}.")
    source: Any = fields["source"]
    other = cast("dict[str, Any]", source).get("connector", "postgresql") if isinstance(source, dict) else "postgresql"
    if other != "postgresql":
        return UndecodableRecord(f"a change of Debezium's connector for {other}, whose order this release can't read")
    return UndecodableRecord(f"a malformed change (op {fields['op']!r}): {type(error).__name__}: {error}")
