"""As whom PostgreSQL runs, and what another user is given."""

import os
from pathlib import Path

import pytest

from compose.errors import StackPrecondition
from compose.identity import Identity, can_reach, carry, choose_identity


def test_libraries_go_along(tmp_path: Path) -> None:
    """A copied installation keeps the wheel's libraries where its programs look for them, and is copied once."""
    programs = tmp_path / "site" / "server" / "install" / "bin"
    programs.mkdir(parents=True)
    (programs / "postgres").write_text("program", "utf-8")
    (tmp_path / "site" / "server.libs").mkdir()
    (tmp_path / "site" / "server.libs" / "libpq.so").write_text("library", "utf-8")
    copied = carry(programs, tmp_path / "away")
    assert (copied / "../../../server.libs/libpq.so").resolve().read_text("utf-8") == "library"
    before = (copied / "postgres").stat()
    assert carry(programs, tmp_path / "away") == copied
    assert (copied / "postgres").stat() == before


def test_private_directory_is_not_reachable(tmp_path: Path) -> None:
    """A directory below one that only its owner may enter is out of another user's reach."""
    (tmp_path / "private" / "inner").mkdir(parents=True)
    (tmp_path / "private").chmod(0o700)
    assert not can_reach(tmp_path / "private" / "inner")
    assert can_reach(Path("/"))


def test_unknown_user() -> None:
    """Root is told when the user to drop to does not exist; an ordinary user runs PostgreSQL as himself."""
    if os.geteuid() != 0:
        assert choose_identity("no-such-user") == Identity()
        return
    with pytest.raises(StackPrecondition, match="REFOLD_STACK_POSTGRES_USER=no-such-user"):
        choose_identity("no-such-user")
