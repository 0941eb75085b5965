"""Writes docs/reference/moments.md from the list in the code: `python docs/moments.py`."""

from pathlib import Path

from eventstore.moments import CRASH_POINTS, MOMENTS

HEAD = """# Moments
Written by `docs/moments.py` from `eventstore/moments.py`; do not edit.

A process that is killed anywhere dies most often where nothing is at stake. So the code names the moments between two steps that must not
come apart. A process started with `REFOLD_FAIL_AT` and the name of one ends there, as hard as by `kill -9` (`name:3` = the third time);
with `REFOLD_PAUSE_AT=name:file` it falls asleep there instead, after it made the file. In production both are unset, and passing a moment
costs two look-ups.

Each is died or slept at by a test. Those of a replay are marked: all of them are tried, whatever died the live rows are whole, and the same
command ends the work without beginning anew.

| moment | what is done by then | of a replay |
|---|---|---|
"""


def render() -> str:
    """Write the whole page."""
    return HEAD + "".join(f"| `{name}` | {done} | {'yes' if name in CRASH_POINTS else ''} |\n" for name, done in MOMENTS.items())


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("moments.md").write_text(render(), "utf-8")
