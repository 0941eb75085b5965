"""Whether the limits of one JSON Schema are within those of another: numbers, texts, lengths, formats."""

from __future__ import annotations

import math
from collections.abc import Iterator

from eventstore.schema.finding import Break
from eventstore.schema.shape import Schema, brief

_COUNTS = (
    ("minLength", "maxLength", "characters", "string"),
    ("minItems", "maxItems", "items", "array"),
    ("minProperties", "maxProperties", "fields", "object"),
)
_WORDS = ("pattern", "format", "contentEncoding", "contentMediaType")


def compare_bounds(old: Schema, new: Schema, path: str) -> Iterator[Break]:
    """Give the limits of *new* that data of *old* may break, for the types that *old* can have."""
    for why, proven in (*_numbers(old, new), *_counts(old, new), *_texts(old, new)):
        advice = "Widen the limit of the class, or bring old values within it in the upcaster: convert(…, by=…)."
        yield Break(path, brief(old), brief(new), why, advice, proven)


def _can_be(schema: Schema, kind: str) -> bool:
    given = schema.get("type")
    return given is None or given == kind


def _numbers(old: Schema, new: Schema) -> Iterator[tuple[str, bool]]:
    if not _can_be(old, "integer") and not _can_be(old, "number"):
        return
    if _lowest(old) < _lowest(new):
        yield f"numbers below {new.get('minimum', new.get('exclusiveMinimum'))} are refused now", True
    if _highest(old) > _highest(new):
        yield f"numbers above {new.get('maximum', new.get('exclusiveMaximum'))} are refused now", True
    step = new.get("multipleOf")
    own = old.get("multipleOf", 1 if old.get("type") == "integer" else None)
    if step is not None and (own is None or not math.isclose(math.remainder(own, step), 0, abs_tol=1e-9)):
        yield f"numbers that are no multiple of {step} are refused now", True


def _lowest(schema: Schema) -> tuple[float, bool]:
    """Give the lower limit and whether it is excluded itself."""
    return max((schema.get("minimum", -math.inf), False), (schema.get("exclusiveMinimum", -math.inf), True))


def _highest(schema: Schema) -> tuple[float, bool]:
    """Give the upper limit and whether it is included."""
    return min((schema.get("maximum", math.inf), True), (schema.get("exclusiveMaximum", math.inf), False))


def _counts(old: Schema, new: Schema) -> Iterator[tuple[str, bool]]:
    for least, most, what, kind in _COUNTS:
        if not _can_be(old, kind):
            continue
        if old.get(least, 0) < new.get(least, 0):
            yield f"fewer than {new[least]} {what} are refused now", True
        if old.get(most, math.inf) > new.get(most, math.inf):
            yield f"more than {new[most]} {what} are refused now", True


def _texts(old: Schema, new: Schema) -> Iterator[tuple[str, bool]]:
    if not _can_be(old, "string"):
        return
    for word in _WORDS:
        if word in new and old.get(word) != new[word]:
            before = f"{word} {old[word]!r}" if word in old else "any text"
            yield f"{before} became {word} {new[word]!r}", word != "pattern" or "pattern" not in old
