"""Downloads: whole and right, or an error that says which file and why."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compose.errors import DownloadFailed
from compose.jars import Jar, Library

CONTENT = bytes(range(256)) * 4096


class Repository(ThreadingHTTPServer):
    """A Maven repository of one file, which misbehaves as a test asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.status = [200]
        self.cut_after: int | None = None
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/maven2"


class Handler(BaseHTTPRequestHandler):
    """Serves the file, whole or from an offset."""

    server: Repository

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        status = self.server.status.pop(0) if len(self.server.status) > 1 else self.server.status[0]
        if status != 200:
            self.send_error(status)
            return
        body = self.server.content[int(wanted[6:-1]) :] if wanted else self.server.content
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.server.cut_after = self.server.cut_after, None
        self.wfile.write(body[:cut])

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as repository:
        thread = threading.Thread(target=repository.serve_forever)
        thread.start()
        yield repository
        repository.shutdown()
        thread.join()


@pytest.fixture
def jar() -> Jar:
    return Jar("org.example", "thing", "1.0", "servers", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def library(tmp_path: Path, jar: Jar, repository: Repository) -> Library:
    return Library(tmp_path, [jar], repository.url, pause_s=0.001)


def test_fetched_once(library: Library, jar: Jar, repository: Repository) -> None:
    """What is missing is fetched; what is there and right is not asked for again."""
    said: list[str] = []
    assert (library.fetch(said.append), library.fetch(said.append)) == (1, 0)
    assert library.place(jar).read_bytes() == CONTENT
    assert len(repository.ranges) == len(said) == 1


def test_damage_is_repaired(library: Library, jar: Jar) -> None:
    """A cached file of the right size but other content is noticed and fetched anew."""
    library.fetch(print)
    library.place(jar).write_bytes(bytes(len(CONTENT)))
    assert library.missing() == (jar,)
    library.fetch(print)
    assert library.missing() == ()


def test_broken_off_is_resumed(library: Library, jar: Jar, repository: Repository) -> None:
    """A download that broke off goes on from the byte where it stopped."""
    repository.cut_after = 300_000
    library.fetch(print)
    assert library.place(jar).read_bytes() == CONTENT
    assert repository.ranges == [None, "bytes=300000-"]


def test_busy_repository_is_retried(library: Library, repository: Repository) -> None:
    """An answer that may pass, such as 503, is tried again."""
    repository.status = [503, 503, 200]
    assert library.fetch(print) == 1


def test_absent_file(library: Library, repository: Repository) -> None:
    """An answer that will not pass, such as 404, fails at once with the file, the address and what to do."""
    repository.status = [404]
    with pytest.raises(DownloadFailed) as caught:
        library.fetch(print)
    assert len(repository.ranges) == 1
    for part in ("thing-1.0.jar", repository.url, "404", "run the command again", "REFOLD_STACK_MAVEN_URL"):
        assert part in str(caught.value)
    assert caught.value.exit_code == 6


def test_wrong_content_is_refused(library: Library, jar: Jar, repository: Repository) -> None:
    """Bytes that are not those of the lock never reach the class path."""
    repository.content = b"x" * len(CONTENT)
    with pytest.raises(DownloadFailed, match="not what the lock file promises"):
        library.fetch(print)
    assert not library.place(jar).exists()
