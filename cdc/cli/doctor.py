"""`cdc doctor`: 34 checks, each with the fact, the danger and what mends it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cdc.cli.fleet import expand_names
from cdc.cli.program import add_command, add_rows, add_timeout, read_rows
from cdc.connect.client import ConnectClient
from cdc.connect.declaration import Connector
from cdc.connect.source import read_sources
from cdc.database import open_database
from cdc.doctor.check import Diagnosis
from cdc.doctor.examine import collect_facts
from cdc.doctor.facts import Facts
from cdc.doctor.mend import describe_fix, list_fixes, mend_trouble, settle_connector
from cdc.doctor.register import examine_facts
from cdc.status import list_names
from cdc.steer import compose_dsn
from cdc.survey import find_dsn
from eventstore.console import Output
from eventstore.errors import PreconditionFailed
from eventstore.settings import KafkaSettings

Examined = tuple[Facts, list[Diagnosis]]


def declare(commands: Any) -> None:
    """Add the command."""
    text = "look for 34 known dangers, and say what mends each; exit code 3 when one is found"
    parser = add_command(commands, "doctor", text, _doctor)
    named = "declared names, or patterns of them such as 'shop-*'; without any, all under our topic prefix"
    parser.add_argument("names", nargs="*", metavar="NAME", help=named)
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="declarations, applied or not: FILE, directory or module:attribute",
    )
    add_rows(parser)
    parser.add_argument("--fix", action="store_true", help="do what is safe: what can only add; asks before")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--strict", action="store_true", help="exit with 3 for warnings too")
    add_timeout(parser, 15.0)


async def _doctor(arguments: argparse.Namespace, output: Output) -> int:
    kafka = KafkaSettings()
    async with ConnectClient() as connect:
        examined = await _examine(connect, kafka, arguments)
        if arguments.fix and await _fix(connect, kafka, examined, arguments, output):
            examined = await _examine(connect, kafka, arguments)
    output.result([_tell(each) for each in examined], "\n".join(map(_show, examined)) or "no connector to look at")
    bad = {"fail", "warn"} if arguments.strict else {"fail"}
    wrong = any(each.trouble.severity in bad for _, found in examined for each in found)
    return PreconditionFailed.exit_code if wrong else 0


async def _examine(connect: ConnectClient, kafka: KafkaSettings, arguments: argparse.Namespace) -> list[Examined]:
    declared: list[Connector] = read_sources(arguments.file, kafka) if arguments.file else []
    written = await read_rows(arguments, declared=bool(declared))
    named = await expand_names(connect, kafka, arguments.names)
    names = named or ([] if declared else await list_names(connect, kafka))
    facts = [
        await collect_facts(connect, kafka, declared=each, timeout_s=arguments.timeout, written=written) for each in declared
    ]
    facts += [await collect_facts(connect, kafka, name=each, timeout_s=arguments.timeout) for each in names]
    return [(each, examine_facts(each)) for each in facts]


async def _fix(
    connect: ConnectClient, kafka: KafkaSettings, examined: list[Examined], arguments: argparse.Namespace, output: Output
) -> bool:
    done = False
    for facts, found in examined:
        fixes = [(code, fix) for code, fix in list_fixes(found) if _agree(f"{code} {describe_fix(fix)} ({fix.safe})", arguments)]
        if not fixes:
            continue
        dsn = find_dsn(facts.declared, facts.config) if facts.declared else compose_dsn(dict(facts.config))
        async with open_database(dsn) as database:
            for code, fix in fixes:
                await mend_trouble(fix, facts, connect, database, kafka)
                output.progress(f"{code} mended: {describe_fix(fix)}")
            if any(fix.kind in ("config", "restart") for _, fix in fixes):
                await settle_connector(facts, connect, database, arguments.timeout)
        done = True
    return done


def _agree(question: str, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    if not sys.stdin.isatty():
        raise PreconditionFailed(f"nobody is there to say yes to: {question}. Nothing was changed; give --yes")
    print(f"{question}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(examined: Examined) -> dict[str, Any]:
    facts, found = examined
    healthy = not any(each.trouble.severity == "fail" for each in found)
    return {"connector": facts.names.connector, "healthy": healthy, "findings": [each.facts() for each in found]}


def _show(examined: Examined) -> str:
    facts, found = examined
    if not found:
        return f"{facts.names.connector}: 34 checks, nothing found"
    lines = [f"{facts.names.connector}: {len(found)} found by 34 checks", *(str(each).replace("\n", "\n  ") for each in found)]
    return "\n  ".join(lines)
