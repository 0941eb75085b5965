"""Names: a module is one noun, a function a verb of at most three words, nothing is called utils."""

from __future__ import annotations

import ast
import re
from pathlib import Path

BANNED = {"utils", "util", "common", "helpers", "helper", "misc", "base", "core", "models", "model", "types", "manager"}
MODULE = re.compile(r"^([a-z]+|__init__|__main__)$")
REVISION = re.compile(r"^v\d{4}(_[a-z]+)+$")


def test_modules(package_sources: dict[str, ast.Module]) -> None:
    """Every module and package is one lower-case word, and none of the words that say nothing."""
    parts = {(path, part) for path in package_sources for part in path.removesuffix(".py").split("/")}
    assert not [path for path, part in parts if part in BANNED or not MODULE.match(part)]


def test_functions(package_sources: dict[str, ast.Module]) -> None:
    """Every function's name has at most three words."""
    faults = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in package_sources.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not node.name.startswith("__")
        and len(node.name.strip("_").split("_")) > 3
    ]
    assert not faults


def test_revisions(repository: Path) -> None:
    """Revisions are v0001_words.py with an .up.sql and a .down.sql beside each, in one unbroken chain."""
    folder = repository / "migrations" / "versions"
    revisions = sorted(folder.glob("*.py"))
    assert revisions
    before = None
    for number, path in enumerate(revisions, start=1):
        assert REVISION.match(path.stem), path.name
        values = {
            target.id: ast.literal_eval(node.value)
            for node in ast.parse(path.read_text("utf-8")).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert (values["revision"], values["down_revision"]) == (f"v{number:04}", before), path.name
        assert path.with_suffix(".up.sql").exists(), path.name
        assert path.with_suffix(".down.sql").exists(), path.name
        before = values["revision"]
