"""Who may import whom: the contracts in pyproject.toml hold, and each of them would notice a breach."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ENGINE_ONLY = (
    "replay",
    "cdc/database.py",
    "cdc/rescue.py",
    "cdc/translate",
    "eventstore/relay",
    "projections/cli",
    "projections/feeding/publisher.py",
    "projections/feeding/supervisor.py",
    "projections/web",
    "projections/feeding/worker.py",
)
"""May name SQLAlchemy's engine and session in annotations, and nothing else of it."""
ENGINE_NAMES = {"AsyncEngine", "AsyncConnection", "AsyncSession"}

PLANTS = {
    "replay -> projections": ("eventstore/stream.py", "import projections.declaration.table"),
    "projections, cdc never meet": ("projections/declaration/table.py", "import cdc.change"),
    "compose knows none": ("compose/ports.py", "import eventstore.errors"),
    "no package knows compose": ("replay/settings.py", "import compose.settings"),
    "inside eventstore": ("eventstore/errors.py", "import eventstore.codec"),
    "inside projections": ("projections/declaration/table.py", "import projections.feeding.worker"),
    "inside replay": ("replay/settings.py", "import replay.run"),
    "inside cdc": ("cdc/connect/settings.py", "import cdc.cli"),
    "a module without a place": ("eventstore/attic.py", "THING = 1"),
    "Kafka's door": ("replay/plan.py", "import aiokafka"),
    "HTTP's door": ("eventstore/console.py", "import httpx"),
    "JSON's door": ("projections/fold/fold.py", "import orjson"),
    "PostgreSQL's door": ("replay/plan.py", "import psycopg"),
    "SQLAlchemy's door": ("projections/fold/fold.py", "import sqlalchemy"),
    "Alembic's door": ("projections/control/catalogue.py", "import alembic"),
    "cryptography's door": ("projections/release/loss.py", "import cryptography"),
    "pyarrow's door": ("projections/fold/fold.py", "import pyarrow"),
    "DuckDB's door": ("eventstore/archive/audit.py", "import duckdb"),
    "fastavro's door": ("cdc/change/row.py", "import fastavro"),
    "Starlette's door": ("projections/feeding/health.py", "import starlette"),
    "Valkey's door": ("projections/fold/sheet.py", "import valkey"),
    "tantivy's door": ("projections/declaration/table.py", "import tantivy"),
    "the stack's door": ("replay/progress.py", "import psutil"),
}


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def copied(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages to plant breaches in."""
    folder = tmp_path_factory.mktemp("copy")
    for package in ("eventstore", "projections", "cdc", "replay", "compose"):
        shutil.copytree(repository / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "pyproject.toml", folder)
    return folder


def test_contracts(copied: Path) -> None:
    """Every contract is kept, and no module of the packages is outside of one."""
    done = lint_imports(copied)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plants_bite(copied: Path) -> None:
    """Each planted import breaks a contract, and the report names its file."""
    before: dict[Path, str | None] = {}
    try:
        for name, line in PLANTS.values():
            path = copied / name
            before.setdefault(path, path.read_text("utf-8") if path.exists() else None)
            path.write_text(f"{path.read_text('utf-8') if path.exists() else ''}\n{line}\n", "utf-8")
        done = lint_imports(copied)
    finally:
        for path, text in before.items():
            path.unlink() if text is None else path.write_text(text, "utf-8")
    assert done.returncode == 1, done.stderr
    contracts = tomllib.loads((copied / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    kept = [each["name"] for each in contracts if f"{each['name']} KEPT" in done.stdout]
    assert not kept, f"these contracts notice no planted breach: {kept}"
    silent = [name for name, (path, _) in PLANTS.items() if path.removesuffix(".py").replace("/", ".") not in done.stdout]
    silent = [name for name in silent if name != "a module without a place"]
    assert not silent, f"the report does not name {silent}:\n{done.stdout}"
    assert "attic" in done.stdout


def test_engine_only(package_sources: dict[str, ast.Module]) -> None:
    """Modules outside of the SQL door take SQLAlchemy's engine by name and never a statement, a type or a connection of it."""
    faults = [
        f"{path}:{node.lineno}"
        for path, tree in package_sources.items()
        if path.startswith(ENGINE_ONLY)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Import) and any(each.name.startswith("sqlalchemy") for each in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("sqlalchemy")
            and {each.name for each in node.names} - ENGINE_NAMES
        )
    ]
    assert not faults
