"""The exception trees: drawn as they are, picklable, and with exit codes that are documented."""

from __future__ import annotations

import importlib
import pickle
import re
from pathlib import Path
from types import ModuleType

import pytest

from cdc.cli.program import PENDING

LINE = re.compile(r"^\s*(?P<indent>[│├└─\s]*)(?P<name>[A-Z]\w+)(?:\s+(?:exit code )?(?P<code>\d+))?(?:\s|$)")
TREES = ("eventstore.errors", "compose.errors")


@pytest.fixture(params=TREES)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(request.param)


def classes(module: ModuleType) -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
    }


def drawn(text: str) -> dict[str, tuple[str | None, int | None]]:
    """Read the tree of a docstring: name -> (parent, exit code)."""
    tree: dict[str, tuple[str | None, int | None]] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = LINE.match(line)
        if not found or not line.startswith("    "):
            continue
        depth = found.start("name")
        above = [each for each in above if each[0] < depth]
        tree[found["name"]] = (above[-1][1] if above else None, int(found["code"]) if found["code"] else None)
        above.append((depth, found["name"]))
    return tree


def test_drawing(module: ModuleType) -> None:
    """The docstring draws every class under its parent, with its exit code where that is not the parent's."""
    known, tree = classes(module), drawn(module.__doc__ or "")
    assert set(tree) == set(known)
    for name, (parent, code) in tree.items():
        assert known[name].__base__ is (known[parent] if parent else Exception), name
        if code is not None:
            assert known[name].exit_code == code, name  # type: ignore[attr-defined]
        elif parent:
            assert known[name].exit_code == known[parent].exit_code, name  # type: ignore[attr-defined]


def test_picklable(module: ModuleType) -> None:
    """An error that travelled between processes has the same message and facts."""
    for kind in classes(module).values():
        error = kind("what happened", what=1)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.facts) == (kind, "what happened", {"what": 1})


def test_messages(module: ModuleType) -> None:
    """A class's docstring is its default message."""
    for kind in classes(module).values():
        assert str(kind()) == kind.__doc__


def test_exit_codes(repository: Path) -> None:
    """Every exit code of the trees is explained in CONTRIBUTING and in the reference of the commands."""
    codes = {kind.exit_code for name in TREES for kind in classes(importlib.import_module(name)).values()} | {130}  # type: ignore[attr-defined]
    for name in ("CONTRIBUTING.md", "docs/reference/commands.md"):
        text = (repository / name).read_text("utf-8")
        assert not [code for code in codes if not re.search(rf"\b{code}\b", text)], name
    assert f"| {PENDING} | changes are pending" in (repository / "docs" / "reference" / "commands.md").read_text("utf-8")
