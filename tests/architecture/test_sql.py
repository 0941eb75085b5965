"""SQL lives in .sql files: used, one statement each, and the first line says why."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

PACKAGES = ("eventstore", "projections", "cdc", "replay")
TEXTS = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\$(\w*)\$.*?\$\1\$", re.DOTALL)


def statements(text: str) -> int:
    return len([each for each in TEXTS.sub("", text).split(";") if each.strip()])


def test_statements(repository: Path) -> None:
    """Every .sql file of a package holds exactly one statement."""
    files = [path for package in PACKAGES for path in (repository / package).rglob("*.sql")]
    assert files
    assert not [str(path) for path in files if statements(path.read_text("utf-8")) != 1]


def test_reasons(repository: Path) -> None:
    """Every .sql file of the packages and the migrations begins with a comment of at least four words."""
    files = [path for folder in (*PACKAGES, "migrations") for path in (repository / folder).rglob("*.sql")]
    first = {path: path.read_text("utf-8").split("\n", 1)[0] for path in files}
    assert not [str(path) for path, line in first.items() if not line.startswith("-- ") or len(line.split()) < 5]


def test_used(repository: Path, package_sources: dict[str, ast.Module]) -> None:
    """Every .sql file of a package is named by a string in that package."""
    named = {
        package: {
            node.value
            for path, tree in package_sources.items()
            if path.startswith(f"{package}/")
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        for package in PACKAGES
    }
    unused = [
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*.sql")
        if path.stem not in named[package]
    ]
    assert not unused


def test_no_sql_outside(package_sources: dict[str, ast.Module]) -> None:
    """No Python module holds a whole query as text; composed pieces (identifiers, DDL of read models) are psycopg.sql."""
    query = re.compile(r"^\s*(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s.+\sSET|DELETE\s+FROM)\s", re.IGNORECASE | re.DOTALL)
    lifted = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text("utf-8"))["sql"]
    faults = [
        f"{path}:{node.lineno}"
        for path, tree in package_sources.items()
        if not path.startswith(tuple(lifted))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and query.match(node.value)
    ]
    assert not faults


def test_one_clock(repository: Path) -> None:
    """No statement asks the server for its transaction ids: they come shifted, from eventstore.current_xid_v1 and horizon_v1."""
    raw = re.compile(r"pg_current_xact_id|pg_snapshot_xmin")
    files = [path for package in PACKAGES for path in (repository / package).rglob("*") if path.suffix in {".sql", ".py"}]
    assert not [str(path.relative_to(repository)) for path in files if raw.search(path.read_text("utf-8"))]
