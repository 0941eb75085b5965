"""The reference of types is what its list says."""

from __future__ import annotations

import runpy
from pathlib import Path

from cdc import Modes
from cdc.change import Decoder
from tests.matrix.matrix import COLUMNS

ROOT = Path(__file__).parents[3]


def test_types_fresh():
    """docs/reference/types.md is what `make docs` writes."""
    written = runpy.run_path(str(ROOT / "docs" / "columns.py"))["render"]()
    assert (ROOT / "docs" / "reference" / "types.md").read_text(encoding="utf-8") == written


def test_types_declarable():
    """Every type of the list can be declared in every mode for times."""
    declared = {each.name: each.declaration for each in COLUMNS}
    for time in ("microseconds", "adaptive", "adaptive_time_microseconds", "nanoseconds", "connect", "isostring", "structured"):
        assert Decoder(columns=declared, modes=Modes(time=time))
