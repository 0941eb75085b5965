"""Whether everything that fits one JSON Schema also fits another, so that a reader of the new one reads all data of the old one.

The answer is a list of breaks, empty when the reader takes all. It is sound for what pydantic and msgspec generate: no break means
that every instance fits. Where two keywords can't be compared (two patterns, say) a break is given that is not *proven*.
A writer writes the fields that its schema names and no others, unless the schema says that there may be more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from eventstore.codec import encode_sorted
from eventstore.schema.acceptance import accepts, parts_of, same
from eventstore.schema.bounds import compare_bounds
from eventstore.schema.finding import Break
from eventstore.schema.shape import UNKNOWN, Schema, arms, brief, canonical, merge_all

_KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
_OPAQUE = ("not", "if", "then", "else", "contains", "dependentSchemas", "dependentRequired", "unevaluatedProperties")
_UNIQUE_ADVICE = "Remove repeats in the upcaster, or let the reader take a list."


def compare(old: Schema, new: Schema) -> list[Break]:
    """Give what keeps a reader of *new* from reading data of *old*."""
    return list(_Comparison(old, new).schemas(old, new, ""))


class _Comparison:
    """One comparison. A pair that is under way is taken to fit where it meets itself, as in recursive types."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old = old
        self.new = new
        self._under_way: set[tuple[bytes, bytes]] = set()

    def schemas(self, old: Any, new: Any, path: str) -> Iterator[Break]:
        """Compare what stands at *path*."""
        if new is True or old is False or new == {}:
            return
        if new is False:
            yield _broken(path, old, new, "the reader takes no value here", "Drop the field in an upcaster.")
            return
        old = {} if old is True else old
        pair = (encode_sorted(old), encode_sorted(new))
        if old.get("x-unknown") == UNKNOWN["x-unknown"] or pair in self._under_way:
            return
        self._under_way.add(pair)
        for each in arms(old, self.old):
            yield from self._arm(merge_all(each, self.old), new, path)
        self._under_way.discard(pair)

    def _arm(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        """Let one alternative of the old find one of the new: the one with the fewest breaks speaks for all."""
        choices = [merge_all(each, self.new) for each in arms(new, self.new)]
        best: list[Break] | None = None
        for each in choices:
            found = list(self._single(old, each, path))
            if not found:
                return
            if best is None or _rank(old, each, found) < _rank(old, each, best):
                best = found
        if len(choices) > 1 and best and all(each.path == path for each in best):
            why = f"none of the reader's {len(choices)} alternatives takes it: {best[0].why}"
            yield _broken(path, old, new, why, best[0].advice, proven=best[0].proven)
        else:
            yield from best or ()

    def _single(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        if "const" in old or "enum" in old:
            yield from self._members(old, new, path)
            return
        kinds, taken = _kinds(old), _kinds(new)
        missing = [each for each in kinds if each not in taken and not (each == "integer" and "number" in taken)]
        if missing:
            yield _broken(path, old, new, f"{' and '.join(missing)} became {' or '.join(taken)}", _advise_type(path))
            return
        if "const" in new or "enum" in new:
            yield from self._finite(old, new, path)
            return
        yield from compare_bounds(old, new, path)
        yield from self._opaque(old, new, path)
        if "array" in kinds:
            yield from self._arrays(old, new, path)
        if "object" in kinds:
            yield from self._objects(old, new, path)

    def _members(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        members = [old["const"]] if "const" in old else old["enum"]
        refused = [each for each in members if not accepts(new, each, self.new)]
        if refused:
            shown = ", ".join(map(repr, refused[:5])) + (", …" if len(refused) > 5 else "")
            advice = f"Keep {shown} in the reader's type, or map it in an upcaster: convert({_name(path)!r}, by=…)."
            yield _broken(path, old, new, f"the reader no longer takes {shown}", advice)

    def _finite(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        members = [new["const"]] if "const" in new else new["enum"]
        whole = {"null": [None], "boolean": [True, False]}.get(str(old.get("type")))
        if whole is None or not all(any(same(each, one) for one in members) for each in whole):
            why = f"any {' or '.join(_kinds(old))} became a choice of {len(members)}"
            yield _broken(path, old, new, why, f"Map old values in an upcaster: convert({_name(path)!r}, by=…).")

    def _opaque(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        for word in _OPAQUE:
            if word in new and canonical(old.get(word), self.old) != canonical(new[word], self.new):
                why = f"the reader's {word!r} can't be compared"
                yield _broken(path, old, new, why, "Try it with real events: `eventstore schemas rehearse`.", proven=False)

    def _arrays(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        if new.get("uniqueItems") and not old.get("uniqueItems") and old.get("maxItems", math.inf) > 1:
            yield _broken(path, old, new, "the reader wants each item once", _UNIQUE_ADVICE)
        before: list[Any] = old.get("prefixItems", [])
        after: list[Any] = new.get("prefixItems", [])
        for index in range(max(len(before), len(after))):
            if index < old.get("maxItems", math.inf):
                first = before[index] if index < len(before) else old.get("items", True)
                second = after[index] if index < len(after) else new.get("items", True)
                yield from self.schemas(first, second, f"{path}[{index}]")
        if old.get("maxItems", math.inf) > max(len(before), len(after)):
            yield from self.schemas(old.get("items", True), new.get("items", True), f"{path}[]")

    def _objects(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        written: dict[str, Any] = old.get("properties", {})
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield self._required(old, new, path, name)
        for name, schema in written.items():
            for taken in parts_of(new, name):
                advice = None if taken is not False else f"Drop it in the upcaster: drop({_name(_join(path, name))!r})."
                if advice:
                    yield _broken(_join(path, name), schema, None, "the reader refuses a field that it does not know", advice)
                else:
                    yield from self.schemas(schema, taken, _join(path, name))
        yield from self._open_fields(old, new, path)

    def _required(self, old: Schema, new: Schema, path: str, name: str) -> Break:
        here = _join(path, name)
        before, after = old.get("properties", {}).get(name), new.get("properties", {}).get(name)
        why = (
            "the reader needs this field, which old events may lack"
            if before
            else "the reader needs this field, which old events lack"
        )
        advice = f"Fill it in the upcaster, `defaults({name}=…)`, or give it a default in the class."
        return _broken(here, before, after, why, advice)

    def _open_fields(self, old: Schema, new: Schema, path: str) -> Iterator[Break]:
        """Compare the fields that have no name of their own, as in a dictionary."""
        written: dict[str, Any] = old.get("properties", {})
        more = [*old.get("patternProperties", {}).values()]
        if old.get("additionalProperties"):
            more.append(old["additionalProperties"])
        elif "properties" not in old and "patternProperties" not in old:
            more.append(old.get("additionalProperties", True))
        for schema in more:
            if schema is False:
                continue
            yield from self.schemas(schema, new.get("additionalProperties", True), f"{path}{{}}")
            for name, taken in new.get("properties", {}).items():
                if name not in written:
                    yield from self.schemas(schema, taken, _join(path, name))
        if "propertyNames" in new and canonical(old.get("propertyNames")) != canonical(new["propertyNames"]):
            names = {"type": "string", **old.get("propertyNames", {})}
            yield from self.schemas(names, {"type": "string", **new["propertyNames"]}, f"{path}{{names}}")


def _rank(old: Schema, new: Schema, found: list[Break]) -> tuple[bool, int]:
    """Prefer the alternative of the same type, then the one with the fewest breaks."""
    return not set(_kinds(old)) & set(_kinds(new)), len(found)


def _kinds(schema: Schema) -> list[str]:
    """Give the JSON types that *schema* allows; all when it names none."""
    given: Any = schema.get("type")
    if given is None:
        if "enum" in schema or "const" in schema:
            members = schema.get("enum", [schema.get("const")])
            return [each for each in _KINDS if any(accepts({"type": each}, one, {}) for one in members)]
        return [each for each in _KINDS if each != "integer"]
    return [given] if isinstance(given, str) else list(given)


def _broken(path: str, old: Any, new: Any, why: str, advice: str, *, proven: bool = True) -> Break:
    return Break(path, None if old is None else brief(old), None if new is None else brief(new), why, advice, proven)


def _advise_type(path: str) -> str:
    return (
        f"Turn old values into new ones in the upcaster: convert({_name(path)!r}, by=…); or use a new name for the new meaning."
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _name(path: str) -> str:
    return path or "field"
