"""What a type checker says about an application: it accepts right use of the public face and finds the mistakes."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def told(repository: Path) -> dict[str, set[int]]:
    """The lines that pyright complains about, by file."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "tests/typing"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=300)
    assert done.stdout, done.stderr
    lines: dict[str, set[int]] = {"accepted.py": set(), "refused.py": set(), "scenarios.py": set(), "served.py": set()}
    for each in json.loads(done.stdout)["generalDiagnostics"]:
        if each["severity"] == "error":
            lines.setdefault(Path(each["file"]).name, set()).add(each["range"]["start"]["line"] + 1)
    return lines


def test_accepted(told: dict[str, set[int]]) -> None:
    """Right use has no complaint under strict checking."""
    assert told["accepted.py"] | told["served.py"] | told["scenarios.py"] | told.get("shop_rows.py", set()) == set()


def test_refused(told: dict[str, set[int]], repository: Path) -> None:
    """Exactly the marked mistakes are found."""
    lines = (repository / "tests" / "typing" / "refused.py").read_text("utf-8").splitlines()
    assert told["refused.py"] == {number for number, line in enumerate(lines, start=1) if line.endswith("# refused")}


def test_used(repository: Path) -> None:
    """Every public name of the faces that an application meets is used in the accepted files."""
    trees = [ast.parse((repository / "tests" / "typing" / name).read_text("utf-8")) for name in ("accepted.py", "served.py")]
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    faces = (
        "eventstore",
        "eventstore.postgres",
        "eventstore.process",
        "eventstore.testing",
        "eventstore.relay",
        "eventstore.schema",
        "projections",
        "projections.serving",
        "projections.web",
        "cdc",
    )
    assert not [f"{face}.{name}" for face in faces for name in importlib.import_module(face).__all__ if name not in used]
