"""What the architecture tests read: the sources of this checkout, parsed once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGES = ("eventstore", "projections", "cdc", "replay", "compose")
FOLDERS = (*PACKAGES, "migrations", "examples", "benchmarks", "tests", "docs")


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def sources(repository: Path) -> dict[str, ast.Module]:
    """Every Python file of the checkout by its path in it."""
    files = sorted(path for folder in FOLDERS for path in (repository / folder).rglob("*.py"))
    return {str(path.relative_to(repository)): ast.parse(path.read_text("utf-8")) for path in files}


@pytest.fixture(scope="session")
def package_sources(sources: dict[str, ast.Module]) -> dict[str, ast.Module]:
    """Those that are in the wheel."""
    return {path: tree for path, tree in sources.items() if path.split("/")[0] in PACKAGES}
