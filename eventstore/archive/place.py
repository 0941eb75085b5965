"""Where an archive lies: a directory or object storage, behind pyarrow's file systems (and, through them, fsspec's).

A file appears whole under its name or not at all. In a directory it is written beside, synced and renamed; object stores show an
upload when it is complete. One archiver at a time may write a directory: the lock is the kernel's and goes with the process.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eventstore.archive.arrow import load_arrow
from eventstore.archive.piece import Chains, Piece, link
from eventstore.errors import HeldElsewhere, PreconditionFailed, UsageError
from eventstore.moments import reach

_NATIVE = ("s3", "gs", "gcs", "hdfs", "abfs", "abfss")
PARTIAL = ".partial"


class Place:
    """The root of an archive: *url* is a path, or the URL of a bucket and a prefix in it; `place.url` is the same without secrets."""

    def __init__(self, url: str) -> None:
        if not url:
            raise UsageError(
                "where is the archive? Give --to, --from or set REFOLD_ARCHIVE_URL: a directory, s3://bucket/prefix …"
            )
        self.url = mask_url(url)
        self.files, self._root = _open_files(url)

    @property
    def directory(self) -> Path | None:
        """The local directory; None = object storage."""
        return Path(self._root) if self.files.type_name == "local" else None

    def path(self, piece: Piece) -> str:
        """Give where *piece* lies, as the file system wants it."""
        return f"{self._root}/{piece}"

    def find_pieces(self, topic: str) -> Chains:
        """Give the pieces of *topic* by partition, in order of offset. Raises PreconditionFailed when the place can't be read."""
        selector = load_arrow().fs.FileSelector(f"{self._root}/{topic}", recursive=True, allow_not_found=True)
        try:
            found = self.files.get_file_info(selector)
        except OSError as error:
            raise PreconditionFailed(f"the archive at {self.url} can't be read: {error}") from error
        return link(each.path.removeprefix(self._root).lstrip("/") for each in found if each.is_file)

    def find_topics(self) -> list[str]:
        """Name the topics that the archive has files of."""
        fs = load_arrow().fs
        found = self.files.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        return sorted(each.base_name for each in found if each.type == fs.FileType.Directory and self.find_pieces(each.base_name))

    def write(self, piece: Piece, content: Any) -> None:
        """Make *piece* of *content* (a pyarrow buffer): whole or not at all. Raises PreconditionFailed when it can't be written."""
        path = self.path(piece)
        try:
            self.files.create_dir(path.rpartition("/")[0], recursive=True)
            if self.directory is None:
                with self.files.open_output_stream(path) as stream:
                    stream.write(content)
            else:
                _write_whole(Path(path), content)
        except OSError as error:
            raise PreconditionFailed(f"{piece} can't be written to {self.url}: {error}") from error

    @contextmanager
    def locked(self, topic: str) -> Generator[None]:
        """Keep other archivers of *topic* out of a directory and clear what a killed one left; object storage has no such lock."""
        if self.directory is None:
            yield
            return
        folder = self.directory / topic
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as file:
            _lock(file, f"{self.url}/{topic}")
            for each in folder.rglob(f"*{PARTIAL}"):
                each.unlink()
            yield


def mask_url(url: str) -> str:
    """Give *url* without the login and the options that may stand in it (`s3://key:secret@bucket/prefix?…`). Pure."""
    scheme, mark, rest = url.partition("://")
    if not mark or scheme == "file":
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _open_files(url: str) -> tuple[Any, str]:
    fs = load_arrow().fs
    scheme = url.partition("://")[0] if "://" in url else "file"
    try:
        if scheme == "file":
            return fs.LocalFileSystem(), str(Path(url.removeprefix("file://")).absolute())
        if scheme in _NATIVE:
            files, root = fs.FileSystem.from_uri(url)
            return files, root.rstrip("/")
        import fsspec

        spec: Any = fsspec
        files, root = spec.core.url_to_fs(url)
        return fs.PyFileSystem(fs.FSSpecHandler(files)), str(root).rstrip("/")
    except ImportError as error:
        raise UsageError(f"{mask_url(url)}: install fsspec and its implementation of {scheme}:// ({error})") from error
    except (OSError, ValueError) as error:
        shown, why = mask_url(url), str(error).replace(url, mask_url(url))
        raise UsageError(f"{shown} is no place for an archive: {why}. Give a directory, s3://bucket/prefix, gs://…") from None


def _write_whole(path: Path, content: Any) -> None:
    beside = path.with_name(f".{path.name}{PARTIAL}")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    reach("archive.before_rename")
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(file: Any, name: str) -> None:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise HeldElsewhere(f"another archiver writes {name}; end it, or leave the work to it") from error
