"""The pages about testing show tests that pass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGES = ("test-a-projection", "test-your-domain", "prove-that-rows-replay")
BLOCK = re.compile(r"^```python file=(test_\w+\.py)\n(.*?)^```", re.MULTILINE | re.DOTALL)
HOW_TO = Path(__file__).resolve().parents[3] / "docs" / "how-to"


def test_pages(tmp_path: Path) -> None:
    """Each test on the pages passes as it stands there, with nothing but the plugin that pytest finds."""
    blocks = [found for page in PAGES for found in BLOCK.findall((HOW_TO / f"{page}.md").read_text("utf-8"))]
    for name, text in blocks:
        (tmp_path / name).write_text(text, "utf-8")
    tests = sum(text.count("\ndef test_") + text.count("\nasync def test_") for _, text in blocks)
    options = [
        "-W",
        "error",
        "-p",
        "no:cacheprovider",
        *("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"),
    ]
    command = [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert f"{tests} passed" in done.stdout, done.stdout + done.stderr
    assert len(blocks) >= 4
