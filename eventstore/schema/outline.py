"""What a step does to a schema: the fields of an object, which may be taken, put and replaced as the step does it to data.

Where the result can't be told, because a function without a declared type makes it or the object is a choice between several, it
becomes `UNKNOWN`; a check then has only its trials to go by.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from eventstore.codec import decode, encode
from eventstore.errors import RefoldError
from eventstore.schema.derivation import derive
from eventstore.schema.shape import UNKNOWN, Schema, arms, canonical, is_schema, merge_all


class Field(NamedTuple):
    """What is known of a field: its schema, and whether it is always there."""

    schema: Any
    needed: bool

    def as_(self, schema: Any) -> Field:
        """Give the field with another schema."""
        return Field(schema, self.needed)


class Outline:
    """The fields of one object, as its *schema* says, open to change; `schema` gives them back."""

    def __init__(self, schema: Schema, root: Schema) -> None:
        self._rest = schema
        self._root = root
        self._fields = {
            name: Field(each, name in schema.get("required", ())) for name, each in schema.get("properties", {}).items()
        }

    def take(self, name: str) -> Field | None:
        """Take a field away, and give what it was."""
        return self._fields.pop(name, None)

    def put(self, name: str, field: Field | None) -> None:
        """Put a field under *name*. Where data may have one there already, it is either: with both, the step raises."""
        known = self._fields.get(name)
        if field is None:
            return
        if known is not None and not field.needed:
            field = Field({"anyOf": [known.schema, field.schema]}, known.needed)
        self._fields[name] = field

    def replace(self, name: str, schema: Any) -> None:
        """Give a field another schema."""
        if name in self._fields:
            self._fields[name] = self._fields[name].as_(schema)

    def fill(self, name: str, value: Any) -> None:
        """Let a field always be there, with *value* where it was missing."""
        given: Schema = {"enum": [decode(encode(value))]}
        known = self._fields.get(name)
        if known is None:
            self._fields[name] = Field(given, needed=True)
        elif not known.needed:
            self._fields[name] = Field({"anyOf": [known.schema, given]}, needed=True)

    def at(self, path: str, change: Callable[[Outline, str], Any]) -> None:
        """Do *change* in the object that holds the last name of *path*."""
        first, _, rest = path.partition(".")
        if not rest:
            change(self, first)
        else:
            self.enter(first, lambda inner: inner.at(rest, change), lists=False)

    def move(self, source: str, target: str) -> None:
        """Take the field at *source* and put it at *target*, making objects on the way."""
        always, known = self.needs(source), source.partition(".")[0] in self._fields
        found: list[Field | None] = []
        self.at(source, lambda parent, name: found.append(parent.take(name)))
        schemas = [each.schema for each in found if each is not None]
        if schemas:
            self._put_deep(target, Field(schemas[0] if len(schemas) == 1 else {"anyOf": schemas}, always))
        elif known and not found:  # what holds it can't be told
            self._put_deep(target, Field(UNKNOWN, needed=False))

    def needs(self, path: str) -> bool:
        """Tell whether data always has a field at *path*."""
        first, _, rest = path.partition(".")
        field = self._fields.get(first)
        if field is None or not field.needed or not rest:
            return field is not None and field.needed
        options = [merge_all(each, self._root) for each in arms(field.schema, self._root)] if is_schema(field.schema) else []
        return bool(options) and all("properties" in each and Outline(each, self._root).needs(rest) for each in options)

    def _put_deep(self, path: str, field: Field) -> None:
        first, _, rest = path.partition(".")
        if not rest:
            self.put(first, field)
            return
        known = self._fields.get(first)
        if known is None:
            self._fields[first] = Field({"type": "object", "properties": {}}, field.needed)
        elif not known.needed:  # made by the move where it was missing, and then without its other fields
            self._fields[first] = Field(UNKNOWN, known.needed or field.needed)
            return
        self.enter(first, lambda inner: inner._put_deep(rest, field), lists=False)

    def enter(self, name: str, change: Callable[[Outline], Any], *, lists: bool = True) -> None:
        """Change the object in field *name*, or each object of the list there."""
        if name not in self._fields:
            return
        schema = self._fields[name].schema
        self.replace(name, _inside(schema, self._root, change, lists=lists))

    @property
    def schema(self) -> Schema:
        """The schema of the object with its fields as they are now."""
        properties = {name: each.schema for name, each in self._fields.items()}
        required = [name for name, each in self._fields.items() if each.needed]
        return {**self._rest, "properties": properties, "required": required}


def apply(schema: Schema, change: Callable[[Outline], Any]) -> Schema:
    """Give *schema*, that of an object, after *change* to its fields; references still lead into its `$defs`."""
    made = _inside(schema, schema, change, lists=False)
    return {**made, "$defs": schema["$defs"]} if "$defs" in schema else made


def _inside(schema: Any, root: Schema, change: Callable[[Outline], Any], *, lists: bool) -> Schema:
    options = [merge_all(each, root) for each in arms(schema, root)] if is_schema(schema) else []
    made = [_one(each, root, change, lists=lists) for each in options]
    if not made:
        return UNKNOWN
    return made[0] if len(made) == 1 else {"anyOf": made}


def _one(schema: Schema, root: Schema, change: Callable[[Outline], Any], *, lists: bool) -> Schema:
    if schema.get("type") == "object" and "properties" in schema:
        outline = Outline(schema, root)
        change(outline)
        return outline.schema
    if schema.get("type") == "array" and lists and "items" in schema and "prefixItems" not in schema:
        return {**schema, "items": _inside(schema["items"], root, change, lists=False)}
    if schema.get("type") in ("null", "string", "integer", "number", "boolean"):
        return schema
    return UNKNOWN


def result_of(function: Callable[..., Any]) -> Schema:
    """Give the schema of what *function* returns, by its annotation; a type is its own. UNKNOWN when it does not say."""
    hint = function if isinstance(function, type) else _returns(function)
    return _schema_of(hint)


def results_of(function: Callable[..., Any], count: int) -> list[Schema]:
    """Give the schemas of the *count* values that *function* returns, by an annotation `tuple[…]`."""
    hint = _returns(function)
    parts = typing.get_args(hint) if typing.get_origin(hint) is tuple else ()
    if len(parts) == 2 and parts[1] is ...:
        parts = (parts[0],) * count
    return [_schema_of(each) for each in parts] if len(parts) == count else [UNKNOWN] * count


def _returns(function: Callable[..., Any]) -> Any:
    try:
        return inspect.get_annotations(inspect.unwrap(function), eval_str=True).get("return")
    except (NameError, TypeError, ValueError, AttributeError):
        return None


def _schema_of(hint: Any) -> Schema:
    if hint is None or hint is Any:
        return UNKNOWN
    try:
        made = derive(hint, mode="serialization")
    except RefoldError:
        return UNKNOWN
    return made if "$defs" not in made else _inlined(made)


def _inlined(schema: Schema) -> Schema:
    """Write references out, since the schema moves into another one; a type that holds itself stays unknown."""
    plain = canonical(schema)
    return UNKNOWN if b'"$up"' in encode(plain) else plain


def is_known(schema: Schema) -> bool:
    """Tell whether nothing in *schema* is UNKNOWN."""
    return b'"x-unknown"' not in encode(schema)
