"""The bank on real servers, and a place for its archive."""

import pytest

from tests.bank.fixtures import engine, kafka, ledger, log, postgres_template, runs, used_topics

__all__ = ["engine", "kafka", "ledger", "log", "place", "postgres_template", "runs", "used_topics"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Give the directory of this test's archive, in the environment too."""
    monkeypatch.setenv("REFOLD_ARCHIVE_URL", str(tmp_path / "archive"))
    return tmp_path / "archive"
