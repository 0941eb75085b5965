"""Other people's tables, captured by Debezium: typed changes, and connectors that are declared, applied and watched.

`CapturedTable` is what a projection reads. Applying and watching connectors is `cdc.apply`, `cdc.status` and the program
`cdc`; they load an HTTP client and a database driver, so they are imported by name.
"""

from cdc.capture import CapturedTable
from cdc.change import UNCHANGED, Change, Infinity, Interval, Modes, Range

__all__ = ["UNCHANGED", "CapturedTable", "Change", "Infinity", "Interval", "Modes", "Range"]
