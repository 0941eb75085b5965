"""Writes docs/reference/commands.md from the programs' own parsers, so that the reference can't disagree with them: `make docs`."""

import argparse
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

PROGRAMS = ("refold", "eventstore", "projections", "cdc", "replay")
HEAD = """# Commands
Written by `make docs` from the programs; do not edit.

Results go to standard output, progress and errors to standard error.
With `--json` a result is one JSON document, progress is one JSON document a line (`{"progress": …}`), and an error is
`{"error": …, "message": …}` with the facts of the message beside it.
`REFOLD_DEBUG=1` adds the traceback to an error.
Every address and limit comes from [settings](settings.md).

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed |
| 2 | usage: the call or a setting is wrong, nothing was tried |
| 3 | a precondition or a verification failed, nothing was changed |
| 4 | timed out |
| 5 | somebody else is at it: another operator, another command on the same directory |
| 6 | a server or a download does not answer |
| 7 | changes are pending: said by `cdc plan --detailed-exitcode` alone |
| 130 | interrupted |

`refold eventstore …`, `refold projections …`, `refold cdc …` and `refold replay …` are the programs of those names.
"""


class Captured(BaseException):
    """Carries a program's parser out of its `main`."""


def find_parser(program: str) -> argparse.ArgumentParser:
    """Give the parser of *program* as its `main` makes it."""

    def capture(self: argparse.ArgumentParser, *_: object) -> None:
        raise Captured(self)

    module = importlib.import_module(f"{'compose' if program == 'refold' else program}.cli")
    with patch.object(argparse.ArgumentParser, "parse_args", capture):
        try:
            module.main([])
        except Captured as caught:
            return caught.args[0]
    raise AssertionError(f"{program} parses no arguments")


def find_commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the subcommands by name."""
    choices = (each.choices for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return {name: command for each in choices for name, command in each.items()}


def find_options(parser: argparse.ArgumentParser) -> list[Any]:
    """Give the options and arguments of one command."""
    hidden = (argparse._HelpAction, argparse._SubParsersAction)
    return [each for each in parser._actions if not isinstance(each, hidden)]


def render() -> str:
    """Write the whole page."""
    return HEAD + "".join(line for program in PROGRAMS for line in _program(program))


def _program(program: str) -> Iterator[str]:
    parser = find_parser(program)
    yield f"\n## {program}\n"
    yield f"{_sentence(parser.description)}\n"
    yield from _options(parser)
    texts = _texts(parser)
    for name, command in find_commands(parser).items():
        if name not in PROGRAMS:
            yield from _command(f"{program} {name}", command, texts.get(name))


def _command(name: str, command: argparse.ArgumentParser, text: str | None) -> Iterator[str]:
    yield f"\n### {name}\n{_sentence(text or command.description)}\n"
    yield from _options(command)
    texts = _texts(command)
    for inner, parser in find_commands(command).items():
        yield from _command(f"{name} {inner}", parser, texts.get(inner))


def _texts(parser: argparse.ArgumentParser) -> dict[str, str | None]:
    subparsers = (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    return {choice.dest: choice.help for each in subparsers for choice in each._choices_actions}


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    options = find_options(parser)
    if options:
        yield "\n| option | meaning |\n|---|---|\n"
    for each in options:
        metavar = each.metavar or (each.dest.upper() if each.option_strings and each.nargs != 0 else "")
        name = ", ".join(each.option_strings) or each.metavar or each.dest
        shown = f"{name} {metavar}".strip() if each.option_strings else name
        needed = " (needed)" if each.required and each.option_strings else ""
        yield f"| `{shown}` | {(each.help or '').replace('|', chr(92) + '|')}{needed} |\n"


def _sentence(text: str | None) -> str:
    first = " ".join((text or "").split("\n\n")[0].split())
    return first[:1].upper() + first[1:].rstrip(".") + "."


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("commands.md").write_text(render(), "utf-8")
