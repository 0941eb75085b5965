"""`refold eventstore …` and its kin: one front for the other programs, which are found by name and never imported here.

The lookup goes through the installed console scripts first and `<package>.cli:main` next, so that it works in a checkout too.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec

from compose.errors import PackageMissing, StackUsageError

PROGRAMS = ("eventstore", "projections", "cdc", "replay")
DEMO = "examples.flights.demo"


def find_program(name: str) -> Callable[[Sequence[str]], int]:
    """Return the `main(argv)` of program *name*; raises StackUsageError when this installation has none."""
    for entry in entry_points(group="console_scripts", name=name):
        if entry.value.split(":")[0] == f"{name}.cli":
            return _loaded(name, entry.load)
    return _loaded(name, lambda: importlib.import_module(f"{name}.cli").main)


def _loaded(name: str, load: Callable[[], Callable[[Sequence[str]], int]]) -> Callable[[Sequence[str]], int]:
    try:
        return load()
    except (ModuleNotFoundError, AttributeError) as error:
        raise StackUsageError(f"This installation has no program `{name}`: {error}. Reinstall refold.", program=name) from error


def run_demo(arguments: Sequence[str]) -> int:
    """Run the flights demo as a process of its own and return its exit code; raises PackageMissing outside a checkout."""
    sys.path.append(os.getcwd())  # noqa: PTH109
    try:
        found = find_spec(DEMO)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise PackageMissing(
            f"The demo ({DEMO}) is not here: it is part of the source, not of the wheel. Clone the repository, "
            "`pip install -e '.[stack,examples]'`, and run `refold demo` in it."
        )
    return subprocess.run([sys.executable, "-m", DEMO, *arguments]).returncode
