"""JSON Schemas as plain dictionaries: following references, the form that tells two of them apart, and its fingerprint.

Covered is what pydantic and msgspec generate (draft 2020-12); what this package does not know it compares by equality.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from eventstore.codec import encode, encode_sorted

Schema = dict[str, Any]
LENGTH: Final = 12
UNKNOWN: Final[Schema] = {"x-unknown": True}
"""Stands for data of which nothing is known, because a function without a declared type made it."""
_NOTES = frozenset(
    {
        "title",
        "description",
        "examples",
        "$comment",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$schema",
        "$id",
        "$defs",
        "discriminator",
    }
)
_MAPS = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("allOf", "prefixItems")
_NAMES = {"oneOf": "anyOf", "const": "enum"}
_ARMS = ("anyOf", "oneOf")
_SINGLE = ("items", "additionalProperties", "propertyNames", "contains", "not", "if", "then", "else", "unevaluatedProperties")


def is_schema(value: Any) -> TypeGuard[Schema]:
    """Tell whether *value* is a schema with keywords, not `true`, `false` or something else."""
    return isinstance(value, dict)


def follow(schema: Schema, root: Schema) -> Schema:
    """Give *schema* with the reference at its top replaced by what it leads to in *root*; keywords beside it win.

    A reference that leads nowhere gives an empty schema, which holds for everything.
    """
    for _ in range(64):
        if "$ref" not in schema:
            return schema
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**find(root, schema["$ref"]), **beside}
    return schema


def find(root: Schema, reference: str) -> Schema:
    """Give the schema under a local reference such as `#/$defs/Line`."""
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        found = found.get(name, {}) if isinstance(found, Mapping) else {}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return found if is_schema(found) else {}


def arms(schema: Schema, root: Schema) -> list[Schema]:
    """Give the alternatives of *schema*, each with the keywords that stand beside the choice."""
    schema = follow(schema, root)
    for word in _ARMS:
        if word in schema:
            beside = {key: value for key, value in schema.items() if key not in (word, "discriminator", "default")}
            return [one for arm in schema[word] if is_schema(arm) for one in arms(_join(beside, follow(arm, root)), root)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": each} for each in schema["type"]]
    return [schema]


def _join(first: Schema, second: Schema) -> Schema:
    joined = {**first, **second}
    if "properties" in first and "properties" in second:
        joined["properties"] = {**first["properties"], **second["properties"]}
    if "required" in first and "required" in second:
        joined["required"] = [*first["required"], *(each for each in second["required"] if each not in first["required"])]
    return joined


def merge_all(schema: Schema, root: Schema) -> Schema:
    """Give *schema* with its `allOf` joined into it."""
    schema = follow(schema, root)
    if "allOf" not in schema:
        return schema
    joined = {key: value for key, value in schema.items() if key != "allOf"}
    for each in schema["allOf"]:
        joined = _join(joined, merge_all(each, root)) if is_schema(each) else joined
    return joined


def canonical(schema: Any, root: Schema | None = None, above: tuple[str, ...] = ()) -> Any:
    """Give the form that is equal for schemas which mean the same: no notes, references written out, alternatives sorted.

    A reference to itself becomes the number of levels that it goes up, so the names of classes do not matter.
    """
    if not is_schema(schema):
        return schema
    root = schema if root is None else root
    if "$ref" in schema:
        reference: str = schema["$ref"]
        if reference in above:
            return {"$up": len(above) - above.index(reference)}
        return canonical(follow(schema, root), root, (*above, reference))
    return {_NAMES.get(key, key): _canonical_part(key, value, root, above) for key, value in schema.items() if key not in _NOTES}


def _canonical_part(key: str, value: Any, root: Schema, above: tuple[str, ...]) -> Any:
    if key in _MAPS:
        return {name: canonical(each, root, above) for name, each in value.items()}
    if key in _ARMS:
        return sorted((canonical(each, root, above) for each in value), key=encode_sorted)
    if key in _LISTS:
        return [canonical(each, root, above) for each in value]
    if key in _SINGLE or key == "const":
        return canonical(value, root, above) if key in _SINGLE else [value]
    if key in ("enum", "required", "type") and isinstance(value, list):
        return sorted(value, key=encode_sorted)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return value


def fingerprint(schema: Schema) -> str:
    """Give 12 hex digits that are equal for schemas which mean the same."""
    return hashlib.sha256(encode_sorted(canonical(schema))).hexdigest()[:LENGTH]


def brief(schema: Any) -> str:
    """Give *schema* in one line for a person, without notes and without what lies deeper than its fields' names."""
    if not is_schema(schema):
        return "anything" if schema in (True, None) else "nothing"
    if not schema:
        return "anything"
    if "properties" in schema:
        return "object with " + (", ".join(schema["properties"]) or "no field")
    shown = {key: value for key, value in schema.items() if key not in _NOTES and key != "default"}
    text = encode(shown).decode()
    return text if len(text) <= 160 else text[:157] + "..."


def locate(schema: Schema, path: str, root: Schema | None = None) -> Any:
    """Give what *schema* says about *path* (`lines[].qty`); None when it names no such field."""
    root = schema if root is None else root
    here: Any = schema
    for part in path.replace("[]", ".[]").split("."):
        if not part:
            continue
        options = [merge_all(each, root) for each in arms(here, root)] if is_schema(here) else []
        held = [each["items"] if part == "[]" else each["properties"][part] for each in options if _has(each, part)]
        if not held:
            return None
        here = held[0]
    return follow(here, root) if is_schema(here) else here


def _has(schema: Schema, part: str) -> bool:
    return "items" in schema if part == "[]" else part in schema.get("properties", {})


def list_fields(schema: Any, root: Schema, path: str = "", depth: int = 8) -> Iterator[str]:
    """Give the paths of all fields that *schema* names, down to *depth* levels."""
    if not is_schema(schema) or depth == 0:
        return
    for each in (merge_all(arm, root) for arm in arms(schema, root)):
        for name, part in each.get("properties", {}).items():
            here = f"{path}.{name}" if path else name
            yield here
            yield from list_fields(part, root, here, depth - 1)
        if "items" in each:
            yield from list_fields(each["items"], root, f"{path}[]", depth - 1)
