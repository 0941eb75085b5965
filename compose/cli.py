"""`refold`: starts, shows, checks and ends the local stack, runs the demo, and fronts the other programs.

Results go to standard output, progress and errors to standard error; with `--json` both are JSON. Exit codes: 0 ok, 1 failed,
2 usage, 3 precondition failed (`status` and `doctor`: something is not as it should be), 4 timeout, 5 held by another command,
6 a given server or the jar repository cannot be reached, 130 interrupted. `REFOLD_DEBUG=1` adds the traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from compose import front
from compose.errors import ServerDown, StackError, StackUsageError
from compose.settings import SERVERS, StackSettings

INTERRUPTED = 130
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in front.PROGRAMS:
            return front.find_program(arguments[0])(arguments[1:])
        if arguments and arguments[0] == "demo":
            return front.run_demo(arguments[1:])
        chosen = _parse(arguments)
        return chosen.command(chosen)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else StackUsageError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _report(error, as_json="--json" in arguments)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="refold", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="command", required=True)
    settings = "\n".join(f"{name}: {field.description}" for name, field in StackSettings.model_fields.items())

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"settings:\n{settings}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.add_argument("--json", action="store_true", help="print JSON for programs")
        added.set_defaults(command=command)
        return added

    up = add("up", _up, "start PostgreSQL, Kafka and Connect, or keep those that run")
    up.add_argument("servers", nargs="*", metavar="server", help=f"only these, and what they need: {', '.join(SERVERS)}")
    add("status", _status, "tell how every server is; exit 3 when one that should run does not")
    down = add("down", _down, "end every server of this directory")
    down.add_argument("--wipe", action="store_true", help="delete all data as well")
    add("doctor", _doctor, "check this machine, one line per check, with what to do")
    commands.add_parser("demo", help="run the flights demo, end to end")
    for name in front.PROGRAMS:
        commands.add_parser(name, help=f"the program `{name}`: see `refold {name} --help`")
    return parser.parse_args(arguments)


def _stack(arguments: argparse.Namespace) -> Any:
    """Make the stack; its packages are the extra `stack`, which `refold eventstore` and others do not need."""
    from compose.stack import Stack

    def show(text: str) -> None:
        print(json.dumps({"progress": text}) if arguments.json else text, file=sys.stderr, flush=True)

    return Stack(StackSettings(), show)


def _up(arguments: argparse.Namespace) -> int:
    unknown = [name for name in arguments.servers if name not in SERVERS]
    if unknown:
        raise StackUsageError(f"Unknown server {unknown[0]!r}: choose from {', '.join(SERVERS)}.")
    stack = _stack(arguments)
    with _interruptible():
        addresses = stack.up(*arguments.servers)
    facts = {**addresses.known, "env_file": str(stack.state.env_file)}
    _print(arguments, facts, "\n".join(f"{name:9} {mask(value)}" for name, value in facts.items()))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    rows = _stack(arguments).status()
    wanted = [row for row in rows if row.is_wanted]
    healthy = bool(wanted) and all(row.is_healthy for row in wanted)
    lines = [
        f"{row.server:9} {row.condition:10} {row.version or '-':8} {mask(row.address) or '-'}"
        + (f"  pid {row.pid}, {row.memory_mb} MB" if row.pid else "")
        + (f"  ({row.detail})" if row.detail else "")
        + (f"  log {row.log}" if row.log and not row.is_healthy else "")
        for row in rows
    ]
    _print(arguments, {"healthy": healthy, "servers": [row.as_facts() for row in rows]}, "\n".join(lines))
    return 0 if healthy else ServerDown.exit_code


def _down(arguments: argparse.Namespace) -> int:
    ended = _stack(arguments).down(wipe=arguments.wipe)
    text = f"ended: {', '.join(ended)}" if ended else "nothing was running"
    _print(arguments, {"ended": ended, "wiped": arguments.wipe}, text + (", data deleted" if arguments.wipe else ""))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from compose.doctor import examine

    findings = examine(StackSettings())
    lines = [
        f"{'ok  ' if one.is_good else 'BAD '} {one.check:12} {one.found}" + ("" if one.is_good else f"\n     -> {one.remedy}")
        for one in findings
    ]
    good = all(one.is_good for one in findings)
    _print(arguments, {"good": good, "checks": [one.as_facts() for one in findings]}, "\n".join(lines))
    return 0 if good else ServerDown.exit_code


def _print(arguments: argparse.Namespace, facts: object, text: str) -> None:
    print(json.dumps(facts) if arguments.json else text, flush=True)


def mask(address: str) -> str:
    """Hide the password in *address*: for a person it is in `stack.env`; `--json` shows it."""
    return re.sub(r"(://[^:@/]+):[^@/]+@", r"\1:***@", address)


@contextmanager
def _interruptible() -> Generator[None]:
    """Let SIGTERM end `up` as Ctrl-C does, so that it ends the servers it has started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _report(error: Exception, *, as_json: bool) -> int:
    """Print *error* as one sentence and return its exit code."""
    if os.environ.get("REFOLD_DEBUG"):
        traceback.print_exc()
    if isinstance(error, ValidationError):
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
        error = StackUsageError(f"A setting is wrong: {wrong}. See `refold up --help`.")
    if isinstance(error, ModuleNotFoundError):
        error = StackError(f"{error}: pip install 'refold[stack]'.")
    facts: dict[str, Any] = getattr(error, "facts", {})
    name = type(error).__name__
    print(
        json.dumps({"error": name, "message": str(error), **facts}) if as_json else f"{name}: {error}",
        file=sys.stderr,
        flush=True,
    )
    return getattr(error, "exit_code", StackError.exit_code)


if __name__ == "__main__":
    sys.exit(main())
