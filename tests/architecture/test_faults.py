"""The table of faults in the documentation is true: every test exists and says its number, and every number is in the table."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

from eventstore.moments import CRASH_POINTS, MOMENTS

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
