"""pyarrow, loaded when an archive is used and not before."""

from __future__ import annotations

from typing import Any

from eventstore.errors import UsageError


def load_arrow() -> Any:
    """Give the package `pyarrow`, untyped. Raises UsageError that names the extra when it is not installed."""
    try:
        import pyarrow as pa
        from pyarrow import fs, parquet
    except ImportError as error:
        raise UsageError("an archive needs pyarrow: install refold[archive]") from error
    assert fs, parquet
    return pa
