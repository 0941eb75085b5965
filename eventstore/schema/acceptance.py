"""Whether one value fits a JSON Schema: what the comparison asks about the members of an enum, and a trial about its steps.

Formats are taken as notes, since the decoder of the class has the last word on them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from eventstore.codec import encode_sorted
from eventstore.schema.shape import Schema, follow, is_schema


def is_number(value: Any) -> TypeGuard[int | float]:
    """Tell whether *value* is a JSON number, which `True` is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and math.isfinite(value) and value == math.floor(value),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def accepts(schema: Any, value: Any, root: Schema) -> bool:
    """Tell whether *value* fits *schema*, whose references lead into *root*."""
    if not is_schema(schema):
        return schema is not False
    schema = follow(schema, root)
    return _fits_type(schema, value) and _fits_choice(schema, value, root) and _fits_parts(schema, value, root)


def same(first: Any, second: Any) -> bool:
    """Tell whether two JSON values are the same; `1` and `true` are not."""
    return encode_sorted(first) == encode_sorted(second)


def _fits_type(schema: Schema, value: Any) -> bool:
    given: Any = schema.get("type")
    if given is None:
        return True
    kinds: list[Any] = given if isinstance(given, list) else [given]  # pyright: ignore[reportUnknownVariableType]
    return any(_TYPES[each](value) for each in kinds if each in _TYPES)


def _fits_choice(schema: Schema, value: Any, root: Schema) -> bool:
    if "const" in schema and not same(schema["const"], value):
        return False
    if "enum" in schema and not any(same(each, value) for each in schema["enum"]):
        return False
    if "not" in schema and accepts(schema["not"], value, root):
        return False
    if not all(accepts(each, value, root) for each in schema.get("allOf", ())):
        return False
    return all(any(accepts(each, value, root) for each in schema[word]) for word in ("anyOf", "oneOf") if word in schema)


def _fits_parts(schema: Schema, value: Any, root: Schema) -> bool:
    if isinstance(value, str):
        return _fits_text(schema, value)
    if is_number(value):
        return _fits_number(schema, value)
    if isinstance(value, list):
        return _fits_array(schema, value, root)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, dict):
        return _fits_object(schema, value, root)  # pyright: ignore[reportUnknownArgumentType]
    return True


def _fits_text(schema: Schema, value: str) -> bool:
    if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf):
        return False
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


def _fits_number(schema: Schema, value: float) -> bool:
    lowest, highest = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    if not (lowest <= value <= highest) or value <= above or value >= below:
        return False
    return "multipleOf" not in schema or math.isclose(math.remainder(value, schema["multipleOf"]), 0, abs_tol=1e-9)


def _fits_array(schema: Schema, value: list[Any], root: Schema) -> bool:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
        return False
    if schema.get("uniqueItems") and len({encode_sorted(each) for each in value}) < len(value):
        return False
    first: list[Any] = schema.get("prefixItems", [])
    pairs = [*zip(first, value, strict=False), *((schema.get("items", True), each) for each in value[len(first) :])]
    return all(accepts(part, each, root) for part, each in pairs)


def _fits_object(schema: Schema, value: dict[str, Any], root: Schema) -> bool:
    if not all(each in value for each in schema.get("required", ())):
        return False
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", math.inf):
        return False
    if not all(accepts(schema.get("propertyNames", True), each, root) for each in value):
        return False
    return all(accepts(part, each, root) for name, each in value.items() for part in parts_of(schema, name))


def parts_of(schema: Schema, name: str) -> list[Any]:
    """Give the schemas that an object's *schema* holds against its field *name*."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    found += [each for pattern, each in schema.get("patternProperties", {}).items() if re.search(pattern, name)]
    return found or [schema.get("additionalProperties", True)]


def left_over(schema: Any, value: Any, root: Schema, path: str = "") -> Iterator[str]:
    """Give the paths of the fields in *value* that *schema* does not name, as a class that ignores them would drop them."""
    if not is_schema(schema):
        return
    schema = _choose(follow(schema, root), value, root)
    if isinstance(value, list):
        for each in value:  # pyright: ignore[reportUnknownVariableType]
            yield from left_over(schema.get("items", True), each, root, f"{path}[]")
    if isinstance(value, dict) and "properties" in schema:
        for name, each in value.items():  # pyright: ignore[reportUnknownVariableType]
            here = f"{path}.{name}" if path else f"{name}"
            if name in schema["properties"]:
                yield from left_over(schema["properties"][name], each, root, here)
            elif not schema.get("additionalProperties") and "patternProperties" not in schema:
                yield here


def _choose(schema: Schema, value: Any, root: Schema) -> Schema:
    for word in ("anyOf", "oneOf"):
        for arm in schema.get(word, ()):
            if accepts(arm, value, root):
                return _choose(follow(arm, root), value, root)
    return schema
