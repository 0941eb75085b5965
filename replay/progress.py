"""How far a build is: a bar on a terminal, plain lines elsewhere, one JSON object per line with `--json`. Always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from eventstore.console import Output

LINE_S = 2.0


@dataclass(frozen=True, slots=True)
class Measure:
    """Records *done* of *total*, *rate* per second over the last seconds, *eta_s* seconds to go (None = can't say)."""

    done: int
    total: int
    rate: float
    eta_s: float | None

    @property
    def percent(self) -> float:
        """Share done, 0 to 100; an empty log is done."""
        return 100.0 * min(1.0, self.done / self.total) if self.total else 100.0


class Meter:
    """Turns counts into rate and time to go, by an average over a sliding window; *clock* gives seconds."""

    def __init__(self, *, window_s: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window_s = window_s
        self._points: list[tuple[float, int]] = []

    def measure(self, done: int, total: int) -> Measure:
        """Note that *done* of *total* records are read."""
        now = self._clock()
        self._points.append((now, done))
        while len(self._points) > 2 and self._points[1][0] < now - self._window_s:
            self._points.pop(0)
        first_at, first = self._points[0]
        rate = (done - first) / (now - first_at) if now > first_at else 0.0
        left = max(0, total - done)
        return Measure(done, total, rate, 0.0 if not left else left / rate if rate > 0 else None)


class Reporter:
    """Shows one step after another, each with its time."""

    def __init__(self, output: Output, projection: str) -> None:
        self._output = output
        self._projection = projection
        self._meter = Meter()
        self._printed = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if sys.stderr.isatty() and not output.json:
            self._bar = Progress(
                TextColumn("  {task.description:<10}"),
                BarColumn(),
                TextColumn("{task.fields[text]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, name: str, text: str, **facts: Any) -> None:
        """Say that step *name* ended, and how."""
        if self._bar and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        if self._output.json:
            self._output.progress(name, projection=self._projection, outcome=text, **facts)
        elif self._bar:
            self._bar.console.print(f"  {name:<10} {text}", highlight=False)
        else:
            self._output.progress(f"  {name:<10} {text}")

    def advance(self, name: str, done: int, total: int, *, stall: str | None = None) -> None:
        """Show that step *name* stands at *done* of *total* records; *stall* says why it does not move."""
        measure = self._meter.measure(done, total)
        text = describe(measure, stall)
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(name, total=total, text=text)
            self._bar.update(self._task, completed=done, total=total, text=text)
        elif time.monotonic() - self._printed >= LINE_S:
            self._printed = time.monotonic()
            facts = {"done": done, "total": total, "rate": round(measure.rate), "eta_s": measure.eta_s, "stall": stall}
            if self._output.json:
                self._output.progress(name, projection=self._projection, **facts)
            else:
                self._output.progress(f"  {name:<10} {text}")


def describe(measure: Measure, stall: str | None = None) -> str:
    """Put a measure into words: records, percent, rate, time to go or why it stands."""
    eta = "" if measure.eta_s is None else f"  eta {int(measure.eta_s) // 60}:{int(measure.eta_s) % 60:02d}"
    text = f"{measure.done:,}/{measure.total:,}  {measure.percent:.0f} %  {measure.rate:,.0f} records/s{eta}"
    return f"{text}  waiting: {stall}" if stall else text
