"""From an Avro schema, as Connect's converters write it, back to the Connect schema it stands for. Pure.

The converters keep Connect's names, versions and parameters as properties (`connect.name`, `connect.parameters`), so nothing that the
decoder looks at is lost. Logical types of Avro are taken off before reading: they would make Python values by rules other than ours.
"""

from __future__ import annotations

from typing import Any, cast

from cdc.change.column import ENTRIES, Schema

_PRIMITIVES = {
    "boolean": "boolean", "int": "int32", "long": "int64", "float": "float", "double": "double", "bytes": "bytes", "string": "string",
    "enum": "string", "fixed": "bytes",
}  # fmt: skip
_OURS = ("io.debezium.", "org.apache.kafka.connect.")


def strip_logic(avro: Any) -> Any:
    """Give *avro* without logical types, so that values are read as they were written."""
    if isinstance(avro, dict):
        fields = cast("dict[str, Any]", avro)
        return {name: strip_logic(each) for name, each in fields.items() if name != "logicalType"}
    return [strip_logic(each) for each in cast("list[Any]", avro)] if isinstance(avro, list) else avro


def make_connect(avro: Any, known: dict[str, Any] | None = None, space: str = "") -> Schema:
    """Give the Connect schema of *avro*. Raises ValueError for what no converter writes. *known* are named types seen before."""
    known = {} if known is None else known
    if isinstance(avro, list):
        return _make_optional(cast("list[Any]", avro), known, space)
    if isinstance(avro, str):
        kind = _PRIMITIVES.get(avro)
        return {"type": kind} if kind else make_connect(_look_up(avro, known, space), known, space)
    given = cast("dict[str, Any]", avro)
    if isinstance(given["type"], (dict, list)):
        return make_connect(given["type"], known, space)
    return {**_make_typed(given, known, space), **_name(given)}


def _make_typed(given: dict[str, Any], known: dict[str, Any], space: str) -> Schema:
    kind: str = given["type"]
    if kind == "record":
        return _make_struct(given, known, space)
    if kind == "array":
        return {"type": "array", "items": make_connect(given["items"], known, space)}
    if kind == "map":
        return {"type": "map", "values": make_connect(given["values"], known, space)}
    if kind not in _PRIMITIVES:
        return make_connect(_look_up(kind, known, space), known, space)
    if kind in ("enum", "fixed"):
        known[_full_name(given, space)] = given
    return {"type": given.get("connect.type", _PRIMITIVES[kind])}


def is_entries(avro: dict[str, Any]) -> bool:
    """Tell whether an array stands for a map whose keys Avro can't hold as such: a list of entries."""
    items = avro.get("items")
    return isinstance(items, dict) and cast("dict[str, Any]", items).get("connect.internal.type") == "MapEntry"


def _make_optional(union: list[Any], known: dict[str, Any], space: str) -> Schema:
    kinds = [each for each in union if each != "null"]
    if len(kinds) != 1:
        raise ValueError(f"a union of {len(kinds)} types stands for no column")
    return {**make_connect(kinds[0], known, space), "optional": True}


def _make_struct(record: dict[str, Any], known: dict[str, Any], space: str) -> Schema:
    name = _full_name(record, space)
    known[name] = record
    inner = name.rpartition(".")[0]
    return {
        "type": "struct",
        "fields": [{**make_connect(each["type"], known, inner), "field": each["name"]} for each in record["fields"]],
    }


def _name(avro: dict[str, Any]) -> Schema:
    """Give the name and parameters of the Connect schema."""
    found: Schema = {}
    name = (
        ENTRIES
        if is_entries(avro)
        else avro.get("connect.name") or (_full_name(avro, "") if avro.get("type") == "record" else None)
    )
    if name and name.startswith((*_OURS, ENTRIES)):
        found["name"] = name
    parameters = dict(avro.get("connect.parameters") or {})
    if "scale" in avro:
        parameters.setdefault("scale", str(avro["scale"]))
    return found | {"parameters": parameters} if parameters else found


def _full_name(avro: dict[str, Any], space: str) -> str:
    name: str = avro["name"]
    space = avro.get("namespace", space)
    return name if "." in name or not space else f"{space}.{name}"


def _look_up(name: str, known: dict[str, Any], space: str) -> Any:
    found = known.get(name) or known.get(f"{space}.{name}")
    if found is None:
        raise ValueError(f"the Avro type {name!r} is not declared")
    return found
