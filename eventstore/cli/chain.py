"""`eventstore chain`: start and stop chains of hashes, verify them, take an anchor to publish."""

from __future__ import annotations

import argparse
from typing import Any

from eventstore.cli.program import add_command, open_store
from eventstore.console import Output
from eventstore.errors import UsageError, VerificationFailed

_ACTIONS = ("start", "stop", "verify", "anchor")


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(
        commands, "chain", "Start or stop chains of hashes over streams, verify them, or take an anchor to publish.", chain
    )
    parser.add_argument("action", choices=_ACTIONS, help="start and stop take the owner's login")
    parser.add_argument("stream", nargs="?", metavar="STREAM", help="verify: only this one")
    parser.add_argument("--prefix", metavar="TEXT", default="", help="start, stop: only streams whose names begin so (all)")
    parser.add_argument(
        "--from-now", action="store_true", help="start: leave out what is recorded already, so that no append waits"
    )
    parser.add_argument("--anchor", metavar="ANCHOR", help="verify: compare with this anchor too")


async def chain(arguments: argparse.Namespace, output: Output) -> int:
    """Do what the action says."""
    if arguments.stream and arguments.action != "verify":
        raise UsageError(f"`eventstore chain {arguments.action}` takes no stream; start and stop take --prefix")
    async with open_store(application="eventstore chain") as store:
        if arguments.action == "verify":
            return await _verify(store.engine, arguments, output)
        return await _steer(store.engine, arguments, output)


async def _steer(engine: Any, arguments: argparse.Namespace, output: Output) -> int:
    from eventstore.postgres.chain import start_chain, stop_chain, take_anchor

    if arguments.action == "start":
        linked = await start_chain(engine, arguments.prefix, history=not arguments.from_now)
        output.result(
            {"prefix": arguments.prefix, "linked": linked}, f"chained from now on; {linked} recorded events were linked"
        )
    elif arguments.action == "stop":
        stopped = await stop_chain(engine, arguments.prefix)
        output.result({"prefix": arguments.prefix, "stopped": stopped}, "chained no more" if stopped else "it was not chained")
    else:
        anchor = await take_anchor(engine)
        facts = {"anchor": str(anchor), "position": str(anchor.position), "streams": anchor.streams, "digest": anchor.digest}
        output.result(facts, str(anchor))
    return 0


async def _verify(engine: Any, arguments: argparse.Namespace, output: Output) -> int:
    from eventstore.postgres.chain import Anchor, take_anchor, verify_chain

    verdict = await verify_chain(engine, arguments.stream)
    if verdict.broken:
        raise VerificationFailed(
            f"{verdict.broken_streams} of {verdict.streams} chains are broken; first: {verdict.broken[0]}", **verdict.facts()
        )
    if arguments.anchor:
        known = Anchor.parse(arguments.anchor)
        found = await take_anchor(engine, known.position)
        if found != known:
            raise VerificationFailed(
                f"at position {known.position} the chains now give {found.digest} over {found.streams} streams, the anchor says "
                f"{known.digest} over {known.streams}: events and links were rewritten together, or whole streams are gone",
                found=str(found),
                known=str(known),
            )
    output.result(verdict.facts(), f"{verdict.links} links of {verdict.streams} streams hold")
    return 0
