"""The wheel holds all that a checkout runs with: revisions, statements, marks of typing, the jars' lock and the connector's options."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

PACKAGES = ("eventstore", "projections", "cdc", "replay", "compose")
SOURCES = {".py", ".sql", ".json", ".toml", ".yaml", ".typed", ".properties"}


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that REFOLD_WHEEL names, else one that is built here."""
    if given := os.environ.get("REFOLD_WHEEL"):
        return Path(given)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("refold-*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_complete(names: set[str], repository: Path) -> None:
    """Every source, statement and data file of the packages is in the wheel, under its path in the repository."""
    wanted = {
        str(path.relative_to(repository))
        for package in PACKAGES
        for path in (repository / package).rglob("*")
        if path.suffix in SOURCES
        and path.is_file()
        and "__pycache__" not in path.parts
        and not path.is_relative_to(repository / ".refold")
    }
    assert wanted - names == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert {"compose/jars.lock.toml", "compose/versions.toml"} <= names


def test_migrations(names: set[str], repository: Path) -> None:
    """Every revision and its two .sql files lie in eventstore/migrations."""
    files = {
        str(path.relative_to(repository)) for path in (repository / "migrations").rglob("*") if path.suffix in {".py", ".sql"}
    }
    assert {f"eventstore/{name}" for name in files} <= names
    assert any(name.endswith(".up.sql") for name in files)


def test_nothing_else(names: set[str]) -> None:
    """Nothing else gets into a user's site-packages: no tests, no docs, no examples, no caches."""
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert not [name for name in names if name.endswith((".pyc", ".log", ".env"))]


def test_programs(wheel: Path) -> None:
    """The five console programs are declared, and the two plugins of pytest."""
    with ZipFile(wheel) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(entry).decode()
    assert {line.split(" = ")[0] for line in text.splitlines() if " = " in line} == {
        "refold",
        "eventstore",
        "projections",
        "cdc",
        "replay",
        "refold-projections",
    }
