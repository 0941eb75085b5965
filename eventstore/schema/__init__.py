"""Schemas of events: how they may change, and whether today's code still reads what every earlier one wrote.

Importing this is for declaring upcasters and for tests; nothing on the way of an event needs it.
"""

from eventstore.schema.finding import Break
from eventstore.schema.history import Recorded, Verdict, check_history
from eventstore.schema.step import Step, convert, defaults, drop, merge, move, rename, split, within

__all__ = [
    "Break",
    "Recorded",
    "Step",
    "Verdict",
    "check_history",
    "convert",
    "defaults",
    "drop",
    "merge",
    "move",
    "rename",
    "split",
    "within",
]
