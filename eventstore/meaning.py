"""What code means, as short text: equal texts do the same, whatever the comments, docstrings, layout and module.

`digest` follows what a function or class uses by name through the app's own code: functions, classes, constants, containers of
them, default values, closures, the implementations of a `singledispatch`. `describe_event` and `describe_fields` add what an event
type is. Libraries are not followed: raise a version when one of them changes what your code gives. Who compares the results
(projections, snapshots) would rather see a difference that is none than miss one.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import hashlib
import inspect
import re
import sys
import sysconfig
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.codec import encode_sorted
from eventstore.event import EventType

LENGTH = 12
_OURS = ("eventstore", "projections", "cdc", "replay")
_LIBRARIES = tuple(sysconfig.get_path(each) for each in ("stdlib", "platstdlib", "purelib", "platlib"))


def shorten(facts: object) -> str:
    """Give 12 hex digits for *facts*; equal JSON forms give equal digits."""
    return hashlib.sha256(encode_sorted(facts)).hexdigest()[:LENGTH]


def digest(used: Any) -> str:
    """Give what *used* (a function, a class, a constant) means, as 64 hex digits."""
    walk = _Walk(getattr(inspect.unwrap(used), "__module__", None) or "")
    walk.follow("", used)
    return hashlib.sha256(encode_sorted(walk.found)).hexdigest()


def find_functions(used: Any) -> list[types.FunctionType]:
    """Give the app's own functions that *used* runs through, itself included: what `digest` reads, Python's decorators apart."""
    walk = _Walk(getattr(inspect.unwrap(used), "__module__", None) or "")
    walk.follow("", used)
    return [each for each in walk.functions if not _is_python(each.__code__.co_filename)]


def describe_event(kind: EventType) -> list[Any]:
    """Give what decides how an event of *kind* reads, besides its fields: schema version, the class's own code, upcasters."""
    return [kind.version, digest(kind.python), [digest(kind.upcasters[step]) for step in sorted(kind.upcasters)]]


def describe_defaults(row: type) -> dict[str, str]:
    """Give the default of every field of a dataclass that has one."""
    given = {each.name: each for each in dataclasses.fields(row)}
    return {
        name: repr(each.default) if each.default is not dataclasses.MISSING else digest(each.default_factory)
        for name, each in given.items()
        if each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
    }


def describe_fields(python: Any) -> list[str]:
    """Give names, types and defaults of the fields of *python* and of every annotated class that they are made of."""
    return list(_shapes(python, set()))


def _shapes(python: Any, seen: set[type]) -> Iterator[str]:
    """Walk through a type, its arguments (`list[Line]`, unions) and the fields of what is a class with annotations."""
    for each in typing.get_args(python):
        yield from _shapes(each, seen)
    if not isinstance(python, type) or python in seen or python.__module__ == "builtins":
        return
    seen.add(python)
    hints = _hints(python)
    if not hints and not issubclass(python, enum.Enum):
        return
    defaults = describe_defaults(python) if dataclasses.is_dataclass(python) else {}
    members = [f"{each.name}={each.value!r}" for each in python] if issubclass(python, enum.Enum) else []
    yield f"{_named(python)} {[(name, _named(hint)) for name, hint in hints.items()]} {defaults} {members}"
    for hint in hints.values():
        yield from _shapes(hint, seen)


def _hints(python: type) -> dict[str, Any]:
    """Give the annotations, resolved where they can be."""
    try:
        return typing.get_type_hints(python)
    except (NameError, TypeError, AttributeError):
        return dict(getattr(python, "__annotations__", {}))


def _named(hint: Any) -> str:
    """Name a type without the module that it lies in."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__name__
    return re.sub(r"[\w.]+\.(\w+)", r"\1", str(hint))


class _Walk:
    """Follows what a function uses, through the app's own code; *home* is the module that it starts from.

    *found* says what each thing means under the name by which it was reached, in an order that depends on names alone.
    """

    def __init__(self, home: str) -> None:
        self.found: list[str] = []
        self.functions: list[types.FunctionType] = []
        self._home = home.partition(".")[0]
        self._seen: set[int] = set()

    def follow(self, name: str, used: Any) -> None:
        """Add what *used* means, and whatever it uses in turn."""
        if isinstance(used, types.FunctionType):
            if self._is_new(used):
                self._follow_function(name, used)
                self._follow_dispatch(name, used)
        elif isinstance(used, type):
            if self._is_app(used.__module__) and self._is_new(used):
                self._follow_class(name, used)
        elif (inner := getattr(used, "__func__", getattr(used, "__wrapped__", None))) is not None:
            self.follow(name, inner)
        elif held := _parts(used):
            self._follow_parts(name, used, held)
        elif (text := _constant(used)) is not None or callable(used):
            self.found.append(f"{name} = {text or re.sub(' at 0x[0-9a-f]+', '', repr(used))}")

    def _follow_all(self, reach: Mapping[str, Any]) -> None:
        for name, value in sorted(reach.items()):
            if not isinstance(value, types.FunctionType) or self._is_app(value.__module__):
                self.follow(name, value)

    def _follow_function(self, name: str, function: types.FunctionType) -> None:
        self.found.append(f"{name} = {_source(function.__code__)}")
        self.functions.append(function)
        defaults: dict[str, Any] = {f"default {index}": each for index, each in enumerate(function.__defaults__ or ())}
        used = self._globals_used(function.__code__, function.__globals__)
        self._follow_all({**used, **_closure(function), **defaults, **(function.__kwdefaults__ or {})})

    def _follow_parts(self, name: str, whole: object, held: Mapping[str, Any]) -> None:
        if self._is_new(whole):
            self.found.append(f"{name} is {type(whole).__name__}")
            self._follow_all({f"{name}:{part}": value for part, value in held.items()})

    def _follow_dispatch(self, name: str, function: types.FunctionType) -> None:
        """Follow what `functools.singledispatch` chooses from, by the name of the type."""
        registry = getattr(function, "registry", None)
        if isinstance(registry, types.MappingProxyType):
            self._follow_all({f"{name}[{kind.__qualname__}]": each for kind, each in registry.items()})  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]

    def _follow_class(self, name: str, kind: type) -> None:
        """Follow what the app wrote into a class: methods, properties, constants; what decorators made has no source."""
        reach: dict[str, Any] = {}
        for used, value in vars(kind).items():
            plain: Any = getattr(value, "__func__", getattr(value, "fget", value))
            if isinstance(plain, types.FunctionType):
                if _is_written(plain):
                    reach[f"{name}.{used}"] = plain
            elif not used.startswith("_") and _constant(plain) is not None:
                reach[f"{name}.{used}"] = plain
        self._follow_all({**reach, **{f"{name}<{index}": each for index, each in enumerate(kind.__bases__)}})

    def _globals_used(self, code: types.CodeType, namespace: dict[str, Any]) -> dict[str, Any]:
        """Give the globals that *code* names, and of the app's modules among them the attributes that it names."""
        names = set(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                names |= set(self._globals_used(constant, namespace))
        used = {name: namespace[name] for name in names if name in namespace}
        for name, module in list(used.items()):
            if isinstance(module, types.ModuleType) and self._is_app(module.__name__):
                used |= {f"{name}.{each}": vars(module)[each] for each in code.co_names if each in vars(module)}
        return used

    def _is_new(self, used: object) -> bool:
        known = id(used) in self._seen
        self._seen.add(id(used))
        return not known

    def _is_app(self, module: str) -> bool:
        """Say whether a module is the app's: of the same package, or neither ours, nor Python's, nor an installed library's."""
        top = module.partition(".")[0]
        if top in _OURS or top == self._home:
            return top == self._home
        file = getattr(sys.modules.get(module), "__file__", None)
        return file is not None and not file.startswith(_LIBRARIES)


def _is_python(file: str) -> bool:
    """Say whether *file* is of Python itself, or no file at all."""
    standard, installed = _LIBRARIES[:2], _LIBRARIES[2:]
    return file.startswith("<") or (file.startswith(standard) and not file.startswith(installed))


def _is_written(function: types.FunctionType) -> bool:
    return not function.__code__.co_filename.startswith("<")


def _constant(value: Any) -> str | None:
    """Give the text of a constant, the same in every process; None for anything else."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}={value.value!r}"
    if isinstance(value, (bool, int, float, str, bytes, type(None), Decimal, date, time, timedelta, UUID, re.Pattern)):
        return repr(value)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, (set, frozenset)):
        return str(sorted(str(_constant(each)) for each in value))  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, Mapping):
        return str([(_constant(key), _constant(each)) for key, each in value.items()])  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, (list, tuple)):
        return str([_constant(each) for each in value])  # pyright: ignore[reportUnknownVariableType]
    return None


def _parts(value: Any) -> dict[str, Any]:
    """Give the parts of what holds more than constants: a container of functions or objects, a partial, an app's own object."""
    parts: dict[str, Any] = {}
    if isinstance(value, functools.partial):
        return {"function": value.func, "arguments": value.args, "options": value.keywords}  # pyright: ignore[reportUnknownMemberType]
    if isinstance(value, Mapping):
        parts = {str(getattr(key, "__qualname__", key)): each for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    elif isinstance(value, (list, tuple)):
        parts = {str(index): each for index, each in enumerate(value)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return {} if all(_constant(each) is not None for each in parts.values()) else parts


def _closure(function: types.FunctionType) -> dict[str, Any]:
    return dict(inspect.getclosurevars(function).nonlocals)


def _source(code: types.CodeType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
    except (OSError, SyntaxError, TypeError):
        return _bytecode(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.decorator_list = []
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return _bytecode(code) if _has_lambda(tree) else ast.unparse(tree)


def _has_lambda(tree: ast.AST) -> bool:
    return not any(isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) for each in ast.walk(tree))


def _bytecode(code: types.CodeType) -> str:
    constants = [_bytecode(each) if isinstance(each, types.CodeType) else repr(each) for each in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_freevars} {constants}"
