"""The test kit: scenarios in the words given, when, then; a store in memory; a clock that stands still.

pytest loads `eventstore.testing.plugin` by itself (entry point), which brings the fixtures `given`, `event_store` and `clock`.
Nothing here is needed by a program that runs.
"""

from eventstore.testing.clock import Clock
from eventstore.testing.memory import MemoryEventStore, MemorySnapshots
from eventstore.testing.scenario import given_for

__all__ = ["Clock", "MemoryEventStore", "MemorySnapshots", "given_for"]
