"""Events as they come, and events carried from one store to another."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventstore import NewEvent, PostgresSettings, RawEvent
from eventstore.cli import main
from eventstore.postgres import PostgresEventStore
from tests.stack.databases import Databases

Capture = pytest.CaptureFixture[str]
PROGRAM = "import sys; from eventstore.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: PostgresSettings) -> None:
    """Let the program find this test's database."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settings.dsn.get_secret_value())


@asynccontextmanager
async def following(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `eventstore follow` until it says that it follows."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "follow", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert program.stderr is not None
    assert b"following" in await program.stderr.readline()
    try:
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


async def test_follow(store: PostgresEventStore) -> None:
    """What is recorded after the start is printed in order, filtered by stream and type, until a signal ends it with success."""
    await store.append("order-1", [RawEvent("placed", {"n": 0})])
    async with following("order-1", "order-2", "--type", "placed", "--type", "paid", "--json") as program:
        for number, (stream, name) in enumerate(
            (("order-1", "placed"), ("order-3", "placed"), ("order-2", "seen"), ("order-2", "paid"))
        ):
            await store.append(stream, [RawEvent(name, {"n": number})])
        assert program.stdout is not None
        shown = [json.loads(await program.stdout.readline()) for _ in range(2)]
        assert [(each["stream"], each["version"], each["data"]) for each in shown] == [
            ("order-1", 2, {"n": 0}),
            ("order-2", 2, {"n": 3}),
        ]
        program.send_signal(signal.SIGTERM)
        assert await program.wait() == 0


async def test_follow_from_the_start(store: PostgresEventStore) -> None:
    """From the start, or from a printed position, a limited number of events is printed a line each."""
    await store.append("order-1", [RawEvent("placed", {"n": n}) for n in range(3)])
    async with following("--after", "start", "--limit", "2") as program:
        out, _ = await program.communicate()
        assert program.returncode == 0
    lines = out.decode().splitlines()
    assert [line.partition("order-1 ")[2] for line in lines] == ['1  placed  {"n":0}', '2  placed  {"n":1}']
    async with following("--after", lines[1].split()[0], "--limit", "1") as program:
        out, _ = await program.communicate()
        assert b'3  placed  {"n":2}' in out


def test_follow_needs_a_position(capsys: Capture) -> None:
    """Something else than a position is refused by name."""
    assert main(["follow", "--after", "yesterday"]) == 2
    assert "--after 'yesterday' is not a position" in capsys.readouterr().err


async def test_export_and_import(
    store: PostgresEventStore, tmp_path: Path, databases: Databases, settings: PostgresSettings, topic_prefix: str
) -> None:
    """An export read into another store gives the same events in the same order, and exporting that gives the same facts."""
    await store.append("order-1", [NewEvent(RawEvent("placed", {"text": 'ü "quoted" \\ \t'}), metadata={"who": "ann"})])
    await store.append("order-2", [RawEvent("placed", {"n": 1.5}, version=3), RawEvent("paid", {})])
    await store.append("order-1", [RawEvent("paid", {"big": 2**60})])
    first, second, other = tmp_path / "first.jsonl", tmp_path / "second.jsonl", f"other_{topic_prefix}"
    await program("export", str(first))
    try:
        there = databases.create(other)
        await program("migrate", dsn=there)
        await program("import", str(first), dsn=there)
        await program("export", str(second), dsn=there)
    finally:
        databases.drop(other)
    facts = [[keep(json.loads(line)) for line in path.read_text().splitlines()] for path in (first, second)]
    assert facts[0] == facts[1]
    assert [(each["stream"], each["version"]) for each in facts[0]] == [
        ("order-1", 1),
        ("order-2", 1),
        ("order-2", 2),
        ("order-1", 2),
    ]
    assert {first.name, second.name} == set(os.listdir(tmp_path))  # noqa: PTH208 - nothing half-written is left


async def test_export_part(store: PostgresEventStore, capsys: Capture) -> None:
    """Only what was asked for is written: after a position, of a stream, of a type; standard output takes lines alone."""
    token = await store.append("a", [RawEvent("x", {"n": 1})])
    await store.append("b", [RawEvent("x", {"n": 2}), RawEvent("y", {"n": 3})])
    out = await program("export", "-", "--after", str(token.position), "--stream", "b", "--type", "x")
    assert [json.loads(line)["data"] for line in out.splitlines()] == [{"n": 2}]
    assert not capsys.readouterr().out


def test_export_nowhere(capsys: Capture, tmp_path: Path) -> None:
    """A file that can't be written is refused with the reason."""
    assert main(["export", str(tmp_path / "no" / "such" / "file")]) == 2
    assert "can't write" in capsys.readouterr().err


def keep(fields: dict[str, object]) -> dict[str, object]:
    """Leave out what another store gives anew."""
    return {name: value for name, value in fields.items() if name not in {"position", "recorded_at"}}


async def program(*arguments: str, dsn: str | None = None) -> str:
    """Run the program on the test's database or on *dsn*, and give what it printed."""
    environment = {**os.environ, **({"REFOLD_POSTGRES_DSN": dsn} if dsn else {})}
    done = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await done.communicate()
    assert done.returncode == 0, said.decode()
    return out.decode()
