"""Whether a reader takes all that a writer writes: sound against another validator, exact about what breaks and where."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eventstore.schema.containment import compare
from eventstore.schema.instance import make_instances
from eventstore.schema.shape import canonical, fingerprint

NAMES = st.sampled_from(["a", "b", "c"])
LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([{"type": "null"}, {"type": "boolean"}, {"type": "integer"}, {"type": "number"}, {"type": "string"}, {}]),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more}, st.integers(-3, 3), st.integers(0, 9)
    ),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, st.integers(-3, 3)),
    st.builds(lambda step: {"type": "integer", "multipleOf": step}, st.integers(1, 4)),
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more}, st.integers(0, 3), st.integers(0, 9)
    ),
    st.lists(st.sampled_from(["x", "y", 1, 1.5, None, True]), min_size=1, max_size=3, unique_by=repr).map(
        lambda each: {"enum": each}
    ),
    st.sampled_from(["date-time", "date", "uuid", "decimal"]).map(lambda each: {"type": "string", "format": each}),
    st.sampled_from([{"type": ["string", "null"]}, {"const": "x"}, {"type": "string", "pattern": "^[0-9]+$"}]),
)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def build(properties: dict[str, Any], required: list[str], more: Any) -> dict[str, Any]:
        made = {"type": "object", "properties": properties, "required": [each for each in required if each in properties]}
        return made if more is None else {**made, "additionalProperties": more}

    return st.builds(
        build, st.dictionaries(NAMES, inner, max_size=3), st.lists(NAMES, unique=True), st.none() | st.booleans() | inner
    )


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda items, low: {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}, inner, st.integers(0, 2)
        ),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda each: {"type": "array", "prefixItems": each, "minItems": len(each), "maxItems": len(each)}
        ),
        st.lists(inner, min_size=2, max_size=3).map(lambda arms: {"anyOf": arms}),
        st.builds(lambda values: {"type": "object", "additionalProperties": values}, inner),
    ),
    max_leaves=6,
)


@given(SCHEMAS, SCHEMAS)
def test_sound(old: Any, new: Any) -> None:
    """When nothing breaks, another validator takes every instance of the old schema under the new one."""
    if not compare(old, new):
        reader = Draft202012Validator(new)
        for each in make_instances(old, 100):
            reader.validate(each)


@given(SCHEMAS, st.data())
def test_widened(schema: Any, data: st.DataObject) -> None:
    """A schema takes its own data, and so does every wider one: one more alternative, or one more optional field."""
    assert compare(schema, schema) == []
    other = data.draw(SCHEMAS)
    assert compare(schema, {"anyOf": [other, schema]}) == []
    written = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    assert compare(written, {"type": "object", "properties": {"a": schema, "z": other}, "required": ["a"]}) == []


@given(SCHEMAS)
def test_notes_do_not_count(schema: Any) -> None:
    """Titles, descriptions and the names of classes change no fingerprint; a class of its own reads as if written in place."""
    noted = {"$defs": {"Any.Name": {**schema, "title": "T", "description": "D"}}, "$ref": "#/$defs/Any.Name"}
    assert fingerprint(noted) == fingerprint(schema)
    assert canonical(noted) == canonical(schema)
    assert compare(noted, schema) == compare(schema, noted) == []


def obj(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


TEXT, WHOLE, REAL, NOTHING = ({"type": each} for each in ("string", "integer", "number", "null"))
NODE = {
    "$defs": {"Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, NOTHING]}, "value": WHOLE}}},
    "$ref": "#/$defs/Node",
}
OTHER_NODE = {
    "$defs": {"N": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/N"}, NOTHING]}, "value": TEXT}}},
    "$ref": "#/$defs/N",
}


@pytest.mark.parametrize(
    ("old", "new", "path", "why"),
    [
        (obj(a=WHOLE), obj(a=TEXT), "a", "integer became string"),
        (obj(a=REAL), obj(a=WHOLE), "a", "number became integer"),
        (obj(), obj(a=TEXT), "a", "needs this field, which old events lack"),
        ({"type": "object", "properties": {"a": TEXT}}, obj(a=TEXT), "a", "which old events may lack"),
        (obj(a=TEXT), {"type": "object", "additionalProperties": False}, "a", "refuses a field that it does not know"),
        (obj(a={"enum": ["x", "y"]}), obj(a={"enum": ["x", "z"]}), "a", "no longer takes 'y'"),
        (obj(a=TEXT), obj(a={"const": "x"}), "a", "became a choice of 1"),
        (obj(a={"anyOf": [TEXT, NOTHING]}), obj(a=TEXT), "a", "null became string"),
        (obj(a=TEXT), obj(a={"anyOf": [WHOLE, NOTHING]}), "a", "none of the reader's 2 alternatives"),
        (
            obj(a={"type": "array", "items": obj(q=WHOLE)}),
            obj(a={"type": "array", "items": obj(q=TEXT)}),
            "a[].q",
            "integer became string",
        ),
        (
            obj(a={"type": "object", "additionalProperties": REAL}),
            obj(a={"type": "object", "additionalProperties": WHOLE}),
            "a{}",
            "number became",
        ),
        (
            obj(a={"type": "array", "items": TEXT}),
            obj(a={"type": "array", "items": TEXT, "uniqueItems": True}),
            "a",
            "each item once",
        ),
        (
            obj(a={"type": "array", "items": TEXT}),
            obj(a={"type": "array", "items": TEXT, "maxItems": 2}),
            "a",
            "more than 2 items",
        ),
        (obj(a=TEXT), obj(a={**TEXT, "maxLength": 5}), "a", "more than 5 characters"),
        (obj(a=TEXT), obj(a={**TEXT, "format": "date"}), "a", "any text became format 'date'"),
        (
            obj(a={**TEXT, "format": "date-time"}),
            obj(a={**TEXT, "format": "date"}),
            "a",
            "format 'date-time' became format 'date'",
        ),
        (obj(a=WHOLE), obj(a={**WHOLE, "minimum": 0}), "a", "numbers below 0"),
        (obj(a={**WHOLE, "minimum": 0}), obj(a={**WHOLE, "exclusiveMinimum": 0}), "a", "numbers below 0"),
        (obj(a=WHOLE), obj(a={**WHOLE, "multipleOf": 5}), "a", "no multiple of 5"),
        (NODE, OTHER_NODE, "value", "integer became string"),
    ],
)
def test_broken(old: Any, new: Any, path: str, why: str) -> None:
    """Each way to break is found at its field, with a reason and an advice, and some instance of the old schema proves it."""
    broken = {each.path: each for each in compare(old, new)}
    assert why in broken[path].why
    assert broken[path].advice
    assert broken[path].proven
    reader = Draft202012Validator(new, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert not all(reader.is_valid(each) for each in make_instances(old))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (obj(a=WHOLE), obj(a=REAL)),
        (obj(a=WHOLE), obj()),
        (obj(a={"enum": ["x"]}), obj(a=TEXT)),
        (obj(a={"type": "boolean"}), obj(a={"enum": [True, False, None]})),
        (obj(a={"oneOf": [TEXT, WHOLE], "discriminator": {"propertyName": "k"}}), obj(a={"anyOf": [REAL, TEXT]})),
        (obj(a={"allOf": [obj(b=TEXT), obj(c=WHOLE)]}), obj(a=obj(b=TEXT, c=REAL))),
        (NODE, {"type": "object", "properties": {"value": REAL}}),
        (NODE, NODE),
    ],
)
def test_readable(old: Any, new: Any) -> None:
    """Widening a type, leaving a field out, naming alternatives in another order: none of them breaks a reader."""
    assert compare(old, new) == []


def test_unproven() -> None:
    """Two patterns can't be compared: that is said, and not called proven."""
    [only] = compare(obj(a={**TEXT, "pattern": "^a"}), obj(a={**TEXT, "pattern": "^[a-z]"}))
    assert (only.path, only.proven) == ("a", False)
