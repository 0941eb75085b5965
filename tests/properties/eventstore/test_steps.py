"""Ready-made upcasters: pure, composable, and true to what they say of schemas."""

import copy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from eventstore.errors import UsageError
from eventstore.schema import Step, convert, defaults, drop, merge, move, rename, split, within
from eventstore.schema.acceptance import accepts
from eventstore.schema.instance import make_instances
from eventstore.schema.outline import is_known

WHOLE = {"type": "integer"}
NAMES = ("a", "b", "c", "d", "e")
SCALARS: dict[str, Any] = {
    "integer": {"type": "integer"},
    "string": {"type": "string"},
    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
}
fields = st.sampled_from(NAMES)
scalars = st.sampled_from(sorted(SCALARS)).map(SCALARS.__getitem__)


def cut(text: str) -> tuple[str, str]:
    """Split in two."""
    return text[:1], text[1:]


def join(*parts: Any) -> str:
    """Join what is there."""
    return " ".join(str(each) for each in parts)


@st.composite
def objects(draw: st.DrawFn, depth: int = 1) -> dict[str, Any]:
    """Give the schema of an object; one field may be an object, another a list of objects, both by reference."""
    names = draw(st.lists(fields, unique=True, min_size=1))
    properties: dict[str, Any] = {}
    for name in names:
        kind = draw(st.sampled_from(("plain", "plain", "object", "list"))) if depth else "plain"
        inner = draw(objects(depth=0)) if kind != "plain" else {}
        properties[name] = {"plain": draw(scalars), "object": inner, "list": {"type": "array", "items": inner}}[kind]
    required = draw(st.lists(st.sampled_from(names), unique=True))
    return {"type": "object", "properties": properties, "required": sorted(required)}


@st.composite
def steps(draw: st.DrawFn, depth: int = 1) -> Step:
    """Give any ready-made step."""
    made = draw(
        st.sampled_from(
            ("rename", "defaults", "drop", "move", "convert", "split", "merge", "within")
            if depth
            else ("rename", "defaults", "drop")
        )
    )
    one, two, three = draw(st.permutations(NAMES))[:3]
    match made:
        case "rename":
            return draw(st.sampled_from([rename(**{one: two}), rename(**{one: two, two: one})]))
        case "defaults":
            return defaults(**{one: draw(st.sampled_from([0, "x", None, [1]]))})
        case "drop":
            return draw(st.sampled_from([drop(one), drop(f"{one}.{two}"), drop(one, two)]))
        case "move":
            return draw(st.sampled_from([move(one, f"{two}.{three}"), move(f"{one}.{two}", three)]))
        case "convert":
            return convert(one, by=draw(st.sampled_from([str, lambda value: value])))
        case "split":
            return convert(one, by=str) | split(one, into=(two, three), by=cut)
        case "merge":
            return merge(one, two, into=three, by=join)
        case _:
            return within(one, draw(steps(depth=0)))


@example(
    {
        "type": "object",
        "properties": {"c": WHOLE, "d": {"type": "object", "properties": {"b": WHOLE}, "required": ["b"]}},
        "required": [],
    },
    [move("d.b", "c")],
)
@given(objects(), st.lists(steps(), min_size=1, max_size=4))
def test_shape_is_true(schema: dict[str, Any], chosen: list[Step]) -> None:
    """Whatever a chain makes of data that fits a schema fits the schema that the chain says it makes."""
    chain = chosen[0]
    for each in chosen[1:]:
        chain = chain | each
    shape = chain.shape(schema)
    for data in make_instances(schema, 60):
        try:
            made = chain(data)
        except ValueError:
            continue  # a name is taken: the trial of a check finds these
        assert accepts(shape, made, shape) or not is_known(shape)


@given(objects(), steps())
def test_pure(schema: dict[str, Any], step: Step) -> None:
    """A step leaves its input as it was, and gives the same each time."""
    for data in make_instances(schema, 20):
        before = copy.deepcopy(data)
        try:
            first, second = step(data), step(data)
        except ValueError:
            assert data == before
            continue
        assert (data, first) == (before, second)


@given(objects(), st.lists(steps(), min_size=2, max_size=4))
def test_composed(schema: dict[str, Any], chosen: list[Step]) -> None:
    """A chain does what its steps do one after the other, however they are bracketed."""
    left = chosen[0]
    for each in chosen[1:]:
        left = left | each
    right = chosen[-1]
    for each in reversed(chosen[:-1]):
        right = each | right
    assert left == right
    for data in make_instances(schema, 10):
        expected: Any = data
        try:
            for each in chosen:
                expected = each(expected)
        except ValueError:
            with pytest.raises(ValueError):
                left(data)
            continue
        assert left(data) == right(data) == expected


@given(objects())
def test_instances_fit(schema: dict[str, Any]) -> None:
    """Every instance that is made fits its schema by another validator, none is made twice, and every optional field is missing once."""
    validator = Draft202012Validator(schema)
    made = make_instances(schema)
    assert made
    for each in made:
        validator.validate(each)
    for name in set(schema["properties"]) - set(schema["required"]):
        assert any(name not in each for each in made)
        assert any(name in each for each in made)


def test_defaults_are_not_shared() -> None:
    """A default that can change is a new one for every event."""
    step = defaults(lines=[])
    step({})["lines"].append(1)
    assert step({}) == {"lines": []}


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (rename(qty="quantity"), {"qty": 1}, {"quantity": 1}),
        (rename(a="b", b="a"), {"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (rename(a="b"), {}, {}),
        (defaults(currency="EUR"), {"currency": None}, {"currency": None}),
        (defaults(currency="EUR"), {}, {"currency": "EUR"}),
        (drop("a", "b.c"), {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3}}),
        (move("zip", "address.zip"), {"zip": "8000"}, {"address": {"zip": "8000"}}),
        (move("a.b", "c"), {"a": {"b": 1}}, {"a": {}, "c": 1}),
        (convert("a.total", by=str), {"a": {"total": 1}}, {"a": {"total": "1"}}),
        (split("name", into=("first", "last"), by=str.split), {"name": "Ann Lee"}, {"first": "Ann", "last": "Lee"}),
        (merge("first", "last", into="name", by=join), {"first": "Ann"}, {"name": "Ann None"}),
        (merge("first", "last", into="name", by=join), {}, {}),
        (within("lines", rename(q="qty")), {"lines": [{"q": 1}, {}]}, {"lines": [{"qty": 1}, {}]}),
        (within("a.b", drop("c")), {"a": {"b": {"c": 1}}}, {"a": {"b": {}}}),
        (defaults(a=1) | rename(a="b") | drop("c"), {"c": 3}, {"b": 1}),
    ],
)
def test_meaning(step: Step, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Each step does to data what its name says."""
    assert step(before) == after


@pytest.mark.parametrize(
    ("step", "data", "said"),
    [
        (rename(a="b"), {"a": 1, "b": 2}, "field of that name already"),
        (move("a", "b"), {"a": 1, "b": 2}, "something else is there already"),
        (move("a", "b.c"), {"a": 1, "b": 2}, "something else is there already"),
        (split("a", into=("b", "c"), by=str.split), {"a": "one"}, "give 2 values"),
        (split("a", into=("b", "c"), by=str.split), {"a": "1 2", "b": 0}, "field of that name already"),
        (merge("a", into="b", by=join), {"a": 1, "b": 2}, "field of that name already"),
    ],
)
def test_refused(step: Step, data: dict[str, Any], said: str) -> None:
    """A step that would overwrite something, or gets too few values, refuses instead of losing data."""
    with pytest.raises(ValueError, match=said):
        step(data)


def test_empty_refused() -> None:
    """A step that names no field is a mistake."""
    for make in (rename, defaults, drop):
        with pytest.raises(UsageError, match="names no field"):
            make()
