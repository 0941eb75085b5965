"""Places for what tests write to files and need not keep: in memory where the system has such a place, since it waits for no disk."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def search_dir() -> Iterator[Path]:
    """Make a directory for the search indexes of one test; dozens of commits take seconds on a slow disk."""
    made = tempfile.mkdtemp(prefix="refold-search-", dir=MEMORY if MEMORY.is_dir() else None)
    yield Path(made)
    shutil.rmtree(made)
