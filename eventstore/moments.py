"""Named moments at which a run can be killed, so that crash safety is tested at exactly the places where it matters.

`reach(name)` does nothing in production. When the environment names the moment in `REFOLD_FAIL_AT`, the process ends there
and then with status 86, as hard as `kill -9` would; `name:3` lets it pass twice. `REFOLD_PAUSE_AT=name:path` stops there (SIGSTOP to
itself) after it touched the file at *path*, which makes a zombie: a worker that wakes when others have taken over.
Every name must be in `MOMENTS`; a typo is an error rather than a test that never bites.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

MOMENTS: Final[Mapping[str, str]] = {
    "append.after_commit": "the events are stored; nobody has been told",
    "archive.before_rename": "a file is written under a name that no reader looks at",
    "archive.after_write": "a file has its name; the next one is not begun",
    "relay.before_commit": "records are in the log; their transaction is open",
    "relay.after_commit": "records are visible; the relay has not moved on",
    "batch.fetched": "a worker has records in its hands",
    "batch.before_commit": "rows and checkpoint are written; their transaction is open",
    "batch.after_commit": "rows and checkpoint are committed; Kafka has not been told",
    "mend.before_commit": "parked records are applied; their transaction is open",
    "copy.before_apply": "rows and checkpoint are written; a sink has not heard of them; their transaction is open",
    "copy.after_apply": "a sink has the batch; the transaction is open",
    "copy.filling": "a sink's copy is emptied, to be filled",
    "copy.filled": "all rows are in it; it does not count as filled yet",
    "copy.before_paying": "rows that a copy lacked while its sink was away are read; it has not heard of them; their transaction is open",
    "copy.paid": "the copy has them, and they are owed no more",
    "copy.before_point": "the new generation is live; readers of a sink without the catalogue still see the old one",
    "replay.generation_created": "the new generation is in the catalogue; it has no tables",
    "replay.tables_created": "its tables are there, and empty",
    "replay.claimed": "its partitions are taken over; no record is read",
    "replay.building": "a part of it is committed",
    "part.built": "one of several processes has built its part; the run has not heard of it",
    "replay.keys_added": "all is folded; primary keys are there, other indexes are not",
    "replay.indexed": "it is complete; the catalogue still says building",
    "replay.caught_up": "the catalogue says caught_up; nothing is compared",
    "replay.compared": "the comparison is made; its verdict is nowhere noted",
    "replay.verified": "the catalogue says verified",
    "swap.pointer_locked": "pointer and live checkpoint are locked; the target is on its way to the vector",
    "swap.before_commit": "pointer, states and audit are changed; their transaction is open",
    "swap.after_commit": "the new generation is live; the views still show the old one",
    "swap.views_made": "the views show it too; nobody feeds it",
    "replay.handed_over": "workers feed it, or nobody does yet; the run has not noted its end",
    "gc.before_drop": "a retired generation is about to lose its tables",
    "gc.before_commit": "its tables are dropped; their transaction is open",
    "derive.before_commit": "derived events are in the log; their transaction is open",
    "derive.after_commit": "they are visible; the outbox still has them",
    "effect.claimed": "an effect is this worker's; it is not carried out",
    "effect.carried_out": "it is carried out; that is not noted",
    "effect.crossed_off": "that is noted",
    "effect.backfilled": "effects of events before the checkpoint are written down, up to where the log was read",
    "recover.stopped": "a connector that is to begin anew stands still; nothing of it is taken away",
    "recover.slot_dropped": "its slot is gone; its offsets are there",
    "recover.offsets_deleted": "nothing is left that it could go on with; it has not begun anew",
    "translate.before_commit": "a translation's events and checkpoint are written; their transaction is open",
    "translate.after_commit": "its events and checkpoint are committed; Kafka has not been told",
    "process.read": "a process manager has read on; nobody has asked which of its timeouts are due",
    "process.before_commit": "a process manager's turn is written; its transaction is open",
    "process.after_commit": "its turn is committed",
    "task.claimed": "a task is this worker's; it is not carried out",
    "task.carried_out": "it is carried out; that is not noted",
    "task.crossed_off": "that is noted",
}
"""Each moment, and what is done when it is reached."""
CRASH_POINTS: Final = tuple(
    each
    for each in MOMENTS
    if each.startswith(("replay.", "swap.", "gc.")) or each in {"batch.before_commit", "batch.after_commit"}
)
"""The moments of a replay, from its plan to the end of the old generation, in their order but for those of a batch, which come first."""
CRASHED = 86
_passed: Counter[str] = Counter()


def reach(name: str) -> None:
    """Pass the moment *name*: a no-op unless the environment asks for a crash or a pause here."""
    if name not in MOMENTS:
        raise AssertionError(f"{name!r} is not a named moment; add it to eventstore.moments.MOMENTS")
    wanted, _, times = os.environ.get("REFOLD_FAIL_AT", "").partition(":")
    if wanted == name:
        _passed[name] += 1
        if _passed[name] >= int(times or 1):
            os._exit(CRASHED)
    pause = os.environ.get("REFOLD_PAUSE_AT", "")
    if pause.startswith(name + ":"):
        os.environ["REFOLD_PAUSE_AT"] = ""
        Path(pause.partition(":")[2]).touch()
        os.kill(os.getpid(), signal.SIGSTOP)
