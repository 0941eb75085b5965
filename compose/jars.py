"""The jars of Kafka, Connect and Debezium: exactly those of the lock file, checked byte by byte, kept per user.

The lock (`jars.lock.toml`, written by `python -m compose.lock`) names every file with its SHA-256, so nothing is resolved at
run time: a missing file is fetched (resumed where an earlier try broke off, retried with growing pauses), verified, and only
then moved to its place, so that a file in the cache is always whole. Debezium lies in a plugin directory of its own because
its dependencies are not Kafka's: on one class path the two mix Jetty and Jackson versions and Connect does not start.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

from compose.errors import DownloadFailed

LOCK = Path(__file__).with_name("jars.lock.toml")
Room = Literal["servers", "debezium-postgres"]
Progress = Callable[[str], None]
ATTEMPTS = 6
FINAL = {401, 403, 404, 407}  # answers of a repository that another try will not change
CHUNK = 1 << 18


@dataclass(frozen=True)
class Jar:
    """One file of the lock: Maven coordinate, where it belongs, and the content that it must have."""

    group: str
    artifact: str
    version: str
    room: Room
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The file's name, unique within a room."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> str:
        """The path below a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


def read_lock(path: Path = LOCK) -> tuple[Jar, ...]:
    """Read the lock file, in its order."""
    entries = tomllib.loads(path.read_text("utf-8"))["jar"]
    return tuple(_jar(*entry["coordinate"].split(":"), entry=entry) for entry in entries)


def _jar(group: str, artifact: str, version: str, *, entry: dict[str, Any]) -> Jar:
    return Jar(group, artifact, version, entry["room"], entry["size"], entry["sha256"])


class Library:
    """The cached files of one lock."""

    def __init__(self, cache: Path, jars: Sequence[Jar], maven_url: str, pause_s: float = 0.25) -> None:
        self._root = cache / "jars"
        self._jars = tuple(jars)
        self._maven_url = maven_url.rstrip("/")  # empty until the first download: Maven Central, which jgo knows
        self._pause_s = pause_s

    def place(self, jar: Jar) -> Path:
        """Name the path of *jar*: a room is a directory, so that Debezium's is a plugin directory as it stands."""
        return (self._root if jar.room == "servers" else self.plugins) / jar.room / jar.file_name

    @property
    def plugins(self) -> Path:
        """The `plugin.path` of this lock; another lock gets another directory, so no old jar is left in it."""
        digest = hashlib.sha256("".join(jar.sha256 for jar in self._jars if jar.room != "servers").encode()).hexdigest()
        return self._root / f"plugins-{digest[:12]}"

    @property
    def class_path(self) -> str:
        """The class path of broker, worker and tools, in the lock's order so that it never changes between starts."""
        return os.pathsep.join(str(self.place(jar)) for jar in self._jars if jar.room == "servers")

    def missing(self) -> tuple[Jar, ...]:
        """List the files that are absent or not what the lock promises (all are hashed: 60 MB, about 0.1 s)."""
        with ThreadPoolExecutor(4) as pool:
            good = pool.map(is_whole, map(self.place, self._jars), self._jars)
            return tuple(jar for jar, whole in zip(self._jars, good, strict=True) if not whole)

    def fetch(self, progress: Progress) -> int:
        """Download what is missing, at most eight files at a time, and return how many; raises DownloadFailed."""
        if not self.missing():
            return 0
        self._root.mkdir(parents=True, exist_ok=True)
        with _alone(self._root / "lock"):
            wanted = self.missing()
            self._maven_url = self._maven_url or find_central()
            megabytes = sum(jar.size for jar in wanted) / 1e6
            progress(f"downloading {len(wanted)} jars ({megabytes:.0f} MB) from {self._maven_url} to {self._root}")
            with ThreadPoolExecutor(8) as pool:
                for _ in pool.map(self._fetch, wanted):
                    pass
        return len(wanted)

    def _fetch(self, jar: Jar) -> None:
        target, url = self.place(jar), f"{self._maven_url}/{jar.path}"
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(min(8.0, self._pause_s * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311
            try:
                _download(url, part, jar.size)
            except urllib.error.HTTPError as error:
                reason = f"the repository answered {error.code} {error.reason}"
                if error.code in FINAL:
                    break
            except (OSError, HTTPException) as error:
                reason = str(error) or type(error).__name__
            else:
                if is_whole(part, jar):
                    part.replace(target)
                    return
                part.unlink()
                reason = "its content is not what the lock file promises"
        raise DownloadFailed(
            f"{jar.file_name} could not be fetched from {url}: {reason}. Files already fetched are kept: run the command again, "
            f"or name another repository in REFOLD_STACK_MAVEN_URL (HTTPS_PROXY and SSL_CERT_FILE are honoured).",
            file=jar.file_name,
            url=url,
        )


def find_central() -> str:
    """Give the address of Maven Central as jgo knows it. Raises DownloadFailed when the stack extra is not installed."""
    try:
        from jgo.constants import MAVEN_CENTRAL_URL
    except ImportError:
        raise DownloadFailed(
            "the jars come from Maven Central, whose address jgo knows: install 'refold[stack]', or name a repository in "
            "REFOLD_STACK_MAVEN_URL."
        ) from None
    return MAVEN_CENTRAL_URL


def is_whole(path: Path, jar: Jar) -> bool:
    """Say whether *path* holds exactly the bytes of *jar*."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size == jar.size and hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _download(url: str, part: Path, size: int) -> None:
    """Append what is missing of *url* to *part*, asking only for the bytes after those already there."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        part.unlink()
        have = 0
    request = urllib.request.Request(url, headers={"User-Agent": "refold", **({"Range": f"bytes={have}-"} if have else {})})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer, part.open("ab" if answer.status == 206 else "wb") as file:  # noqa: S310
        while chunk := answer.read(CHUNK):
            file.write(chunk)
        if file.tell() < size:
            raise ConnectionError(f"the connection ended after {file.tell()} of {size} bytes")


@contextmanager
def _alone(path: Path) -> Generator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
