"""`cdc verify` and `cdc recover`: what the program `cdc` says of read models, which the package `cdc` knows nothing of.

They live here because a source is compared with what is made of it, and what is made of it is told by projections. The program finds
them by this module's name.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from cdc.connect.source import read_sources
from cdc.rescue import Rescue, rescue_route
from cdc.route import TABLE, Switch
from eventstore.console import Output, add_json
from eventstore.errors import VerificationFailed
from eventstore.settings import KafkaSettings, PostgresSettings, RelaySettings
from projections.cli import opened_engine, require_app
from projections.settings import ProjectionSettings
from replay.recovery import Recovered, Recovery
from replay.verification.agreement import Verifier


def declare(commands: Any) -> None:
    """Add the commands."""
    text = "compare captured tables with the read models made from them, at one point while writes go on; exit code 3 = different"
    verify: argparse.ArgumentParser = commands.add_parser("verify", help=text, description=text)
    verify.set_defaults(command=_verify)
    _add_shared(verify, 120.0)
    verify.add_argument("--ranges", type=int, default=64, metavar="N", help="ranges of keys to tell apart, default 64")
    verify.add_argument("--samples", type=int, default=5, metavar="N", help="differing rows to show of each table, default 5")
    text = (
        "find out what became of a source (slot, offsets, topics, server), bring it back, and prove that its read models equal it"
    )
    recover: argparse.ArgumentParser = commands.add_parser("recover", help=text, description=text)
    recover.set_defaults(command=_recover)
    _add_shared(recover, 300.0)
    recover.add_argument("--dry-run", action="store_true", help="say what is wrong and what would be done, and change nothing")


def _add_shared(parser: argparse.ArgumentParser, seconds: float) -> None:
    add_json(parser)
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="TOML file, directory of them, or module:attribute")
    parser.add_argument("--app", help="module:name of the Projections (env: REFOLD_PROJECTIONS_APP)")
    parser.add_argument("--timeout", type=float, default=seconds, metavar="S", help=f"seconds to wait, default {seconds:g}")


async def _verify(arguments: argparse.Namespace, output: Output) -> int:
    kafka, app = KafkaSettings(), require_app(arguments.app, ProjectionSettings())
    connectors = read_sources(arguments.sources, kafka)
    deadline = time.monotonic() + arguments.timeout
    async with opened_engine("refold cdc verify") as engine:
        done = [
            await Verifier(
                each, list(app), engine, kafka, deadline, output.progress, arguments.ranges, arguments.samples
            ).verify()
            for each in connectors
        ]
    facts = [each.facts() for each in done]
    output.result(facts[0] if len(facts) == 1 else facts, "\n".join(map(str, done)))
    return 0 if all(each.is_equal for each in done) else VerificationFailed.exit_code


async def _recover(arguments: argparse.Namespace, output: Output) -> int:
    kafka, given = KafkaSettings(), arguments.app or ProjectionSettings().app
    app = list(require_app(given, ProjectionSettings())) if given else []
    deadline = time.monotonic() + arguments.timeout
    done: list[Recovered | Rescue] = []
    async with opened_engine("refold cdc recover") as engine:
        for each in read_sources(arguments.sources, kafka):
            if each.tables == (TABLE,):
                switch = Switch(each, PostgresSettings(), kafka, RelaySettings(), deadline, output.progress)
                done.append(await rescue_route(switch, dry_run=arguments.dry_run))
            else:
                verifier = Verifier(each, app, engine, kafka, deadline, output.progress)
                done.append(await Recovery(verifier, output).run(dry_run=arguments.dry_run))
    facts = [each.facts() for each in done]
    output.result(facts[0] if len(facts) == 1 else facts, "\n".join(map(str, done)))
    return 0 if all(isinstance(each, Rescue) or each.is_proved for each in done) else VerificationFailed.exit_code
