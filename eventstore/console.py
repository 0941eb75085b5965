"""What the console programs share: one way to print results, progress and errors, and the documented exit codes.

Results go to standard output, progress and errors to standard error. With `--json` a result is one JSON document (progress:
one per line) and an error is `{"error": …, "message": …}`. A user never meets a bare traceback; `REFOLD_DEBUG=1` shows it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from eventstore.codec import encode
from eventstore.errors import RefoldError, UsageError

INTERRUPTED = 130


class Output:
    """Prints for a person, or JSON for a program when *json* is true."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def result(self, facts: object, text: str | None = None) -> None:
        """Print the outcome: *facts* as JSON, or *text* for a person (None = facts line by line)."""
        print(encode(facts).decode() if self.json else text if text is not None else _lines(facts), flush=True)

    def progress(self, text: str, **facts: Any) -> None:
        """Print one step of work in hand to standard error."""
        print(encode({"progress": text, **facts}).decode() if self.json else text, file=sys.stderr, flush=True)

    def error(self, error: BaseException) -> None:
        """Print what went wrong in one sentence to standard error."""
        facts = getattr(error, "facts", {})
        name = type(error).__name__
        text = encode({"error": name, "message": str(error), **facts}).decode() if self.json else f"{name}: {error}"
        print(text, file=sys.stderr, flush=True)


def make_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Make a parser whose subcommands hang under `command`."""
    return argparse.ArgumentParser(prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give *parser* the `--json` switch."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def tune_collector() -> None:
    """Spare the garbage collector the objects that stay: a fold makes millions of short-lived ones and no cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


Command = Callable[[argparse.Namespace, Output], Coroutine[Any, Any, int]]


def run(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> int:
    """Parse *argv*, run the chosen command (`set_defaults(command=…)`) to its end and return its exit code."""
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    output = Output(json=getattr(arguments, "json", False))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it is raised, and said in our words
    command: Command | None = getattr(arguments, "command", None)
    if command is None:
        parser.print_help(sys.stderr)
        return UsageError.exit_code
    try:
        return drive(command(arguments, output))
    except KeyboardInterrupt:
        return INTERRUPTED
    except RefoldError as error:
        output.error(error)
        return error.exit_code
    except Exception as error:
        if os.environ.get("REFOLD_DEBUG"):
            traceback.print_exc()
        output.error(error)
        return RefoldError.exit_code


def drive(work: Coroutine[Any, Any, int]) -> int:
    """Run *work* to its end on the fastest event loop that is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _lines(facts: object) -> str:
    if isinstance(facts, dict):
        return "\n".join(f"{key}: {value}" for key, value in facts.items())  # pyright: ignore[reportUnknownVariableType]
    return str(facts)
