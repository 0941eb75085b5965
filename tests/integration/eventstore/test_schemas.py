"""The catalogue of schemas, the check, the rehearsal and the samples, on a real store and by the real program."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore import Events, NewEvent, PostgresSettings, RawEvent
from eventstore.cli import main
from eventstore.errors import SchemaRefused
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.schemas import read_samples, read_schemas, record_schemas, rehearse
from eventstore.schema import Recorded

FIRST = """
from eventstore import event

@event("order-placed", version=1)
class OrderPlaced:
    "Somebody bought something."
    customer: str
    amount: int

@event("order-paid")
class OrderPaid:
    method: str
"""
SECOND = """
from eventstore import event, upcast
from eventstore.schema import drop

@event("order-placed", version=2)
class OrderPlaced:
    customer: str

{upcast}

@event("order-paid")
class OrderPaid:
    method: str
"""
THIRD = """
from eventstore import event, upcast
from eventstore.schema import defaults, drop

@event("order-placed", version=3)
class OrderPlaced:
    customer: str
    amount: str

{upcast}
upcast("order-placed", version=2)(defaults(amount=""))

@event("order-paid")
class OrderPaid:
    method: str
"""
KEPT = "upcast('order-placed', version=1)(lambda data: data)"
DROPPED = "upcast('order-placed', version=1)(drop('amount'))"


class Done(NamedTuple):
    """How the program ended."""

    code: int
    out: str
    err: str

    @property
    def facts(self) -> Any:
        return json.loads(self.out)


class App:
    """Somebody's `shop_events.py`, and the program run over it."""

    def __init__(self, folder: Path, dsn: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._environment = {**os.environ, "REFOLD_POSTGRES_DSN": dsn, "PYTHONDONTWRITEBYTECODE": "1"}
        self._capsys = capsys

    def write(self, source: str) -> None:
        (self.folder / "shop_events.py").write_text(source, "utf-8")

    def judge(self, command: str, *more: str, dsn: str | None = None) -> Done:
        """Run one command of `eventstore schemas` over the app, in a process of its own, where nothing else is declared."""
        code = "import sys; from eventstore.cli import main; sys.exit(main())"
        words = [sys.executable, "-c", code, "schemas", command, "--app", "shop_events", *more]
        environment = self._environment | ({"REFOLD_POSTGRES_DSN": dsn} if dsn else {})
        done = subprocess.run(words, cwd=self.folder, env=environment, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)

    async def run(self, *words: str) -> Done:
        """Run one command that needs no app, in a thread."""
        self._capsys.readouterr()
        code = await asyncio.to_thread(main, ["schemas", *words])
        return Done(code, *self._capsys.readouterr())


@pytest.fixture
def app(tmp_path: Path, settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> App:
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settings.dsn.get_secret_value())
    return App(tmp_path, settings.dsn.get_secret_value(), capsys)


def one(name: str, version: int = 1, **properties: Any) -> Recorded:
    return Recorded(name, version, {"type": "object", "properties": properties})


async def test_recorded_once(engine: AsyncEngine) -> None:
    """A schema is recorded once, in the order of its fields; again it is nothing new; another one under its version is refused whole."""
    placed, paid = one("placed", z={"type": "integer"}, a={"type": "string"}), one("paid")
    assert await record_schemas(engine, [placed, paid], "r1") == 2
    assert await record_schemas(engine, [placed, paid], "r2") == 0
    with pytest.raises(SchemaRefused, match="placed version 1: recorded already with another schema") as refused:
        await record_schemas(engine, [one("new"), one("placed", a={"type": "integer"})], "r3")
    assert refused.value.exit_code == 3
    known = await read_schemas(engine)
    assert [(each.type, each.version, each.release) for each in known] == [("paid", 1, "r1"), ("placed", 1, "r1")]
    assert list(known[1].schema["properties"]) == ["z", "a"]


async def test_two_releases_at_once(engine: AsyncEngine) -> None:
    """Of many that record different schemas under one version at once, exactly one wins, and each of the others is told."""
    given = [one("placed", a={"type": "string", "maxLength": length}) for length in range(8)]
    done = await asyncio.gather(
        *(record_schemas(engine, [each], str(number)) for number, each in enumerate(given)), return_exceptions=True
    )
    assert sorted(type(each) is int for each in done) == [False] * 7 + [True]
    assert all(isinstance(each, SchemaRefused) for each in done if each != 1)
    [kept] = await read_schemas(engine)
    assert kept.fingerprint == given[int(kept.release)].fingerprint


async def test_catalogue_is_append_only(engine: AsyncEngine) -> None:
    """Not even the owner changes or removes a recorded schema."""
    await record_schemas(engine, [one("placed")], "r1")
    async with checkout(engine) as connection:
        for statement in (
            "UPDATE eventstore.schema SET release = 'x'",
            "DELETE FROM eventstore.schema",
            "TRUNCATE eventstore.schema",
        ):
            with pytest.raises(psycopg.Error, match="what happened is never changed"):
                await connection.execute(statement)  # pyright: ignore[reportArgumentType]
    assert len(await read_schemas(engine)) == 1


async def test_rehearsal(engine: AsyncEngine, store: PostgresEventStore, readable: Callable[[int], Any]) -> None:
    """Every event is decoded over many pages and versions; the first failure of each kind is found where it lies; nothing is written."""
    events = Events()
    events.add("placed", 2, type("Placed", (), {"__annotations__": {"n": int}}))
    placed = events.named("placed")
    placed._read = lambda data: int(data["n"])
    placed.upcasters[1] = lambda data: {"n": data["number"]}

    def history() -> Any:
        for number in range(45_000):
            old = number % 3 == 0
            yield f"s-{number % 100}", RawEvent("placed", {"number" if old else "n": number}, 1 if old else 2)
            if number == 30_000:
                yield "bad", NewEvent(RawEvent("placed", {"n": "x"}, 2))
                yield "bad", NewEvent(RawEvent("placed", {}, 1))
                yield "lost", NewEvent(RawEvent("lost", {}))

    await store.import_events(history())
    await readable(45_003)
    heard: list[int] = []
    done = await rehearse(engine, events, tell=lambda count, _: heard.append(count))
    assert done.total == heard[-1] == 45_003
    assert len(heard) > 2
    assert done.read == {("placed", 1): 15_001, ("placed", 2): 30_001, ("lost", 1): 1}
    found = {(each.type, each.version): (each.count, each.first["stream"], each.first["version"]) for each in done.failures}
    assert found == {("placed", 1): (1, "bad", 2), ("placed", 2): (1, "bad", 1), ("lost", 1): (1, "lost", 1)}
    [bad] = [each async for each in store.read_stream("bad", decoded=False) if each.schema_version == 2]
    assert next(each.first["position"] for each in done.failures if each.version == 2) == str(bad.position)
    part = await rehearse(engine, events, share=0.1)
    assert 3_500 < part.total < 5_500
    assert (await rehearse(engine, events, share=0.1)).read == part.read
    assert (await rehearse(engine, events, types=["lost"])).read == {("lost", 1): 1}
    assert await store.count() == 45_003


async def test_large_events_in_a_rehearsal(
    engine: AsyncEngine, store: PostgresEventStore, readable: Callable[[int], Any]
) -> None:
    """Pages end early where events are large, and none is left out."""
    await store.append("s", [RawEvent("big", {"text": os.urandom(200_000).hex()}) for _ in range(40)])
    await readable(40)
    heard: list[int] = []
    done = await rehearse(engine, Events(), tell=lambda count, _: heard.append(count))
    assert done.read == {("big", 1): 40}
    assert len(heard) > 1


async def test_samples(engine: AsyncEngine, store: PostgresEventStore) -> None:
    """The oldest events of every type and version are given, as they were stored."""
    for number in range(5):
        await store.append(
            f"s-{number}", [RawEvent("a", {"n": number}, 1), RawEvent("a", {"n": number}, 2), RawEvent("b", {"n": number})]
        )
    found = await read_samples(engine, 2)
    assert [(each.type, each.schema_version, each.data["n"]) for each in found] == [
        (name, version, number) for name, version in (("a", 1), ("a", 2), ("b", 1)) for number in (0, 1)
    ]
    assert {each.type for each in await read_samples(engine, 1, ["b"])} == {"b"}


async def test_trap_is_refused(app: App) -> None:
    """F31: a field that version 2 gave up and version 3 brings back with another type is refused until an upcaster drops it."""
    app.write(FIRST)
    assert app.judge("record", "--release", "one").code == 0
    app.write(SECOND.format(upcast=KEPT))
    assert app.judge("check").code == 0
    assert app.judge("record", "--release", "two").out.startswith("recorded order-placed v2 ")
    app.write(THIRD.format(upcast=KEPT))
    told = app.judge("check")
    assert told.code == 3
    assert "order-placed v1 -> v3: CAN'T BE READ" in told.out
    assert "order-placed v2 -> v3: can be read" in told.out
    assert "Add drop('amount') to the upcaster from version 1" in told.out
    assert "1 of 4 versions can't be read" in told.out
    refused = app.judge("record", "--json")
    assert (refused.code, refused.facts["recorded"]) == (3, [])
    assert refused.facts["refused"][0]["breaks"][0]["path"] == "amount"
    app.write(THIRD.format(upcast=DROPPED))
    assert app.judge("record", "--json").facts["recorded"][0]["version"] == 3
    assert [(each["type"], each["version"]) for each in (await app.run("list", "--json")).facts] == [
        ("order-paid", 1),
        ("order-placed", 1),
        ("order-placed", 2),
        ("order-placed", 3),
    ]


async def test_changed_without_a_version(app: App) -> None:
    """F31: a class that changed under its recorded version is refused by name, with what it was and is; nothing is recorded."""
    app.write(FIRST)
    assert app.judge("record").code == 0
    app.write(FIRST.replace("amount: int", "amount: float") + '\n@event("order-sent")\nclass OrderSent:\n    by: str\n')
    told = app.judge("record")
    assert told.code == 3
    assert all(each in told.out for each in ("order-placed v1", "amount", '"integer"', '"number"', "Raise the version in @event"))
    assert "order-sent" not in (await app.run("list")).out


async def test_check_without_a_store(app: App, tmp_path: Path) -> None:
    """A pipeline without access to the store checks against a list that was written to a file."""
    app.write(FIRST)
    app.judge("record")
    (tmp_path / "schemas.json").write_text((await app.run("list", "--json")).out)
    nowhere = "postgresql://127.0.0.1:1/nowhere"
    assert app.judge("check", "--recorded", "schemas.json", dsn=nowhere).code == 0
    app.write(SECOND.format(upcast=""))
    told = app.judge("check", "--recorded", "schemas.json", "--json", dsn=nowhere)
    assert (told.code, told.facts["readable"]) == (3, False)
    assert app.judge("check", dsn=nowhere).code == 6


async def test_rehearse(app: App, store: PostgresEventStore, readable: Callable[[int], Any]) -> None:
    """The program rehearses and says what failed, where the first is, with exit code 3; types that are others' are passed over if asked."""
    app.write(FIRST)
    await store.append(
        "order-1", [RawEvent("order-placed", {"customer": "ann", "amount": 1}), RawEvent("order-paid", {"method": "card"})]
    )
    await store.append("other-1", [RawEvent("billed", {})])
    await readable(3)
    told = await asyncio.to_thread(app.judge, "rehearse", "--json")
    assert (told.code, told.facts["events"], [each["type"] for each in told.facts["failures"]]) == (3, 3, ["billed"])
    assert told.facts["failures"][0]["first"]["stream"] == "other-1"
    assert app.judge("rehearse", "--partial").code == 0
    await store.append("order-2", [RawEvent("order-placed", {"customer": "ann"})])
    await readable(4)
    told = app.judge("rehearse", "--types", "order-paid", "order-placed")
    assert told.code == 3
    assert all(each in told.out for each in ("1 of order-placed v1 FAILED", "amount: Field required", "the first is order-2@1"))
    assert "3 events in" in told.out


async def test_program(app: App, store: PostgresEventStore) -> None:
    """List, show, asyncapi and samples do what they say, and each mistake has its sentence and exit code 2."""
    assert (await app.run("list")).out.startswith("no schema is recorded yet")
    assert (await app.run("asyncapi")).code == 2
    app.write(FIRST)
    app.judge("record", "--release", "one")
    await store.append("order-1", [RawEvent("order-placed", {"customer": "ann", "amount": 1}), RawEvent("billed", {})])
    assert json.loads((await app.run("show", "order-placed", "--json")).out)["required"] == ["customer", "amount"]
    document = json.loads((await app.run("asyncapi", "--title", "Shop")).out)
    assert set(document["components"]["messages"]) == {"order-paid.v1", "order-placed.v1"}
    assert document["components"]["messages"]["order-placed.v1"]["summary"] == "Somebody bought something."
    golden, made = app.folder / "golden", app.folder / "made"
    assert (await app.run("samples", str(golden), "--count", "1", "--types", "order-placed", "billed")).code == 0
    assert sorted(each.name for each in golden.iterdir()) == ["billed.v1.jsonl", "order-placed.v1.jsonl"]
    assert (await app.run("samples", str(made), "--made", "--json")).facts["samples"] == 6
    assert "nothing new" in (await app.run("samples", str(made), "--made")).out
    for words, said in (
        (["show", "order-lost"], "no schema of 'order-lost'"),
        (["show", "order-placed", "--version", "7"], "(versions: 1)"),
        (["check"], "Give --app MODULE"),
        (["record"], "Give --app MODULE"),
        (["rehearse"], "Give --app MODULE"),
        (["rehearse", "--sample", "0"], "--sample 0: give a percentage above 0"),
        (["rehearse", "--sample", "101"], "--sample 101"),
        (["samples", "x", "--count", "0"], "--count 0"),
        (["asyncapi", "--recorded", "none.json"], "none.json is not a file"),
        ([], "required: COMMAND"),
    ):
        told = await app.run(*words)
        assert (told.code, told.out) == (2, "")
        assert said in told.err
