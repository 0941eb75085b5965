"""As whom PostgreSQL runs: it refuses root, so root needs a way around.

An ordinary user runs it plainly. Root runs it in a user namespace of its own, where it is user 1000 to itself and root to the
files, so that nothing has to be copied and data below a directory that only root may enter works. Where user namespaces are
off, it is run as another user (`postgres`, else `nobody`), with binaries and data where that user can reach them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from compose.errors import StackPrecondition

NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True)
class Identity:
    """A prefix of the command line, or a user to become; neither for an ordinary user."""

    prefix: tuple[str, ...] = ()
    user: str | None = None


def choose_identity(asked: str) -> Identity:
    """Choose how to run PostgreSQL under REFOLD_STACK_POSTGRES_USER=*asked*; raises StackPrecondition if that cannot be."""
    if os.geteuid() != 0:
        return Identity()
    if asked in {"auto", "namespace"} and has_namespaces():
        return Identity(prefix=NAMESPACE)
    if asked == "namespace":
        raise StackPrecondition(
            "User namespaces are off on this machine: set REFOLD_STACK_POSTGRES_USER=nobody, or do not be root."
        )
    for user in ("postgres", "nobody") if asked == "auto" else (asked,):
        if _exists(user):
            return Identity(user=user)
    raise StackPrecondition(
        f"PostgreSQL refuses to run as root and there is no user to drop to (REFOLD_STACK_POSTGRES_USER={asked}): "
        "name an ordinary user, or run refold as one."
    )


@cache
def has_namespaces() -> bool:
    """Say whether an unprivileged user namespace can be made here."""
    if shutil.which(NAMESPACE[0]) is None:
        return False
    return subprocess.run([*NAMESPACE, "true"], capture_output=True, timeout=10).returncode == 0


def can_reach(path: Path) -> bool:
    """Say whether every user may enter *path*."""
    return all(place.stat().st_mode & 0o001 for place in (path, *path.parents))


def give(path: Path, user: str) -> None:
    """Make *user* the owner of *path*."""
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)


def carry(programs: Path, home: Path) -> Path:
    """Copy the installation around *programs* to *home* once, for users who cannot reach it; return its programs there.

    The libraries that the wheel keeps beside the package go along, in the same relative place: the programs look there.
    """
    installation, package = programs.parent, programs.parent.parent
    if not home.exists():
        fresh = home.with_name(home.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(installation, fresh / package.name / installation.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        fresh.rename(home)
    return home / package.name / installation.name / programs.name


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
