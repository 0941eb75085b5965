"""`--again`: a test on real servers that fails is run once more, with servers' state of its own, and told if it passes then.

For CI, where one of two thousand tests that wait on servers meeting a full machine would refuse a change that has no part in it.
Logic is never run again, nothing is run a third time, and more than `MOST` in a session are a failure: that is no chance. ADR 0044.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

MOST = 2
LOGIC = ("unit", "properties", "architecture", "typing")
"""Directories of tests whose outcome depends on no server: they pass or they don't."""


class Tally:
    """Counts the tests that were run again, and fails the session for too many."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that is about to be run again."""
        if report.outcome == "rerun":  # type: ignore[comparison-overlap]
            self.seen.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let a session fail in which more tests needed it than chance explains."""
        if len(self.seen) > MOST:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was run again, and whether it was too much."""
        for each in sorted(self.seen):
            terminalreporter.write_line(f"again: {each} failed and was run once more; read why above, and mend it")
        if len(self.seen) > MOST:
            terminalreporter.write_line(f"{len(self.seen)} tests needed a second run, {MOST} may: this session failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--again`."""
    parser.addoption("--again", action="store_true", help="run a failed test on real servers once more, and say so")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    if config.getoption("--again"):
        config.pluginmanager.register(Tally(), "again")


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Mark what may be run again."""
    if not config.getoption("--again"):
        return
    for each in items:
        if Path(each.path).relative_to(config.rootpath).parts[1] not in LOGIC:
            each.add_marker(pytest.mark.flaky(reruns=1))
