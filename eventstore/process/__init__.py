"""Process managers: what reacts to events with commands, timeouts and calls, each exactly once where that can be had.

Declaring one loads no driver; `eventstore.process.runner` runs them.
"""

from eventstore.process.effect import Call, Cancel, Complete, Effect, Record, Schedule, Send
from eventstore.process.process import Process
from eventstore.process.program import Processes
from eventstore.task import command

__all__ = ["Call", "Cancel", "Complete", "Effect", "Process", "Processes", "Record", "Schedule", "Send", "command"]
