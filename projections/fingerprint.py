"""What a projection's code and tables amount to, in one short hash: equal fingerprints build equal rows from equal events.

It covers the version, the tables' DDL and the defaults of their rows, and for each handler and key function the *meaning* of
its source: comments, docstrings and layout do not count. Functions and constants of the app that a handler uses are followed by
name, and so are the upcasters of the events it reads.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import textwrap
import types
from collections.abc import Callable
from typing import Any

from eventstore.codec import encode_sorted
from eventstore.event import registry as events
from projections.projection import EVENTS, Projection

LENGTH = 12


def fingerprint(projection: Projection) -> str:
    """Give 12 hex digits. Raises UsageError for nothing: code without source counts by its bytecode."""
    facts = {
        "version": projection.version,
        "tables": [[*table.ddl(), _defaults(table.row)] for table in projection.tables],
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
    return {each.name: [each.version, [_meaning(each.upcasters[step]) for step in sorted(each.upcasters)]] for each in kinds}


def _defaults(row: type) -> dict[str, str]:
    return {each.name: repr(each.default) for each in dataclasses.fields(row) if each.default is not dataclasses.MISSING}


def _meaning(function: Callable[..., Any]) -> str:
    seen: dict[str, str] = {}
    _follow(function, seen)
    return hashlib.sha256(encode_sorted(seen)).hexdigest()


def _follow(function: Any, seen: dict[str, str]) -> None:
    code = getattr(function, "__code__", None)
    name = getattr(function, "__qualname__", repr(function))
    if code is None or name in seen:
        return
    seen[name] = _source(function, code)
    reach: dict[str, Any] = {**_globals_used(code, function.__globals__), **_closure(function)}
    for used, value in sorted(reach.items()):
        if isinstance(value, types.FunctionType) and _is_app_code(value, function):
            _follow(value, seen)
        elif isinstance(value, (bool, int, float, str, bytes, tuple, frozenset, type(None))):
            seen[f"{name}:{used}"] = repr(sorted(value, key=repr) if isinstance(value, frozenset) else value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _globals_used(code: types.CodeType, namespace: dict[str, Any]) -> dict[str, Any]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= set(_globals_used(constant, namespace))
    return {name: namespace[name] for name in names if name in namespace}


def _closure(function: types.FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells}


def _is_app_code(used: types.FunctionType, user: types.FunctionType) -> bool:
    return used.__module__.partition(".")[0] == user.__module__.partition(".")[0]


def _source(function: Callable[..., Any], code: types.CodeType) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
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
