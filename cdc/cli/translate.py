"""`cdc translate`: run translations of captured tables into events, see where they stand, and pass over what one stands still at."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import signal
from typing import TYPE_CHECKING, Any

from cdc.cli.program import add_command
from eventstore.cli.program import import_apps, open_store
from eventstore.console import Output
from eventstore.errors import UsageError

if TYPE_CHECKING:
    from cdc.translate import Translations
    from eventstore.postgres.store import PostgresEventStore


def declare(commands: Any) -> None:
    """Add the command."""
    text = "record domain events for changes of captured tables, exactly once, until stopped"
    parser = add_command(commands, "translate", text, _translate)
    parser.add_argument("--app", metavar="MODULE:NAME", help="where the Translations are, such as shop.app:translations")
    parser.add_argument("--drain", action="store_true", help="translate what the topics hold now, then end")
    parser.add_argument("--list", action="store_true", help="where every translation stands, and why one stands still")
    parser.add_argument("--skip", metavar="NAME", help="let a translation pass over the record that it stands still at")


async def _translate(arguments: argparse.Namespace, output: Output) -> int:
    async with open_store("refold cdc translate") as store:
        if arguments.list:
            return await _list(store, output)
        if arguments.skip:
            return await _skip(store, arguments.skip, output)
        return await _run(store, find_translations(arguments.app), output, drain=arguments.drain)


async def _run(store: PostgresEventStore, program: Translations, output: Output, *, drain: bool) -> int:
    from cdc.translate.translator import Translator

    translators = [Translator(store, each) for each in program.translations]
    if drain:
        recorded = {each.translation.name: await each.drain() for each in translators}
        text = "\n".join(f"{name}: {count} events recorded" for name, count in recorded.items())
        output.result(recorded, text)
        return 0
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    names = ", ".join(each.translation.name for each in translators)
    output.progress(f"translating {names}; stop with Ctrl-C", translations=[each.translation.name for each in translators])
    try:
        async with asyncio.TaskGroup() as group:
            for each in translators:
                group.create_task(each.run(stop))
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return 0


async def _list(store: PostgresEventStore, output: Output) -> int:
    from cdc.translate.checkpoint import list_translations

    found = await list_translations(store.engine)
    text = "\n".join(
        f"{each['name']}  {each['topic']}[{each['partition']}]  at {each['next_offset']}"
        + (f"  stands still: {each['reason']}" if each["reason"] else "")
        for each in found
    )
    output.result(found, text or "no translation ever ran here")
    return 0


async def _skip(store: PostgresEventStore, name: str, output: Output) -> int:
    from cdc.translate.checkpoint import skip_record

    moved = await skip_record(store.engine, name)
    facts = [{"topic": topic, "partition": partition, "next_offset": offset} for (topic, partition), offset in moved.items()]
    output.result(facts, f"translation {name} passes over {len(facts)} record{'' if len(facts) == 1 else 's'}")
    return 0


def find_translations(place: str | None) -> Translations:
    """Find the program at MODULE:NAME. Raises UsageError."""
    from cdc.translate import Translation, Translations

    module, _, name = (place or "").partition(":")
    if not module or not name:
        raise UsageError("--app: say where the Translations are, as MODULE:NAME, such as shop.app:translations")
    import_apps([module])
    found = getattr(importlib.import_module(module), name, None)
    if isinstance(found, Translation):
        return Translations(found)
    if not isinstance(found, Translations):
        raise UsageError(f"--app {place}: {name} is {type(found).__name__}, not Translations")
    return found
