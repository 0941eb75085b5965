"""What `eventstore processes run --app` runs: processes, the deciders that their commands go to, and the calls to the outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from eventstore.decider import Decider
from eventstore.errors import UsageError
from eventstore.process.process import Process
from eventstore.task import commands

Caller = Callable[[Mapping[str, Any], UUID], Awaitable[None]]
"""Takes the data of a Call and its key, which is the same whenever the call is repeated."""


class Processes:
    """A program: its *processes*, and who answers what they send."""

    def __init__(self, *processes: Process[Any, Any]) -> None:
        names = [each.name for each in processes]
        if len(set(names)) < len(names):
            raise UsageError(f"processes need names of their own; these are {', '.join(sorted(names))}")
        self.processes = processes
        self.routes: dict[str, Decider[Any, Any, Any]] = {}
        self.callers: dict[str, Caller] = {}

    def route(self, decider: Decider[Any, Any, Any], *kinds: type) -> None:
        """Let *decider* handle commands of the classes *kinds*. Raises UsageError when one has a decider already."""
        for each in kinds:
            name = commands.of(each).name
            if name in self.routes:
                raise UsageError(f"command {name!r} has a decider already: a command goes to one")
            self.routes[name] = decider

    def caller(self, name: str) -> Callable[[Caller], Caller]:
        """Declare the function that carries out `Call(name, ...)`: `async def function(data, key)`."""

        def declare(function: Caller) -> Caller:
            if name in self.callers:
                raise UsageError(f"calls named {name!r} are carried out by another function already")
            self.callers[name] = function
            return function

        return declare
