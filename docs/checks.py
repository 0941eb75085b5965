"""Writes docs/reference/cdc-checks.md from the register of `cdc doctor`, so that the reference can't disagree with it: `make docs`."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from cdc.doctor.check import CHECKS
from cdc.doctor.register import FAMILIES

HEAD = """# Checks of `cdc doctor`
Written by `make docs` from the checks; do not edit.

Each check has a code that never changes its meaning.
A finding says the fact, the danger and what mends it: a command or a statement.
`fail` makes the exit code 3, `warn` does so with `--strict`, `info` never.
A healthy connector gives no finding at all.

`--fix` does what can only add, after asking (or `--yes`): a right to read, a publication or what is missing in one, a heartbeat, a
secret's reference that the worker has checked, a longer retention, and a restart of what captures nothing anyway.
It never drops, revokes or shortens anything, and changes nothing about the form of the records.
"""


def render() -> str:
    """Write the whole page."""
    return HEAD + "".join(_families())


def _families() -> Iterator[str]:
    order = [module.__name__.rpartition(".")[2] for module in FAMILIES]
    checks = sorted(CHECKS.values(), key=lambda each: (order.index(each.family), each.code))
    for family, members in groupby(checks, key=lambda each: each.family):
        yield f"\n## {family.capitalize()}\n\n| code | what | must hold | else |\n|---|---|---|---|\n"
        for each in members:
            holds = " ".join((each.judge.__doc__ or "").split()).removeprefix("Require: ").rstrip(".")
            yield f"| {each.code} | {each.title} | {holds} | {each.danger} |\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("cdc-checks.md").write_text(render(), "utf-8")
