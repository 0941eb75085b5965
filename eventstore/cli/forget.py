"""`eventstore forget`: destroy a person's key, tell the read models, and prove it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output
from eventstore.errors import VerificationFailed
from eventstore.settings import KafkaSettings


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "forget", "Forget a person: destroy the key, so that what is sealed with it never opens again.", forget
    )
    parser.add_argument("subject", metavar="SUBJECT", help="as the events name it, such as customer-17")
    parser.add_argument("--tenant", metavar="NAME", help="the tenant that the subject is of")
    parser.add_argument(
        "--prove", action="store_true", help="show that nothing opens and that nothing is left in the open (exit code 3)"
    )
    parser.add_argument(
        "--text", metavar="TEXT", action="append", default=[], help="look for TEXT too, as for a person who was forgotten before"
    )
    parser.add_argument(
        "--common", metavar="TEXT", action="append", default=[], help="do not look for TEXT, which is others' too, such as a city"
    )
    parser.add_argument("--wait", metavar="S", type=float, default=10.0, help="seconds that read models are given to follow (10)")
    parser.add_argument("--skip-log", action="store_true", help="do not read the events topic, where there is no Kafka")


async def forget(arguments: argparse.Namespace, output: Output) -> int:
    """Forget, and prove it if asked."""
    from eventstore.postgres import erasure
    from eventstore.tenant import qualify

    subject = qualify(arguments.tenant, arguments.subject) if arguments.tenant else arguments.subject
    async with open_store() as store:
        known = await erasure.read_plain(store, subject) if arguments.prove else set[str]()
        erased = await erasure.forget(store, subject, output.progress)
        facts: dict[str, Any] = asdict(erased)
        said = f"{subject}: no key was ever made for it, so nothing is sealed for it; is the name right?"
        if erased.key is not None:
            said = f"{subject} is forgotten: {erased.events} events in {len(erased.streams)} streams read as redacted from now on"
        if not arguments.prove:
            output.result(facts, said)
            return 0
        from eventstore.proof import Wanted, prove

        wanted = Wanted({*known, *arguments.text}, arguments.common, not arguments.skip_log, arguments.wait)
        proof = await prove(store, erased, wanted, KafkaSettings(), output.progress)
    output.result({**facts, "proof": {"holds": proof.holds, **asdict(proof)}}, "\n".join([said, *_say(proof)]))
    return 0 if proof.holds else VerificationFailed.exit_code


def _say(proof: Any) -> list[str]:
    log = "" if proof.records is None else f" and {proof.records:,} records of the log"
    lines = [
        f"key: {'gone' if proof.key_gone else 'STILL THERE'}",
        f"events: {proof.events} sealed with it, {proof.opened} values open",
        f"search: {proof.texts} texts in {proof.tables} tables{log}; {proof.too_short} more were too short to look for"
        if proof.texts
        else "search: nothing is known any more that could be looked for; give it with --text",
        *(f"LEFT in {each['where']}: {each['rows']} rows; {each['advice']}" for each in proof.left),
        *(f"NOT SEARCHED {each}" for each in proof.not_searched),
        *(f"beyond reach: {each}" for each in proof.beyond),
    ]
    return [*lines, f"proof {'holds' if proof.holds else 'FAILS'}"]
