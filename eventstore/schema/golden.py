"""Golden samples: a few real old events of every type and version, kept in the app's own repository, that its tests read again.

`eventstore schemas samples DIR` writes them, one file a type and version (`order-placed.v1.jsonl`), a JSON document a line. In a test:

    @pytest.mark.parametrize("sample", find_samples("tests/samples"), ids=str)
    def test_old_events(sample: Sample) -> None:
        sample.decode()
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from eventstore.codec import decode, encode
from eventstore.errors import UndecodableRecord, UnknownEvent, UsageError, VerificationFailed
from eventstore.event import Events, registry

_FILE = re.compile(r"^(?P<type>.+)\.v(?P<version>[1-9][0-9]*)\.jsonl$")


@dataclass(frozen=True, slots=True)
class Sample:
    """One old event: its *type*, the schema *version* it was stored under, its *data*, and *origin*, where it lies in its store."""

    type: str
    version: int
    data: Any
    origin: str = ""

    def __str__(self) -> str:
        return f"{self.type} v{self.version} {self.origin}".rstrip()

    def decode(self, events: Events = registry) -> Any:
        """Make an instance of today's class, through the upcasters. Raises UnknownEvent, UndecodableRecord."""
        return events.named(self.type).decode(self.data, self.version)


def find_samples(directory: str | Path) -> list[Sample]:
    """Read every sample of *directory*. Raises UsageError when there is none, so that a test of nothing can't pass."""
    files = sorted((path, found) for path in Path(directory).glob("*.jsonl") if (found := _FILE.match(path.name)))
    samples = [
        _read(found["type"], int(found["version"]), line)
        for path, found in files
        for line in path.read_bytes().splitlines()
        if line.strip()
    ]
    if not samples:
        raise UsageError(f"{directory} holds no samples: write some with `eventstore schemas samples {directory}`")
    return samples


def check_samples(directory: str | Path, events: Events = registry) -> int:
    """Decode every sample of *directory* and give their number. Raises VerificationFailed that names all that can't be read."""
    samples = find_samples(directory)
    failed: list[str] = []
    for each in samples:
        try:
            each.decode(events)
        except (UndecodableRecord, UnknownEvent) as error:
            failed.append(f"{each}: {error}")
    if failed:
        raise VerificationFailed(
            f"{len(failed)} of {len(samples)} samples can't be read any more:\n" + "\n".join(failed), failed=len(failed)
        )
    return len(samples)


def write_samples(directory: str | Path, samples: Iterable[Sample]) -> list[Path]:
    """Write *samples*, a file for each type and version. A file that is there already stays as it is: old data does not change."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    ordered = sorted(samples, key=lambda each: (each.type, each.version))
    for (name, version), group in groupby(ordered, key=lambda each: (each.type, each.version)):
        path = folder / f"{name}.v{version}.jsonl"
        if not path.exists():
            path.write_bytes(b"".join(encode({"origin": each.origin, "data": each.data}) + b"\n" for each in group))
            written.append(path)
    return written


def _read(name: str, version: int, line: bytes) -> Sample:
    fields = decode(line)
    return Sample(name, version, fields["data"], fields.get("origin", ""))
