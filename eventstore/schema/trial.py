"""Trying old data with today's code: instances of an old version's schema through its upcasters and the decoder of its class.

A trial finds what a comparison of schemas can't, since an upcaster may be any function. It also looks at every step between: a
field that a version had given up but its upcaster left in the data is read as the field of the same name that a later version
brings back, whatever that means by then; and an upcaster that gives two answers to one question is not one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from eventstore.errors import RefoldError
from eventstore.event import EventType
from eventstore.schema.acceptance import left_over
from eventstore.schema.finding import Break
from eventstore.schema.shape import Schema, brief, locate

_SHOWN = 12


@dataclass(slots=True)
class Trial:
    """Old data of one *version* against one type. *shapes* are the schemas of the versions that are known, by number."""

    kind: EventType
    version: int
    shapes: Mapping[int, Schema]
    tried: int = 0
    found: dict[tuple[str, str], Break] = field(default_factory=dict[tuple[str, str], Break])
    kept: dict[str, tuple[int, Any]] = field(default_factory=dict[str, tuple[int, Any]])
    replaced: set[str] = field(default_factory=set[str])

    def run(self, instances: Iterable[Any]) -> list[Break]:
        """Try every one of *instances*, and give what went wrong, each way once with its first example."""
        for each in instances:
            self.tried += 1
            self._try(each)
        found, self.found = self.found, {}
        for path, (version, instance) in self.kept.items():
            if path not in self.replaced:  # else a later upcaster puts its own value there
                self._judge_stray(path, version, instance)
        self.found |= found
        return list(self.found.values())[:_SHOWN]

    def _try(self, instance: Any) -> None:
        strays: dict[str, tuple[int, list[Any]]] = {}
        data = copy.deepcopy(instance)
        for step in range(self.version, self.kind.version):
            made = self._lift(step, data, instance)
            if made is None:
                return
            data = made
            if step + 1 < self.kind.version and step + 1 in self.shapes:
                shape = self.shapes[step + 1]
                found = {path: (step + 1, copy.deepcopy(_values_at(data, path))) for path in left_over(shape, data, shape)}
                strays = {**found, **strays}
        for path, (version, values) in strays.items():
            if values == _values_at(data, path):
                self.kept.setdefault(path, (version, instance))
            else:
                self.replaced.add(path)
        self._read(data, instance)

    def _lift(self, step: int, data: Any, instance: Any) -> Any:
        upcaster = self.kind.upcasters[step]
        again = copy.deepcopy(data)
        try:
            made, second = upcaster(data), upcaster(again)
            if not isinstance(made, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
                self._add(
                    "", f"the upcaster from version {step} gave {type(made).__name__}, not a dict", "Return the data.", instance
                )
                return None
            if made != second:
                advice = "Take clocks, randomness and I/O out of it: old events must read the same for ever."
                self._add("", f"the upcaster from version {step} gave two results for the same data", advice, instance)
        except Exception as error:
            what = f"KeyError: no field {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
            advice = f"Mend the upcaster of {self.kind.name!r} version {step}: data of version {self.version} can look like the example."
            self._add("", f"the upcaster from version {step} raised {what}", advice, instance)
            return None
        return made

    def _read(self, data: Any, instance: Any) -> None:
        try:
            self.kind.read(data)
        except ValidationError as error:
            for each in error.errors(include_url=False, include_input=False):
                self._add(_path(each["loc"]), each["msg"], self._advice(_path(each["loc"])), instance)
        except RefoldError:
            raise
        except Exception as error:
            path = str(error).rpartition(" - at `$.")[2].rstrip("`") if " - at `$." in str(error) else ""
            self._add(path, str(error).partition(" - at")[0], self._advice(path), instance)

    def _judge_stray(self, path: str, version: int, instance: Any) -> None:
        """Refuse a field that version *version* had given up and the newest one takes for its own."""
        newest = self.shapes.get(self.kind.version)
        if newest is None or locate(newest, path) is None:
            return
        why = (
            f"version {version} has no such field, but the data still carries it there, and version {self.kind.version} "
            "takes the old value for its own"
        )
        self._add(path, why, f"Add drop({path!r}) to the upcaster from version {version - 1}, or use a new name.", instance)

    def _advice(self, path: str) -> str:
        first = self.version
        if not path:
            return f"Mend the upcasters from version {first}, or the class."
        return f"Make {path!r} fit in an upcaster from version {first} (rename, convert, defaults), or widen the class."

    def _add(self, path: str, why: str, advice: str, instance: Any) -> None:
        if (path, why) in self.found:
            return
        old, new = self.shapes.get(self.version), self.shapes.get(self.kind.version)
        self.found[path, why] = Break(path, _say(old, path), _say(new, path), why, advice, example=instance)


def _say(schema: Schema | None, path: str) -> str | None:
    """Say what *schema* holds at *path*; None for nothing."""
    found = locate(schema, path) if schema is not None and path else None
    return None if found is None else brief(found)


def _path(location: tuple[int | str, ...]) -> str:
    """Give pydantic's location as a path; the names that it adds for the arms of a union are left out."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += "[]"
        elif part.isidentifier() or "-" in part:
            path += f".{part}" if path else part
    return path


def _values_at(data: Any, path: str) -> list[Any]:
    """Give what *data* holds at *path*, in each item of the lists on the way."""
    here: list[Any] = [data]
    for part in path.replace("[]", ".[]").split("."):
        if part == "[]":
            here = [one for each in here if isinstance(each, list) for one in each]  # pyright: ignore[reportUnknownVariableType]
        elif part:
            here = [each[part] for each in here if isinstance(each, dict) and part in each]
    return here
