"""The table of faults in the documentation is true: every test exists and says its number, and every number is in the table."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

from eventstore.moments import CRASH_POINTS, MOMENTS

JUDGED = {f"F{each}" for each in (*range(13, 21), *range(26, 29), *range(33, 41))}
"""Faults of workers, rebuilds, swaps and rollbacks, whose outcome is what a history says."""
JUDGES = {"examine", "judge", "judge_log"}
WITHOUT_HISTORY = {"test_unanswered_request"}
"""Ask the broker something that it never answers: nothing is written or read."""
ROW = re.compile(r"^\| (F\d\d) \| [^|]+ \| `([\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
NUMBER = re.compile(r"\bF(\d\d)\b")


def numbers(docstring: str | None) -> set[str]:
    """Give the numbers of a docstring, such as "F01, F02", or "F03 to F06" written out."""
    text = docstring or ""
    for first, last in re.findall(r"F(\d\d) to F(\d\d)", text):
        text += "".join(f" F{each:02}" for each in range(int(first), int(last) + 1))
    return {f"F{each}" for each in NUMBER.findall(text)}


def test_table_of_faults(repository: Path, sources: dict[str, ast.Module]) -> None:
    """Every fault of the table names a test whose docstring, or whose module's, says the same number; none is left out."""
    rows = ROW.findall((repository / "docs" / "explanation" / "how-we-know.md").read_text("utf-8"))
    said: dict[tuple[str, str], set[str]] = {}
    for path, tree in sources.items():
        if path.startswith("tests/"):
            for node in tree.body:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                    said[path.removeprefix("tests/"), node.name] = numbers(ast.get_docstring(node)) | numbers(
                        ast.get_docstring(tree)
                    )
    assert not [row for row in rows if row[0] not in said.get((row[1], row[2]), set())]
    assert {number for each in said.values() for number in each} == {number for number, _, _ in rows}
    assert {f"F{each:02}" for each in range(1, 41)} == {number for number, _, _ in rows}


def test_judged(repository: Path, sources: dict[str, ast.Module]) -> None:
    """What workers, rebuilds and swaps did under a fault is judged by the checker of histories, in every test of the table."""
    rows = ROW.findall((repository / "docs" / "explanation" / "how-we-know.md").read_text("utf-8"))
    wanted = {(path, name) for number, path, name in rows if number in JUDGED}
    unjudged = {name for path, name in wanted if not JUDGES & _called(sources[f"tests/{path}"], name)}
    assert unjudged == WITHOUT_HISTORY


def _called(tree: ast.Module, name: str) -> set[str]:
    """Name what the function *name* calls, and what the functions of its own module call that it calls."""
    functions = {each.name: each for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))}
    found: set[str] = set()
    due = [name]
    while due:
        calls = (each.func for each in ast.walk(functions[due.pop()]) if isinstance(each, ast.Call))
        fresh = {getattr(each, "attr", getattr(each, "id", "")) for each in calls} - found
        found |= fresh
        due += fresh & functions.keys()
    return found


def test_moments(repository: Path, sources: dict[str, ast.Module]) -> None:
    """Each named moment is in the documentation, is passed at one or two places of the code, and is died or slept at by a test."""
    rendered = runpy.run_path(str(repository / "docs" / "moments.py"))["render"]()
    assert (repository / "docs" / "reference" / "moments.md").read_text("utf-8") == rendered, "run `make docs`"
    passed = [name for path, tree in sources.items() if not path.startswith("tests/") for name in _reached(tree)]
    assert {name: passed.count(name) for name in {*passed, *MOMENTS} if passed.count(name) not in {1, 2}} == {}
    tried = [
        node.value
        for path, tree in sources.items()
        if path.startswith("tests/") and not path.startswith("tests/unit/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [name for name in MOMENTS if name not in CRASH_POINTS and not any(each.startswith(name) for each in tried)] == []
    assert len(CRASH_POINTS) > 11, "all of these are tried by tests/integration/replay/test_crashes.py"


def _reached(tree: ast.Module) -> list[str]:
    return [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "reach"
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]
