"""What `--again` runs once more, what it does not, and when it is no chance any more."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FAILS_ONCE = """
from pathlib import Path
import pytest

@pytest.mark.parametrize("number", range({}))
def test_it(number):
    been = Path(f"{{number}}.been")
    first = not been.exists()
    been.touch()
    assert not first
"""


@pytest.mark.parametrize(
    ("kind", "tests", "argv", "code", "told"),
    [
        ("integration", FAILS_ONCE.format(2), ["--again"], 0, "test_it[1] failed and was run once more"),
        ("integration", FAILS_ONCE.format(3), ["--again"], 1, "3 tests needed a second run, 2 may"),
        ("integration", FAILS_ONCE.format(1), [], 1, "1 failed"),
        ("unit", FAILS_ONCE.format(1), ["--again"], 1, "1 failed"),
        ("integration", "def test_it():\n    assert False", ["--again"], 1, "1 failed, 1 rerun"),
    ],
    ids=["twice", "too-often", "not-asked", "logic", "fails-again"],
)
def test_runs_again(tmp_path, kind, tests, argv, code, told):
    """A failure on servers is run once more where that is asked for, and told; logic is not, nor is a third run, nor a third test."""
    where = tmp_path / "tests" / kind
    where.mkdir(parents=True)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (where / "test_it.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-p", "tests.stack.again", "-p", "no:randomly", "-p", "no:cacheprovider", *argv]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [*command, "-p", "pytest_rerunfailures", "tests"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert told in done.stdout
