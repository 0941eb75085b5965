"""Sizes: 400 lines a file, 50 lines a function, unless exceptions.toml gives a reason."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

MOST_FILE = 400
MOST_FUNCTION = 50


@pytest.fixture(scope="module")
def lifted() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text("utf-8"))


def test_files(repository: Path, sources: dict[str, ast.Module], lifted: dict[str, dict[str, str]]) -> None:
    """No file is longer than 400 lines, and no lifted limit is unused."""
    long = {path for path in sources if (repository / path).read_text("utf-8").count("\n") > MOST_FILE}
    assert long == set(lifted["files"])


def test_functions(sources: dict[str, ast.Module], lifted: dict[str, dict[str, str]]) -> None:
    """No function has more than 50 lines besides its docstring, and no lifted limit is unused."""
    long = {
        f"{path}:{node.name}"
        for path, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and measure(node) > MOST_FUNCTION
    }
    assert long == set(lifted["functions"])


def test_reasons(lifted: dict[str, dict[str, str]]) -> None:
    """Every lifted limit says why."""
    assert all(len(reason) > 20 for section in lifted.values() for reason in section.values())


def measure(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total
