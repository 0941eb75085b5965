"""`eventstore keys`: master keys, and which of them the subjects' keys are wrapped under."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from eventstore.cli.program import add_command
from eventstore.console import Output


def declare(commands: Any) -> None:
    """Add the command to *commands*."""
    parser = add_command(commands, "keys", "Count the subjects' keys by master key; make a master key; rotate to it.", keys)
    parser.add_argument(
        "--new", metavar="NAME", help="print a new master key, for REFOLD_PRIVACY_MASTER_KEYS; nothing else is done"
    )
    parser.add_argument(
        "--file", metavar="FILE", help="with --new: put it first into FILE, readable by you alone, and print only its name"
    )
    parser.add_argument("--rotate", action="store_true", help="wrap every subject's key under the first master key")


async def keys(arguments: argparse.Namespace, output: Output) -> int:
    """Make a master key, rotate, or count."""
    from eventstore.errors import PreconditionFailed
    from eventstore.postgres.engine import open_engine
    from eventstore.postgres.keys import opened_keys
    from eventstore.privacy.keystore import make_master

    if arguments.new:
        made = make_master(arguments.new)
        if arguments.file:
            _put_first(Path(arguments.file), made)
            output.result({"name": arguments.new, "file": arguments.file}, f"master key {arguments.new} is in {arguments.file}")
        else:
            output.result({"master_key": made}, made)
        return 0
    engine = open_engine(application="eventstore keys")
    try:
        async with opened_keys(engine) as store:
            if store is None:
                raise PreconditionFailed(
                    "no master key is configured: set REFOLD_PRIVACY_MASTER_KEYS or REFOLD_PRIVACY_MASTER_KEY_FILE"
                )
            rotated = await store.rotate() if arguments.rotate else 0
            counts = await store.count()
    finally:
        await engine.dispose()
    masters = {name: count for name, count in counts.items() if name is not None}
    facts = {"rotated": rotated, "keys": masters, "forgotten": counts.get(None, 0)}
    lines = [f"{count} keys under {name}" for name, count in masters.items()]
    output.result(
        facts, "\n".join([*([f"rotated {rotated} keys"] if arguments.rotate else []), *lines, f"{facts['forgotten']} forgotten"])
    )
    return 0


def _put_first(file: Path, line: str) -> None:
    """Write *line* before what *file* holds, in a step that leaves the old or the new file, never half of one.

    Raises HeldElsewhere while another run does so: the later of two would drop the key of the other, which may be in use by then.
    """
    from eventstore.errors import HeldElsewhere

    beside = file.with_name(f".{file.name}.new")
    try:
        beside.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise HeldElsewhere(
            f"another run puts a master key into {file}; nothing was changed. Run this again; if no other one is at work, one died on its "
            f"way, and what it left has to be removed first: {beside}"
        ) from None
    before = file.read_text("utf-8") if file.exists() else ""
    beside.write_text(f"{line}\n{before}", "utf-8")
    beside.replace(file)
