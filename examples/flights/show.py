"""How the demo tells its story: one line per step and its time; a bar on a terminal, plain lines elsewhere; a table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

LINE_S = 5.0


@dataclass
class Step:
    """One step in hand. `progress` as often as you like; `note` what belongs beside its time in the table."""

    title: str
    is_terminal: bool
    notes: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    _bar: Progress | None = None
    _task: TaskID | None = None
    _printed: float = field(default_factory=time.monotonic)

    def progress(self, done: int, total: int, text: str) -> None:
        """Show that *done* of about *total* are done."""
        if self.is_terminal:
            self._draw(done, total, text)
        elif time.monotonic() - self._printed > LINE_S:
            self._printed = time.monotonic()
            print(f"    {done:,} of {total:,}: {text}", flush=True)

    def _draw(self, done: int, total: int, text: str) -> None:
        if self._bar is None or self._task is None:
            columns = (TextColumn("   "), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.title, total=total, text=text)
        self._bar.update(self._task, completed=done, total=total, text=text)

    def end(self) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def note(self, text: str) -> None:
        """Remember a figure for the table."""
        self.notes.append(text)


class Show:
    """Prints the steps as they happen. Lines go to standard output, the bar to standard error."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._begun = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    @contextmanager
    def step(self, title: str) -> Generator[Step]:
        """Announce a step, run it, and say how long it took."""
        print(f"\n==> {title}", flush=True)
        step = Step(title, self._is_terminal)
        begun = time.monotonic()
        try:
            yield step
        finally:
            step.end()
            step.seconds = time.monotonic() - begun
        self.steps.append(step)
        print(f"    {step.seconds:.1f} s{''.join(f'; {note}' for note in step.notes)}", flush=True)

    def say(self, text: str) -> None:
        """Print one line of the story."""
        print(f"    {text}", flush=True)

    def conclude(self, memory: Mapping[str, int]) -> None:
        """Print every step with its time, the whole, and the largest *memory* of each process in MB."""
        width = max(len(step.title) for step in self.steps)
        print()
        for step in self.steps:
            print(f"{step.title:<{width}}  {step.seconds:7.1f} s  {'; '.join(step.notes)}".rstrip())
        print(f"{'all':<{width}}  {time.monotonic() - self._begun:7.1f} s")
        print(f"\nlargest memory: {', '.join(f'{name} {size} MB' for name, size in memory.items())}", flush=True)
