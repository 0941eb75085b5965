"""Several connectors in one command: who is meant by names and patterns, and an outcome for each.

A pattern (`*`, `?`, `[…]`) matches declared names under our topic prefix and no others, so that nobody stops what is not ours by accident.
Connectors are taken one after the other, so that a restart of all never stops all; when one fails, the others are still done.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from cdc.cli.program import add_file
from cdc.connect.client import ConnectClient
from cdc.status import list_names
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, RefoldError, UsageError
from eventstore.settings import KafkaSettings

_WILD = frozenset("*?[")


class Outcome(NamedTuple):
    """What became of one connector: for `--json`, for a person, and as an exit code."""

    facts: dict[str, Any]
    text: str
    code: int = 0


def add_names(parser: argparse.ArgumentParser, lacking: str = "or --file") -> None:
    """Add names and patterns, and `--file`; *lacking* says what stands for them."""
    text = f"declared names, or patterns of them such as 'shop-*' ({lacking})"
    parser.add_argument("names", nargs="*", metavar="NAME", help=text)
    add_file(parser)


async def choose_names(connect: ConnectClient, kafka: KafkaSettings, arguments: argparse.Namespace) -> list[str]:
    """Give the connectors that *arguments* name, each once. Raises UsageError beside `--file`, PreconditionFailed without a match."""
    given: Sequence[str] = arguments.names
    if arguments.file and (len(given) > 1 or any(map(is_pattern, given))):
        raise UsageError(f"--file {arguments.file} declares one connector: give either it or names, not both")
    return await expand_names(connect, kafka, given)


async def expand_names(connect: ConnectClient, kafka: KafkaSettings, given: Sequence[str]) -> list[str]:
    """Give the connectors that the names and patterns in *given* mean, each once. Raises PreconditionFailed without a match."""
    known = await list_names(connect, kafka) if any(map(is_pattern, given)) else []
    return match_names(given, known, kafka.topic_prefix)


def match_names(given: Iterable[str], known: Sequence[str], prefix: str) -> list[str]:
    """Put the names of those *known* that match in the place of each pattern; pure. Raises PreconditionFailed when none does."""
    chosen: dict[str, str] = {}
    for each in given:
        found = [each]
        if is_pattern(each):
            found = [name for name in known if fnmatchcase(name, each) or fnmatchcase(f"{prefix}.{name}", each)]
        if not found:
            there = ", ".join(known) or "none"
            raise PreconditionFailed(
                f"no connector matches {each!r}, nothing was done; those under the topic prefix {prefix}: {there}", pattern=each
            )
        for name in found:
            chosen.setdefault(name.removeprefix(f"{prefix}."), name)
    return list(chosen.values())


def is_pattern(name: str) -> bool:
    """Whether *name* stands for all that match it."""
    return not _WILD.isdisjoint(name)


async def take_each(names: Sequence[str], act: Callable[[str], Awaitable[Outcome]], output: Output, none: str = "") -> int:
    """Do *act* to each of *names*, print a line for each and give the highest exit code. An error of the only one is raised."""
    outcomes = [await (act(name) if len(names) == 1 else _attempt(name, act, output)) for name in names]
    output.result([each.facts for each in outcomes], "\n".join(each.text for each in outcomes) or none)
    return max((each.code for each in outcomes), default=0)


async def _attempt(name: str, act: Callable[[str], Awaitable[Outcome]], output: Output) -> Outcome:
    try:
        return await act(name)
    except RefoldError as error:
        kind = type(error).__name__
        output.error(error)
        facts = {"connector": name, "error": kind, "message": str(error), **error.facts}
        return Outcome(facts, f"{name}: {kind}, exit code {error.exit_code}", error.exit_code)
