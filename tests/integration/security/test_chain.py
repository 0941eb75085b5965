"""Chains of hashes: whatever is done to the table behind the functions' back is found, by stream and version."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

import eventstore.cli
from eventstore import NewEvent, RawEvent, event
from eventstore.errors import UsageError
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.chain import Anchor, Broken, start_chain, stop_chain, take_anchor, verify_chain
from eventstore.postgres.erasure import forget
from eventstore.postgres.keys import opened_keyring
from eventstore.privacy import Personal, Subject
from eventstore.privacy.keystore import make_master
from eventstore.settings import PostgresSettings, PrivacySettings
from tests.integration.security.conftest import Login
from tests.stack.waiting import eventually

REWRITE = """
WITH RECURSIVE again AS (
    SELECT c.stream, c.version, eventstore.link_v1(NULL, NULL, eventstore.content_v1(e.stream, e.version, e.event_id, e.type,
        e.schema_version, e.data, e.metadata, e.tags, e.occurred_at, e.recorded_at)) AS hash
    FROM eventstore.chain AS c JOIN eventstore.event AS e USING (stream, version) WHERE c.stream = 'b' AND c.version = 1
    UNION ALL
    SELECT e.stream, e.version, eventstore.link_v1(NULL, a.hash, eventstore.content_v1(e.stream, e.version, e.event_id, e.type,
        e.schema_version, e.data, e.metadata, e.tags, e.occurred_at, e.recorded_at))
    FROM again AS a JOIN eventstore.event AS e ON e.stream = a.stream AND e.version = a.version + 1
)
UPDATE eventstore.chain AS c SET hash = a.hash FROM again AS a WHERE c.stream = a.stream AND c.version = a.version
"""
TAMPERINGS = {
    "data changed": (["UPDATE eventstore.event SET data = '{\"n\": 9}' WHERE v = 3"], (3, "changed")),
    "NULL for absent": (["UPDATE eventstore.event SET data = data || '{\"x\": null}' WHERE v = 2"], (2, "changed")),
    "other time": (["UPDATE eventstore.event SET recorded_at = recorded_at - interval '1 us' WHERE v = 1"], (1, "changed")),
    "other type": (["UPDATE eventstore.event SET type = 'y' WHERE v >= 4"], (4, "changed")),
    "other tags": (["UPDATE eventstore.event SET tags = '{t}' WHERE v = 5"], (5, "changed")),
    "link changed": (["UPDATE eventstore.chain SET hash = sha256('') WHERE v = 2"], (2, "changed")),
    "event deleted": (["DELETE FROM eventstore.event WHERE v = 2"], (2, "deleted")),
    "deleted with its link": (
        ["DELETE FROM eventstore.event WHERE v = 2", "DELETE FROM eventstore.chain WHERE v = 2"],
        (3, "gap"),
    ),
    "first deleted with its link": (
        ["DELETE FROM eventstore.event WHERE v = 1", "DELETE FROM eventstore.chain WHERE v = 1"],
        (2, "gap"),
    ),
    "last deleted with its link": (
        ["DELETE FROM eventstore.event WHERE v = 5", "DELETE FROM eventstore.chain WHERE v = 5"],
        (5, "cut"),
    ),
    "link deleted": (["DELETE FROM eventstore.chain WHERE v = 4"], (4, "added")),
    "two swapped": (
        ["UPDATE eventstore.event AS e SET data = o.data FROM eventstore.event AS o WHERE e.v IN (2, 3) AND o.v = 5 - e.version"],
        (2, "changed"),
    ),
}  # fmt: skip


@event("chain-test-registered")
class Registered:
    customer: Subject[str]
    name: Personal[str]


@pytest.fixture
async def store(engine: AsyncEngine) -> AsyncIterator[PostgresEventStore]:
    """A store whose streams are all chained, with five events in each of three."""
    async with PostgresEventStore.open(engine=engine) as store:
        await start_chain(engine)
        for stream in "abc":
            await store.append(stream, [RawEvent("x", {"n": n}) for n in range(3)])
            await store.append(stream, [RawEvent("x", {"n": 3})])
            await store.append(stream, [RawEvent("x", {"n": 4})])
        yield store


async def tamper(engine: AsyncEngine, *statements: str) -> None:
    """Do what only an administrator can: switch the triggers off and write."""
    async with checkout(engine) as connection, connection.transaction():
        for table in ("event", "chain", "stream"):
            await connection.execute(f"ALTER TABLE eventstore.{table} DISABLE TRIGGER USER")
        for statement in statements:
            await connection.execute(statement)
        for table in ("event", "chain", "stream"):
            await connection.execute(f"ALTER TABLE eventstore.{table} ENABLE TRIGGER USER")


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_tampering_is_named(store: PostgresEventStore, engine: AsyncEngine, what: str) -> None:
    """Each way of changing, removing or adding an event is found at its stream and first version, and nothing else is."""
    statements, (version, fault) = TAMPERINGS[what]
    statements = [re.sub(r"(\w\.)?\bv\b (IN|=|>=)", r"\1stream = 'b' AND \1version \2", each) for each in statements]
    assert (await verify_chain(engine)).broken == []
    await tamper(engine, *statements)
    verdict = await verify_chain(engine)
    assert verdict.broken == [Broken("b", version, fault)]
    assert (verdict.streams, verdict.broken_streams) == (3, 1)
    assert (await verify_chain(engine, "b")).broken == verdict.broken
    assert (await verify_chain(engine, "a")).broken == []


async def test_rewritten_as_a_whole(store: PostgresEventStore, engine: AsyncEngine) -> None:
    """Who changes an event and makes all links anew is found by an anchor that was published before, and by nothing else."""
    anchor = await take_anchor(engine)
    await tamper(engine, "UPDATE eventstore.event SET data = '{}' WHERE stream = 'b' AND version = 1", REWRITE)
    assert (await verify_chain(engine)).broken == []
    assert (await take_anchor(engine, anchor.position)).digest != anchor.digest


async def test_vanished_stream(store: PostgresEventStore, engine: AsyncEngine) -> None:
    """A stream that is gone with its links is missing from the anchor's digest."""
    anchor = await take_anchor(engine)
    gone = ("event WHERE stream", "chain WHERE stream", "stream WHERE name")
    await tamper(engine, *(f"DELETE FROM eventstore.{each} = 'b'" for each in gone))
    assert (await verify_chain(engine)).broken == []
    found = await take_anchor(engine, anchor.position)
    assert (found.streams, anchor.streams) == (2, 3)
    assert found.digest != anchor.digest


async def test_anchor_stays(store: PostgresEventStore, engine: AsyncEngine) -> None:
    """An anchor is the same for ever, whatever is appended after it, and survives being written down."""
    anchor = await take_anchor(engine)
    await store.append("a", [RawEvent("x", {})])
    await store.append("new", [RawEvent("x", {})])
    assert await take_anchor(engine, anchor.position) == anchor == Anchor.parse(f" {anchor}\n")
    newer = await take_anchor(engine)
    assert newer.streams == 4
    with pytest.raises(UsageError, match="is no anchor"):
        Anchor.parse("refold.anchor.1:x")


async def test_nobody_is_left_out(store: PostgresEventStore, engine: AsyncEngine, login: Login) -> None:
    """Events of every way in are linked, also those of a writer's own statements and of many writers at once."""

    async def write(number: int) -> None:
        for each in range(10):
            await store.append("shared", [RawEvent("x", {"n": each})] * 1)
            await store.append(f"own-{number}", [RawEvent("x", {}), RawEvent("x", {})])

    await asyncio.gather(*(write(number) for number in range(6)))
    imported = [(f"i-{n % 3}", NewEvent(RawEvent("x", {"n": n}))) for n in range(50)]
    await store.import_events(imported)
    async with PostgresEventStore.open(PostgresSettings(dsn=SecretStr(login("writer")), pool_size=2)) as writer:
        await writer.append("theirs", [RawEvent("x", {})])
        await writer.import_events([("theirs", NewEvent(RawEvent("x", {})))])
        assert (await verify_chain(writer.engine)).links == 15 + 60 + 120 + 50 + 2
    verdict = await verify_chain(engine)
    assert (verdict.links, verdict.broken) == (15 + 60 + 120 + 50 + 2, [])


async def test_history_or_from_now(engine: AsyncEngine) -> None:
    """A chain takes in what is recorded already, or begins at the next event of each stream; both are verified as such."""
    async with PostgresEventStore.open(engine=engine) as store:
        for stream in ("old-1", "old-2", "other"):
            await store.append(stream, [RawEvent("x", {}), RawEvent("x", {})])
        assert await start_chain(engine, "old-", history=True) == 4
        assert await start_chain(engine, "other", history=False) == 0
        await store.append("other", [RawEvent("x", {})])
        await store.append("unchained", [RawEvent("x", {})])
        verdict = await verify_chain(engine)
        assert (verdict.streams, verdict.links, verdict.broken) == (3, 5, [])
        await tamper(engine, "UPDATE eventstore.event SET data = '[1]' WHERE version = 1")
        assert [(each.stream, each.version) for each in (await verify_chain(engine)).broken] == [("old-1", 1), ("old-2", 1)]


async def test_off_costs_nothing(store: PostgresEventStore, engine: AsyncEngine) -> None:
    """Without a chain there is no trigger and no link; stopping takes both away, and starting again begins anew."""
    triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'event_chained'"
    assert await stop_chain(engine)
    assert not await stop_chain(engine)
    async with checkout(engine) as connection:
        assert await (await connection.execute(triggers)).fetchone() == (0,)
        assert await (await connection.execute("SELECT count(*) FROM eventstore.chain")).fetchone() == (0,)
    await store.append("a", [RawEvent("x", {})])
    assert await start_chain(engine) == 16
    assert (await verify_chain(engine)).broken == []


async def test_forgetting_keeps_it(engine: AsyncEngine) -> None:
    """Forgetting a person leaves every chain whole: what was sealed stays, and only its key is gone."""
    privacy = PrivacySettings(master_keys=SecretStr(make_master("m")), cache_s=0.05)
    async with opened_keyring(engine, privacy) as keyring, PostgresEventStore.open(engine=engine, keyring=keyring) as store:
        await start_chain(engine)
        await store.append("customer-1", [Registered("c-1", "Ada Lovelace")])
        anchor = await take_anchor(engine)
        await forget(store, "c-1", lambda *_, **__: None)
        verdict = await verify_chain(engine)
        assert (verdict.broken, verdict.links) == ([], 2)
        assert await take_anchor(engine, anchor.position) == anchor


async def test_command(
    store: PostgresEventStore,
    settled_dsn: str,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`eventstore chain verify` exits with 0, or with 3 and names the first broken link; an anchor is compared on request."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settled_dsn)

    async def run(*argv: str) -> tuple[int, dict]:
        code = await asyncio.to_thread(eventstore.cli.main, ["chain", *argv, "--json"])
        printed = capsys.readouterr()
        return code, json.loads(printed.out or printed.err)

    async def anchored() -> bool:
        return (await run("anchor"))[1]["streams"] == 3

    await eventually(anchored, "three streams that are readable in order")
    anchor = (await run("anchor"))[1]["anchor"]
    assert await run("verify") == (0, {"streams": 3, "links": 15, "broken_streams": 0, "broken": []})
    assert (await run("verify", "--anchor", anchor))[0] == 0
    await tamper(engine, "UPDATE eventstore.event SET data = '{}' WHERE stream = 'b' AND version = 1", REWRITE)
    code, told = await run("verify", "--anchor", anchor)
    assert (code, told["error"], told["known"]) == (3, "VerificationFailed", anchor)
    await tamper(engine, "UPDATE eventstore.event SET data = '[]' WHERE stream = 'b' AND version = 2")
    code, told = await run("verify", "b")
    assert (code, told["broken"]) == (3, [{"stream": "b", "version": 2, "fault": "changed"}])
    assert (await run("start", "b"))[0] == 2
