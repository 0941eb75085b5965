"""One more process for a piece of this one's work: a copy of it where that is safe, else an interpreter of its own.

A copy is there at once and shares what is loaded, where an interpreter imports for a second. But a copy has only the thread that made it,
and all that was open: so it is made on Linux alone, where no other thread runs, and callers enlist members before they connect to anything.
A member gets its task as one line on standard input, which stays open: when it ends, so has whoever enlisted it. It says lines on standard
output, and what went wrong on standard error.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

Work = Callable[[], int]
TASKS = Path("/proc/self/task")


class Member:
    """A process and its pipes: *task* is written to, *said* and *errors* are read from."""

    def __init__(self, pid: int, task: int, said: int, errors: int) -> None:
        self.pid = pid
        self._task = task
        self._said = said
        self._errors = errors
        self._code: int | None = None
        self._reaping = threading.Lock()

    @property
    def pipes(self) -> tuple[int, int, int]:
        """The ends of the pipes that are not the member's."""
        return self._task, self._said, self._errors

    def give(self, task: bytes) -> None:
        """Hand over its task, one line."""
        with contextlib.suppress(BrokenPipeError):  # it is gone, which `wait` tells
            os.write(self._task, task + b"\n")

    async def listen(self) -> AsyncIterator[bytes]:
        """Give what it says, line by line, until it ends."""
        async with _opened(self._said) as reader:
            async for line in reader:
                yield line

    async def wait(self) -> tuple[int, str]:
        """Wait for its end; give its exit code, minus the signal that ended it, and what it wrote to standard error."""
        async with _opened(self._errors) as reader:
            wrong = (await reader.read()).decode(errors="replace").strip()
        return await asyncio.to_thread(self._reap), wrong

    def end(self) -> None:
        """End it if it still runs, and let go of its pipes."""
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()
        for each in self.pipes:
            os.close(each)

    def _reap(self) -> int:
        with self._reaping:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return self._code


@contextlib.asynccontextmanager
async def _opened(pipe: int) -> AsyncGenerator[asyncio.StreamReader]:
    """Read *pipe* by the running loop, which closes a duplicate of it in the end."""
    reader = asyncio.StreamReader()
    file = os.fdopen(os.dup(pipe), "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    try:
        yield reader
    finally:
        transport.close()


@contextmanager
def enlisted(count: int, work: Work, module: str) -> Generator[Sequence[Member]]:
    """Keep *count* members, which do *work* as copies of this process, or else run *module*; who has nothing to do then is ended."""
    members: list[Member] = []
    try:
        for _ in range(count):
            members.append(_enlist(work, module, members))
        yield members
    finally:
        for each in members:
            each.end()


def can_copy() -> bool:
    """Say whether a copy of this process would work: a thread that is not copied may hold a lock for ever."""
    return sys.platform == "linux" and len(list(TASKS.iterdir())) == 1


def _enlist(work: Work, module: str, others: Sequence[Member]) -> Member:
    (task, to_task), (said, to_said), (errors, to_errors) = os.pipe(), os.pipe(), os.pipe()
    theirs, mine = (task, to_said, to_errors), (to_task, said, errors)
    if can_copy():
        pid = os.fork()
        if not pid:
            _become(work, theirs, [*mine, *(pipe for each in others for pipe in each.pipes)])
    else:
        streams = [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(theirs)]
        pid = os.posix_spawn(sys.executable, [sys.executable, "-m", module], os.environ, file_actions=streams)
    for each in theirs:
        os.close(each)
    return Member(pid, *mine)


def _become(work: Work, streams: Sequence[int], strange: Sequence[int]) -> None:
    """Do *work* as a process of its own, which never returns to what the original was doing."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.default_int_handler if each is signal.SIGINT else signal.SIG_DFL)
        for number, each in enumerate(streams):
            os.dup2(each, number)
        for each in (*streams, *strange):
            os.close(each)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115 - its own three
        code = work()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)
