"""`eventstore schemas`: what events look like, whether old ones can still be read, and documents for others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore.cli.program import add_app, add_command, import_apps, open_store
from eventstore.codec import decode, encode_indented
from eventstore.console import Output
from eventstore.errors import PreconditionFailed, UsageError
from eventstore.event import EventType, registry

if TYPE_CHECKING:
    from eventstore.schema import Recorded, Verdict

_REFUSED = PreconditionFailed.exit_code
_DEFAULT_SAMPLES = 3


def declare(commands: Any) -> None:
    """Add the command and its own commands to *commands*."""
    text = "Schemas of events: recorded, compared, rehearsed over the whole history, documented."
    parser: argparse.ArgumentParser = commands.add_parser("schemas", help=text, description=text)
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_command(inner, "list", "List the recorded schemas: type, version, fingerprint, when, by which release.", list_recorded)
    _declare_show(inner)
    _declare_record(inner)
    _declare_check(inner)
    _declare_rehearse(inner)
    _declare_asyncapi(inner)
    _declare_samples(inner)


def _declare_show(inner: Any) -> None:
    parser = add_command(inner, "show", "Print one schema: as recorded, or as the code of --app has it.", show)
    parser.add_argument("type", metavar="TYPE", help="stored name of the event type, such as order-placed")
    parser.add_argument("--version", metavar="N", type=int, help="version of the schema (the newest)")
    add_app(parser)


def _declare_record(inner: Any) -> None:
    parser = add_command(
        inner, "record", "Record the schemas of --app's events; a change under the same version is refused by name.", record
    )
    parser.add_argument("--release", metavar="TEXT", default="", help="what records them, such as a commit")
    add_app(parser)


def _declare_check(inner: Any) -> None:
    parser = add_command(
        inner, "check", "Tell whether the code of --app reads every version that was ever recorded; exit code 3 when not.", check
    )
    _add_recorded(parser)
    _add_partial(parser)
    add_app(parser)


def _declare_rehearse(inner: Any) -> None:
    parser = add_command(
        inner,
        "rehearse",
        "Decode every stored event with the code of --app and write nothing; exit code 3 on failures.",
        rehearse,
    )
    parser.add_argument("--types", metavar="TYPE", nargs="+", help="only events of these types (all)")
    parser.add_argument(
        "--sample", metavar="PERCENT", type=float, default=100.0, help="share of the events, always the same ones (100)"
    )
    _add_partial(parser)
    add_app(parser)


def _declare_asyncapi(inner: Any) -> None:
    parser = add_command(
        inner, "asyncapi", "Print the AsyncAPI 3.0 document of the events topic, as JSON (which is YAML too).", asyncapi
    )
    parser.add_argument("--title", metavar="TEXT", default="Events", help="title of the document (Events)")
    parser.add_argument("--release", metavar="TEXT", default="1.0.0", help="version of the document (1.0.0)")
    _add_recorded(parser)
    add_app(parser)


def _declare_samples(inner: Any) -> None:
    parser = add_command(
        inner, "samples", "Write the oldest events of every type and version to files, for a test to decode for ever.", samples
    )
    parser.add_argument("directory", metavar="DIR", help="where to; files that are there stay as they are")
    help_text = f"events of each type and version ({_DEFAULT_SAMPLES})"
    parser.add_argument("--count", metavar="N", type=int, default=_DEFAULT_SAMPLES, help=help_text)
    parser.add_argument("--types", metavar="TYPE", nargs="+", help="only events of these types (all)")
    parser.add_argument(
        "--made", action="store_true", help="make them up from the recorded schemas, so that no real data is written"
    )


def _add_recorded(parser: argparse.ArgumentParser) -> None:
    text = "read the recorded schemas from FILE, which `eventstore schemas list --json` wrote, instead of the store"
    parser.add_argument("--recorded", metavar="FILE", type=Path, help=text)


def _add_partial(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--partial", action="store_true", help="pass over types that --app does not declare: others read them")


async def list_recorded(arguments: argparse.Namespace, output: Output) -> int:
    """Print what is recorded, oldest version first."""
    del arguments
    found = await _read(None)
    output.result(
        [_facts(each) for each in found],
        "\n".join(
            f"{each.type:<40} v{each.version:<4} {each.fingerprint}  {each.recorded_at:%Y-%m-%d}  {each.release}"
            for each in found
        )
        or "no schema is recorded yet: `eventstore schemas record --app MODULE`",
    )
    return 0


async def show(arguments: argparse.Namespace, output: Output) -> int:
    """Print one schema."""
    import_apps(arguments.app)
    found = [each for each in (_declared() if arguments.app else await _read(None)) if each.type == arguments.type]
    chosen = [each for each in found if arguments.version in (None, each.version)]
    if not chosen:
        known = ", ".join(str(each.version) for each in found) or "none"
        raise UsageError(f"no schema of {arguments.type!r} version {arguments.version or 'any'} is known (versions: {known})")
    output.result(chosen[-1].schema, encode_indented(chosen[-1].schema).decode())
    return 0


async def record(arguments: argparse.Namespace, output: Output) -> int:
    """Record what is new, after a check that today's code reads all that was recorded before."""
    from eventstore.postgres.schemas import read_schemas, record_schemas
    from eventstore.schema import check_history

    _require_app(arguments)
    async with open_store("eventstore schemas record") as store:
        known = await read_schemas(store.engine)
        verdicts = [each for each in check_history(_own_types(), known) if each.newest is not None]
        refused = [each for each in verdicts if each.breaks]
        if refused:
            output.result({"recorded": [], "refused": [each.facts() for each in refused]}, "\n".join(map(_describe, refused)))
            return _REFUSED
        new = [each for each in _declared() if (each.type, each.version) not in {(one.type, one.version) for one in known}]
        await record_schemas(store.engine, new, arguments.release)
    facts = [{"type": each.type, "version": each.version, "fingerprint": each.fingerprint} for each in new]
    output.result(
        {"recorded": facts, "refused": []},
        "\n".join(f"recorded {each.type} v{each.version} {each.fingerprint}" for each in new) or "nothing new",
    )
    return 0


async def check(arguments: argparse.Namespace, output: Output) -> int:
    """Compare today's code with everything recorded."""
    from eventstore.schema import check_history

    _require_app(arguments)
    verdicts = check_history(_own_types(), await _read(arguments.recorded))
    if arguments.partial:
        verdicts = [each for each in verdicts if each.newest is not None]
    refused = [each for each in verdicts if each.breaks]
    text = "\n".join(map(_describe, verdicts))
    summary = (
        f"{len(refused)} of {len(verdicts)} versions can't be read" if refused else f"all {len(verdicts)} versions can be read"
    )
    output.result({"readable": not refused, "versions": [each.facts() for each in verdicts]}, f"{text}\n{summary}")
    return _REFUSED if refused else 0


async def rehearse(arguments: argparse.Namespace, output: Output) -> int:
    """Decode the history."""
    from eventstore.cli.rehearsal import rehearse_store

    if not 0 < arguments.sample <= 100:
        raise UsageError(f"--sample {arguments.sample:g}: give a percentage above 0, up to 100")
    _require_app(arguments)
    return await rehearse_store(arguments, output)


async def asyncapi(arguments: argparse.Namespace, output: Output) -> int:
    """Print the document."""
    from eventstore.schema.asyncapi import build_document
    from eventstore.settings import KafkaSettings, RelaySettings

    import_apps(arguments.app)
    known = {(each.type, each.version): each for each in await _read(arguments.recorded)}
    declared = {(each.type, each.version): each for each in _declared()} if arguments.app else {}
    chosen = [each for _, each in sorted({**declared, **known}.items())]
    if not chosen:
        raise UsageError("no schema is known: record some (`eventstore schemas record`), or give --app MODULE")
    document = build_document(chosen, KafkaSettings(), RelaySettings(), title=arguments.title, version=arguments.release)
    output.result(document, encode_indented(document).decode())
    return 0


async def samples(arguments: argparse.Namespace, output: Output) -> int:
    """Write samples."""
    from eventstore.postgres.schemas import read_samples
    from eventstore.schema.golden import Sample, write_samples
    from eventstore.schema.instance import make_instances

    if arguments.count < 1:
        raise UsageError(f"--count {arguments.count}: give 1 or more")
    if arguments.made:
        wanted = [each for each in await _read(None) if not arguments.types or each.type in arguments.types]
        found = [
            Sample(each.type, each.version, one, "made")
            for each in wanted
            for one in make_instances(each.schema, arguments.count)
        ]
    else:
        async with open_store("eventstore schemas samples") as store:
            stored = await read_samples(store.engine, arguments.count, arguments.types)
        found = [Sample(each.type, each.schema_version, each.data, f"{each.stream}@{each.version}") for each in stored]
    written = write_samples(arguments.directory, found)
    output.result(
        {"samples": len(found), "written": [str(each) for each in written]},
        "\n".join(f"wrote {each}" for each in written) or "nothing new: a file of each type and version is there already",
    )
    return 0


def _require_app(arguments: argparse.Namespace) -> None:
    if not arguments.app:
        raise UsageError("whose events? Give --app MODULE, a module that declares them")
    import_apps(arguments.app)
    if not _own_types():
        raise UsageError(f"--app {' '.join(arguments.app)} declares no event: decorate a class with @event")


def _own_types() -> list[EventType]:
    """Give the app's types; those of the framework itself are part of its release, and its tests watch over them."""
    return [each for each in registry if not each.python.__module__.startswith("eventstore.")]


def _declared() -> list[Recorded]:
    from eventstore.schema import Recorded
    from eventstore.schema.derivation import derive_written

    return [Recorded(each.name, each.version, derive_written(each)) for each in _own_types()]


async def _read(file: Path | None) -> list[Recorded]:
    """Read what is recorded, from the store or from *file*."""
    if file is None:
        from eventstore.postgres.schemas import read_schemas

        async with open_store("eventstore schemas") as store:
            return await read_schemas(store.engine)
    return _read_file(file)


def _read_file(file: Path) -> list[Recorded]:
    from eventstore.schema import Recorded

    if not file.is_file():
        raise UsageError(f"--recorded {file} is not a file: write it with `eventstore schemas list --json`")
    return [Recorded(each["type"], each["version"], each["schema"]) for each in decode(file.read_bytes())]


def _facts(each: Recorded) -> dict[str, Any]:
    return {
        "type": each.type,
        "version": each.version,
        "fingerprint": each.fingerprint,
        "recorded_at": each.recorded_at,
        "release": each.release,
        "schema": each.schema,
    }


def _describe(verdict: Verdict) -> str:
    from eventstore.cli.verdict import describe

    return describe(verdict)
