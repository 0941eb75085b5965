"""What every process of a run did, one JSON line an operation, in Jepsen's form: invoke, then ok, fail or info.

`fail` = it certainly did not happen, `info` = nobody knows: a reply was lost, or the process was killed (then there is no second
line at all). An unknown outcome is never counted as an error either way. Each process appends whole lines to the one file by
single writes, which neither mix nor get lost when it is killed; times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import dataclasses
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

Type = Literal["invoke", "ok", "fail", "info"]
What = Literal["append", "commit", "publish", "project", "rebalance", "read", "swap", "aggregate", "fold", "caught_up", "fault"]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One line. Which fields are given depends on *f*; see `tests/faults/checker.py`."""

    process: str
    type: Type
    f: What
    t_ns: int = 0
    call: int | None = None
    stream: str | None = None
    version: int | None = None
    event_id: str | None = None
    lsn: str | None = None
    partition: int | None = None
    offset: int | None = None
    projection: str | None = None
    pversion: int | None = None
    pversions: tuple[int, ...] = ()
    rollback: bool = False
    key: str | None = None
    value: Any = None
    expected: Any = None
    name: str | None = None

    def line(self) -> bytes:
        """Write it as JSON, without what is not given."""
        given = {
            each.name: value
            for each in dataclasses.fields(self)
            if (value := getattr(self, each.name)) != each.default or each.name == "t_ns"
        }
        return json.dumps(given, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes | str) -> Self:
        """Read one line."""
        found = json.loads(line)
        return cls(**{**found, "pversions": tuple(found.get("pversions", ()))})


class Recorder:
    """Writes the operations of one process; any number of processes and threads may write to the same *path*."""

    def __init__(self, path: Path, process: str | None = None) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.process = process or f"pid-{os.getpid()}"
        self._calls = itertools.count(os.getpid() * 1_000_000)

    def note(self, outcome: Type, f: What, /, **fields: Any) -> None:
        """Write one line now."""
        one = Operation(**{"process": self.process, "type": outcome, "f": f, "t_ns": time.monotonic_ns(), **fields})
        os.write(self._file, one.line())

    @contextmanager
    def operation(self, f: What, *refused: type[BaseException], **fields: Any) -> Iterator[dict[str, Any]]:
        """Record an operation: `invoke` now, `ok` with what is put into the yielded dict, `fail` for *refused*, else `info`."""
        call = next(self._calls)
        self.note("invoke", f, call=call, **fields)
        found: dict[str, Any] = {}
        try:
            yield found
        except refused:
            self.note("fail", f, call=call, **fields)
            raise
        except BaseException:
            self.note("info", f, call=call, **fields)
            raise
        self.note("ok", f, call=call, **{**fields, **found})

    def bite(self, name: str) -> None:
        """Note that fault *name* had an effect that somebody saw."""
        self.note("ok", "fault", name=name)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def load(path: Path) -> list[Operation]:
    """Read a history, by time. A last line that was cut off is an error: no write is ever cut."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return sorted((Operation.parse(line) for line in lines), key=lambda each: each.t_ns)


def count_bites(operations: Iterable[Operation]) -> Counter[str]:
    """Count how often each fault was seen to have an effect."""
    return Counter(each.name or "" for each in operations if each.f == "fault")


def require_bites(operations: Iterable[Operation], *faults: str) -> None:
    """Fail for faults that never had an effect: then the run has proved nothing."""
    bites = count_bites(operations)
    missing = [each for each in faults if not bites[each]]
    assert not missing, f"never bit: {', '.join(missing)}; seen: {dict(bites)}"
