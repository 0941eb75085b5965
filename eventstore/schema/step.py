"""Ready-made upcasters: pieces that turn the data of one version into that of the next, and join with `|`.

    upcast("order-placed", version=1)(rename(qty="quantity") | defaults(currency="EUR") | drop("legacy"))

Each is pure (its input stays as it was), total over data that lacks an optional field, and says what it does to the schema of its
input, so that a check can prove a chain of them instead of trying it. Fields of objects within objects are named by a dotted
path; `within` works on the objects of a list.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventstore.errors import UsageError
from eventstore.schema import outline
from eventstore.schema.outline import Outline
from eventstore.schema.shape import Schema

Data = dict[str, Any]


class Step:
    """One piece of an upcaster, or several in a row. Call it with data; join it with `|`."""

    def __call__(self, data: Data) -> Data:
        """Give the data of the next version; *data* itself is not changed."""
        made = copy.copy(data)
        self.change(made)
        return made

    def __or__(self, other: Step) -> Chain:
        return Chain((*_flat(self), *_flat(other)))

    def change(self, data: Data) -> None:
        """Change the top level of *data*, which is a copy; whatever lies deeper is copied first."""
        raise NotImplementedError

    def outline(self, fields: Outline) -> None:
        """Change the outline of the data in the same way."""
        raise NotImplementedError

    def shape(self, schema: Schema) -> Schema:
        """Give the schema of what this makes of data that fits *schema*."""
        return outline.apply(schema, self.outline)


@dataclass(frozen=True, slots=True)
class Chain(Step):
    """Steps one after the other."""

    steps: tuple[Step, ...]

    def change(self, data: Data) -> None:  # noqa: D102
        for each in self.steps:
            each.change(data)

    def outline(self, fields: Outline) -> None:  # noqa: D102
        for each in self.steps:
            each.outline(fields)


@dataclass(frozen=True, slots=True)
class _Rename(Step):
    names: tuple[tuple[str, str], ...]

    def change(self, data: Data) -> None:
        found = [(new, data.pop(old)) for old, new in self.names if old in data]
        for new, value in found:
            if new in data:
                raise ValueError(f"can't rename to {new!r}: the data has a field of that name already")
            data[new] = value

    def outline(self, fields: Outline) -> None:
        for new, found in [(new, fields.take(old)) for old, new in self.names]:
            fields.put(new, found)


@dataclass(frozen=True, slots=True)
class _Defaults(Step):
    values: tuple[tuple[str, Any], ...]

    def change(self, data: Data) -> None:
        for name, value in self.values:
            if name not in data:
                data[name] = copy.deepcopy(value)

    def outline(self, fields: Outline) -> None:
        for name, value in self.values:
            fields.fill(name, value)


@dataclass(frozen=True, slots=True)
class _Drop(Step):
    paths: tuple[str, ...]

    def change(self, data: Data) -> None:
        for path in self.paths:
            parent, name = _reach(data, path)
            if parent is not None:
                parent.pop(name, None)

    def outline(self, fields: Outline) -> None:
        for path in self.paths:
            fields.at(path, lambda parent, name: parent.take(name))


@dataclass(frozen=True, slots=True)
class _Move(Step):
    source: str
    target: str

    def change(self, data: Data) -> None:
        parent, name = _reach(data, self.source)
        if parent is None or name not in parent:
            return
        value = parent.pop(name)
        place, called = _reach(data, self.target, make=True)
        if place is None or called in place:
            raise ValueError(f"can't move {self.source!r} to {self.target!r}: something else is there already")
        place[called] = value

    def outline(self, fields: Outline) -> None:
        fields.move(self.source, self.target)


@dataclass(frozen=True, slots=True)
class _Convert(Step):
    path: str
    by: Callable[[Any], Any]

    def change(self, data: Data) -> None:
        parent, name = _reach(data, self.path)
        if parent is not None and name in parent:
            parent[name] = self.by(parent[name])

    def outline(self, fields: Outline) -> None:
        made = outline.result_of(self.by)
        fields.at(self.path, lambda parent, name: parent.replace(name, made))


@dataclass(frozen=True, slots=True)
class _Split(Step):
    field: str
    into: tuple[str, ...]
    by: Callable[[Any], Sequence[Any]]

    def change(self, data: Data) -> None:
        if self.field not in data:
            return
        values = self.by(data.pop(self.field))
        if isinstance(values, str) or len(values) != len(self.into):
            raise ValueError(
                f"splitting {self.field!r} into {', '.join(self.into)} gave {values!r}: give {len(self.into)} values"
            )
        for name, value in zip(self.into, values, strict=True):
            if name in data:
                raise ValueError(f"can't split {self.field!r} into {name!r}: the data has a field of that name already")
            data[name] = value

    def outline(self, fields: Outline) -> None:
        found = fields.take(self.field)
        for name, made in zip(self.into, outline.results_of(self.by, len(self.into)), strict=True):
            fields.put(name, found and found.as_(made))


@dataclass(frozen=True, slots=True)
class _Merge(Step):
    fields: tuple[str, ...]
    into: str
    by: Callable[..., Any]

    def change(self, data: Data) -> None:
        if not any(each in data for each in self.fields):
            return
        values = [data.pop(each, None) for each in self.fields]
        if self.into in data:
            raise ValueError(f"can't merge into {self.into!r}: the data has a field of that name already")
        data[self.into] = self.by(*values)

    def outline(self, fields: Outline) -> None:
        found = [each for each in map(fields.take, self.fields) if each is not None]
        if found:
            best = next((each for each in found if each.needed), found[0])
            fields.put(self.into, best.as_(outline.result_of(self.by)))


@dataclass(frozen=True, slots=True)
class _Within(Step):
    path: str
    step: Step

    def change(self, data: Data) -> None:
        parent, name = _reach(data, self.path)
        value = None if parent is None else parent.get(name)
        if parent is not None and isinstance(value, list):
            parent[name] = [self.step(each) if isinstance(each, dict) else each for each in value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        elif parent is not None and isinstance(value, dict):
            parent[name] = self.step(value)  # pyright: ignore[reportUnknownArgumentType]

    def outline(self, fields: Outline) -> None:
        fields.at(self.path, lambda parent, name: parent.enter(name, self.step.outline))


def rename(**names: str) -> Step:
    """Give fields new names, `rename(old="new")`, all at once: two may change places. Raises ValueError for a taken name."""
    return _Rename(_checked(tuple(names.items())))


def defaults(**values: Any) -> Step:
    """Give fields that are missing these values; a field that is there, even as null, stays as it is."""
    return _Defaults(_checked(tuple(values.items())))


def drop(*paths: str) -> Step:
    """Take fields away, so that no later version can take their values for its own."""
    return _Drop(_checked(paths))


def move(source: str, target: str) -> Step:
    """Move a field to another place, `move("zip", "address.zip")`; objects on the way are made."""
    return _Move(source, target)


def convert(path: str, *, by: Callable[[Any], Any]) -> Step:
    """Turn the value of a field into another: `convert("total", by=str)`. A return annotation of *by* lets a check prove it."""
    return _Convert(path, by)


def split(field: str, *, into: Sequence[str], by: Callable[[Any], Sequence[Any]]) -> Step:
    """Make several fields of one: *by* gives their values in order. Annotate it `-> tuple[str, str]` for a check to prove it."""
    return _Split(field, _checked(tuple(into)), by)


def merge(*fields: str, into: str, by: Callable[..., Any]) -> Step:
    """Make one field of several: *by* gets their values in order, None for one that is missing; nothing when all are."""
    return _Merge(_checked(fields), into, by)


def within(path: str, step: Step) -> Step:
    """Do *step* to the object at *path*, or to each object of the list there: `within("lines", rename(qty="quantity"))`."""
    return _Within(path, step)


def _checked(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if not given:
        raise UsageError("this step names no field: give at least one")
    return given


def _flat(step: Step) -> tuple[Step, ...]:
    return step.steps if isinstance(step, Chain) else (step,)


def _reach(data: Data, path: str, *, make: bool = False) -> tuple[Data | None, str]:
    """Give the object that holds the last name of *path*, copied so that it may be changed, and that name."""
    *way, name = path.split(".")
    here: Data = data
    for part in way:
        if part not in here and make:
            here[part] = {}
        found: Any = here.get(part)
        if not isinstance(found, Mapping):
            return None, name
        below: Data = dict(found)  # pyright: ignore[reportUnknownArgumentType]
        here[part] = below
        here = below
    return here, name
