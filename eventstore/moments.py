"""Named moments at which a run can be killed, so that crash safety is tested at exactly the places where it matters.

`reach(name)` does nothing in production. When the environment names the moment in `REFOLD_FAIL_AT`, the process ends there
and then with status 86, as hard as `kill -9` would. `REFOLD_PAUSE_AT=name:path` stops there (SIGSTOP to itself) after it
touched the file at *path*, which makes a zombie: a worker that wakes when others have taken over.
Every name must be in `MOMENTS`; a typo is an error rather than a test that never bites.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

MOMENTS = frozenset(
    {
        "append.after_commit",
        "archive.before_rename",
        "archive.after_write",
        "relay.before_commit",
        "relay.after_commit",
        "batch.fetched",
        "batch.before_commit",
        "batch.after_commit",
        "mend.before_commit",
        "replay.generation_created",
        "replay.tables_created",
        "replay.building",
        "replay.caught_up",
        "replay.verified",
        "swap.pointer_locked",
        "swap.before_commit",
        "swap.after_commit",
        "gc.before_drop",
        "process.before_commit",
        "process.after_commit",
        "task.claimed",
        "task.carried_out",
        "task.crossed_off",
    }
)
CRASHED = 86


def reach(name: str) -> None:
    """Pass the moment *name*: a no-op unless the environment asks for a crash or a pause here."""
    if name not in MOMENTS:
        raise AssertionError(f"{name!r} is not a named moment; add it to eventstore.moments.MOMENTS")
    if os.environ.get("REFOLD_FAIL_AT") == name:
        os._exit(CRASHED)
    pause = os.environ.get("REFOLD_PAUSE_AT", "")
    if pause.startswith(name + ":"):
        os.environ["REFOLD_PAUSE_AT"] = ""
        Path(pause.partition(":")[2]).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
