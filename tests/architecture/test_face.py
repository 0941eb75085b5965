"""The public face: `__all__` is sorted, complete and documented, and importing a package loads no driver."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest

FACES = (
    "eventstore",
    "projections",
    "cdc",
    "cdc.change",
    "eventstore.postgres",
    "eventstore.process",
    "eventstore.testing",
    "eventstore.relay",
    "eventstore.schema",
    "projections.serving",
    "projections.web",
)
DRIVERS = {"aiokafka", "psycopg", "httpx", "alembic", "uvloop", "psutil", "jgo", "cryptography"}


def rank(name: str) -> tuple[int, str]:
    """Sort as ruff's RUF022 does: constants, classes, the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", FACES)
def test_complete(name: str, sources: dict[str, ast.Module]) -> None:
    """`__all__` is sorted and names exactly what the package's `__init__` imports or defines in public."""
    module = importlib.import_module(name)
    assert module.__all__ == sorted(module.__all__, key=rank)
    tree = sources[f"{name.replace('.', '/')}/__init__.py"]
    public = {alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    public |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    assert set(module.__all__) == {each for each in public if not each.startswith("_")}


@pytest.mark.parametrize("name", FACES)
def test_documented(name: str, sources: dict[str, ast.Module]) -> None:
    """Every public class and function has a docstring, and so has every public method; constants have one or a plain value."""
    module = importlib.import_module(name)
    faults = [each for each in module.__all__ for each in undocumented(each, getattr(module, each))]
    assert not faults


@pytest.mark.parametrize("package", ["eventstore", "projections", "cdc", "replay", "compose"])
def test_light(package: str) -> None:
    """Importing a package loads no database, Kafka or HTTP driver; only projections brings SQLAlchemy, which declares its tables."""
    code = f"import sys, {package}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    heavy = DRIVERS if package == "projections" else DRIVERS | {"sqlalchemy"}
    assert not loaded & heavy


def test_typed(repository: Any) -> None:
    """Every package says that it is typed."""
    for package in ("eventstore", "projections", "cdc", "replay", "compose"):
        assert (repository / package / "py.typed").is_file(), package


def undocumented(name: str, value: Any) -> list[str]:
    """Name what lacks a docstring."""
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        return []
    faults = [] if value.__doc__ else [name]
    if isinstance(value, type):
        own = {key: part for key, part in vars(value).items() if not key.startswith("_")}
        plain = {key: getattr(part, "fget", None) or getattr(part, "__func__", part) for key, part in own.items()}
        faults += [
            f"{name}.{key}" for key, part in plain.items() if callable(part) and not isinstance(part, type) and not part.__doc__
        ]
    return faults
