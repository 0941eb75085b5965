"""What a projection's code and tables amount to, in one short hash: equal fingerprints build equal rows from equal events.

It covers the version, the tables' DDL, the defaults and methods of their rows, and for each handler and key function the *meaning*
of its source: comments, docstrings and layout do not count. Functions, classes and constants of the app that a handler uses are
followed by name, and so are the upcasters and methods of the events it reads. Libraries are not followed: raise the version when
one of them changes what your rows hold.
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
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from eventstore.codec import encode_sorted
from eventstore.event import registry as events
from projections.projection import EVENTS, Projection

LENGTH = 12
_OURS = ("eventstore", "projections", "cdc", "replay")
_LIBRARIES = tuple(sysconfig.get_path(each) for each in ("stdlib", "platstdlib", "purelib", "platlib"))


def fingerprint(projection: Projection) -> str:
    """Give 12 hex digits. Raises UsageError for nothing: code without source counts by its bytecode."""
    facts = {
        "version": projection.version,
        "tables": [[*table.ddl(), _defaults(table.row), _meaning(table.row)] for table in projection.tables],
        "handlers": sorted(_describe_handlers(projection)),
        "upcasters": _describe_upcasters(projection),
    }
    return hashlib.sha256(encode_sorted(facts)).hexdigest()[:LENGTH]


def _describe_handlers(projection: Projection) -> list[str]:
    return [
        " ".join(
            [each.source.name, each.message, each.table.name, _meaning(each.function), _meaning(each.key) if each.key else ""]
        )
        for each in projection.handlers
    ]


def _describe_upcasters(projection: Projection) -> dict[str, Any]:
    wanted = projection.wanted(EVENTS)
    kinds = [each for each in events if each.name in wanted]
    return {
        each.name: [each.version, _meaning(each.python), [_meaning(each.upcasters[step]) for step in sorted(each.upcasters)]]
        for each in kinds
    }


def _defaults(row: type) -> dict[str, str]:
    given = {each.name: each for each in dataclasses.fields(row)}
    return {
        name: repr(each.default) if each.default is not dataclasses.MISSING else _meaning(each.default_factory)
        for name, each in given.items()
        if each.default is not dataclasses.MISSING or each.default_factory is not dataclasses.MISSING
    }


def _meaning(used: Any) -> str:
    walk = _Walk(getattr(inspect.unwrap(used), "__module__", None) or "")
    walk.follow("", used)
    return hashlib.sha256(encode_sorted(walk.found)).hexdigest()


class _Walk:
    """Follows what a function uses, through the app's own code; *home* is the module that it starts from.

    *found* says what each thing means under the name by which it was reached, in an order that depends on names alone.
    """

    def __init__(self, home: str) -> None:
        self.found: list[str] = []
        self._home = home.partition(".")[0]
        self._seen: set[int] = set()

    def follow(self, name: str, used: Any) -> None:
        """Add what *used* means, and whatever it uses in turn."""
        if isinstance(used, functools.partial):
            parts: dict[str, Any] = {"function": used.func, "arguments": used.args, "options": used.keywords}  # pyright: ignore[reportUnknownMemberType]
            self._follow_all({f"{name}:{part}": value for part, value in parts.items()})
        elif isinstance(used, types.FunctionType):
            if self._is_new(used):
                self._follow_function(name, used)
        elif isinstance(used, type):
            if self._is_app(used.__module__) and self._is_new(used):
                self._follow_class(name, used)
        elif (inner := getattr(used, "__func__", getattr(used, "__wrapped__", None))) is not None:
            self.follow(name, inner)
        elif (text := _constant(used)) is not None or callable(used):
            self.found.append(f"{name} = {text or re.sub(' at 0x[0-9a-f]+', '', repr(used))}")

    def _follow_all(self, reach: Mapping[str, Any]) -> None:
        for name, value in sorted(reach.items()):
            if not isinstance(value, types.FunctionType) or self._is_app(value.__module__):
                self.follow(name, value)

    def _follow_function(self, name: str, function: types.FunctionType) -> None:
        self.found.append(f"{name} = {_source(function.__code__)}")
        defaults: dict[str, Any] = {f"default {index}": each for index, each in enumerate(function.__defaults__ or ())}
        used = self._globals_used(function.__code__, function.__globals__)
        self._follow_all({**used, **_closure(function), **defaults, **(function.__kwdefaults__ or {})})

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
