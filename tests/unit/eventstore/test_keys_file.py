"""Master keys in a file: the newest first, and none lost to a run beside."""

from pathlib import Path

import pytest

from eventstore.cli import main


def test_one_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While another run puts a key into the file this one is refused, for it would drop that key; afterwards both are there."""
    file, beside = tmp_path / "masters", tmp_path / ".masters.new"
    assert main(["keys", "--new", "first", "--file", str(file)]) == 0
    before = file.read_text("utf-8")
    beside.write_text("of another run", "utf-8")
    assert main(["keys", "--new", "second", "--file", str(file)]) == 5
    assert (file.read_text("utf-8"), beside.read_text("utf-8")) == (before, "of another run")
    assert str(beside) in capsys.readouterr().err
    beside.unlink()
    assert main(["keys", "--new", "second", "--file", str(file)]) == 0
    assert [each.partition(":")[0] for each in file.read_text("utf-8").splitlines()] == ["second", "first"]
    assert (file.stat().st_mode & 0o777, beside.exists()) == (0o600, False)
