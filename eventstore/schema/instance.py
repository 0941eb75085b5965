"""Instances of a JSON Schema to try a decoder with: few, the same each time, and at the edges where decoders differ.

One is plain; the others differ from it in one place each, so that whatever fails shows the field that makes it fail. Every
alternative, every member of an enum, both ends of every range and every absent optional field occurs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from eventstore.codec import encode_sorted
from eventstore.schema.acceptance import accepts
from eventstore.schema.shape import Schema, arms, is_schema, merge_all

LIMIT: Final = 400
_EACH: Final = 24
_DEPTH: Final = 5
_TEXTS: dict[str, tuple[str, ...]] = {
    "date-time": ("2024-02-29T23:59:59.123456Z", "1970-01-01T00:00:00+00:00", "2038-01-19T03:14:08+02:00"),
    "date": ("2024-02-29", "1900-01-01"),
    "time": ("12:30:00", "23:59:59.999999"),
    "duration": ("P1DT2H", "PT0.5S"),
    "uuid": ("0190163d-8694-739b-aea5-966c26f8ad91", "00000000-0000-4000-8000-000000000000"),
    "decimal": ("0", "-12.345", "1000000000000000000.01", "1E+3"),
    "email": ("ann@example.org",),
    "uri": ("https://example.org/a?b=c",),
    "ipv4": ("127.0.0.1",),
    "ipv6": ("::1",),
    "binary": ("YWJj", ""),
    "json-string": ("{}", "1"),
}
_PLAIN: Final = ("text", "", "Zoë ✓ 😀", "0", "null", "two words", "-1.5", "true", "2024-02-29")
_SHAPES: Final = (
    "A",
    "a",
    "1",
    "AB",
    "ab",
    "ABC",
    "abc",
    "123",
    "1234",
    "12345",
    "ABC-123",
    "abc-123",
    "A1",
    "a1",
    "a.b",
    "a_b",
    "a@b.org",
    "+4179",
    "CH",
    "EUR",
)
_OTHERS: Final[dict[str, tuple[Any, ...]]] = {"boolean": (True, False), "null": (None,)}
_ANYTHING: Final[tuple[Any, ...]] = ("text", 1, None, {}, [])
_INTEGERS: Final = (1, 0, -1, 100, 2**31, -(2**31) - 1, 2**53)
_NUMBERS: Final = (1.5, 0, -2.25, 100, 1e-9, 1e15)


def make_instances(schema: Schema, limit: int = LIMIT) -> list[Any]:
    """Give up to *limit* different values that fit *schema*, the plainest first; none when nothing was found that fits."""
    return list(islice(_distinct(_values(schema, schema, 0)), limit))


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    seen: set[bytes] = set()
    for each in values:
        mark = encode_sorted(each)
        if mark not in seen:
            seen.add(mark)
            yield each


def _values(schema: Any, root: Schema, depth: int) -> Iterator[Any]:
    if not is_schema(schema):
        yield from ("text", 1, None) if schema is not False else ()
        return
    options = [merge_all(each, root) for each in arms(schema, root)]
    if depth > _DEPTH:
        options = [each for each in options if each.get("type") not in ("object", "array")] or options
    for each in options:
        yield from (value for value in _single(each, root, depth) if accepts(each, value, root))


def _single(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    kind = "object" if "properties" in schema else schema.get("type")
    if "const" in schema or "enum" in schema:
        yield from schema["enum"] if "enum" in schema else [schema["const"]]
    elif kind == "object":
        yield from _objects(schema, root, depth)
    elif kind == "array":
        yield from _arrays(schema, root, depth)
    elif kind == "string":
        yield from _texts(schema)
    elif kind in ("integer", "number"):
        yield from _numbers(schema, whole=kind == "integer")
    else:
        yield from _OTHERS.get(str(kind), _ANYTHING)


def _objects(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    """Give a plain object, then ones that differ from it in one field, then one without its optional fields."""
    required = set(schema.get("required", ()))
    choices: dict[str, list[Any]] = {}
    for name, each in schema.get("properties", {}).items():
        if name not in required and depth > _DEPTH:
            continue
        found = list(islice(_distinct(_values(each, root, depth + 1)), _EACH))
        if not found and name in required:
            return
        if found:
            choices[name] = found
    plain = {name: values[0] for name, values in choices.items()}
    yield plain
    yield {name: value for name, value in plain.items() if name in required}
    for name, values in choices.items():
        yield from ({**plain, name: value} for value in values[1:])
        if name not in required:
            yield {other: value for other, value in plain.items() if other != name}
    yield from _extra_fields(schema, root, plain, depth)


def _extra_fields(schema: Schema, root: Schema, plain: dict[str, Any], depth: int) -> Iterator[Any]:
    """Give objects with fields that have no name in the schema, when it allows them."""
    more = schema.get("additionalProperties")
    if more is None or more is False or depth > _DEPTH:
        return
    names = [each for each in _names(schema) if each not in plain][:2]
    for value in islice(_values(more, root, depth + 1), _EACH):
        yield {**plain, **dict.fromkeys(names[:1], value)}
    for value in islice(_values(more, root, depth + 1), 1):
        yield {**plain, **dict.fromkeys(names, value)}


def _names(schema: Schema) -> Iterator[str]:
    wanted = schema.get("propertyNames", {})
    yield from (str(each) for each in _single({"type": "string", **wanted}, {}, 0) if accepts(wanted, each, {}) and each)
    yield from (each for pattern in schema.get("patternProperties", ()) for each in _SHAPES if re.search(pattern, each))


def _arrays(schema: Schema, root: Schema, depth: int) -> Iterator[Any]:
    first = [list(islice(_values(each, root, depth + 1), _EACH)) for each in schema.get("prefixItems", ())]
    rest = list(islice(_distinct(_values(schema.get("items", True), root, depth + 1)), _EACH)) if depth <= _DEPTH else []
    least, most = schema.get("minItems", 0), schema.get("maxItems", 8)
    if first:
        if all(first):
            plain = [each[0] for each in first]
            yield plain
            yield from ([*plain[:index], value, *plain[index + 1 :]] for index, each in enumerate(first) for value in each[1:])
        return
    if rest:
        filled = [rest[index % len(rest)] for index in range(max(1, least))]
        yield filled
        yield from ([value, *filled[1:]] for value in rest[1:])
        yield from (filled[:1] * length for length in sorted({2, min(most, max(least, 8))}) if length <= most)
        yield rest[: max(2, least)] if most >= 2 else filled
    yield []


def _texts(schema: Schema) -> Iterator[str]:
    """Give texts of the format, or plain ones brought to the lengths that are allowed."""
    if "format" in schema and schema["format"] in _TEXTS:
        yield from _TEXTS[schema["format"]]
        return
    least = schema.get("minLength", 0)
    most = schema.get("maxLength", max(least, 64))
    yield from _PLAIN
    yield from (("x" * length) for length in sorted({least, most}) if length)
    if "pattern" in schema:
        yield from _SHAPES
        yield from (each.ljust(least, each[-1]) for each in _SHAPES)
        yield from (digit * length for digit in "1Aa" for length in (least, most, 2, 3, 6, 8, 10))


def _numbers(schema: Schema, *, whole: bool) -> Iterator[float]:
    step = schema.get("multipleOf", 1 if whole else 0)
    lowest = schema.get("minimum", schema.get("exclusiveMinimum"))
    highest = schema.get("maximum", schema.get("exclusiveMaximum"))
    near = [edge + way * (step or 0.5) for edge in (lowest, highest) if edge is not None for way in (0, 1, -1)]
    yield from (int(each) if whole else each for each in near)
    yield from _INTEGERS if whole else _NUMBERS
    if step:
        yield from (step * times for times in (1, 0, 3, -2))
