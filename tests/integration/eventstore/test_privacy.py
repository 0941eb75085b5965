"""Personal data: sealed wherever it is stored, opened for those who have the keys, gone with the key."""

import logging
from collections.abc import AsyncIterator
from datetime import date

import pytest
from pydantic import BaseModel, SecretStr

from eventstore import NewEvent, PostgresSettings, RawEvent, event, upcast
from eventstore.errors import ForgottenSubject, PreconditionFailed, UndecodableRecord, UsageError
from eventstore.forgotten import SubjectForgotten
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.erasure import find_streams, forget, read_plain
from eventstore.postgres.keys import PostgresKeyStore, opened_keyring
from eventstore.privacy import REDACTED, SEALED, Personal, Subject, is_redacted
from eventstore.privacy.keystore import MasterKeys, make_master, read_masters
from eventstore.settings import PrivacySettings
from tests.stack.waiting import eventually

OLD, NEW = make_master("old"), make_master("new")


@event("privacy-test-registered", version=2)
class Registered:
    customer: Subject[str]
    name: Personal[str]
    born: Personal[date | None] = None
    city: str = ""


@upcast("privacy-test-registered", version=1)
def join_names(data: dict) -> dict:
    return {"customer": data["customer"], "name": f"{data['first']} {data['last']}", "city": data.get("city", "")}


class Line(BaseModel):
    note: Personal[str]
    cents: int


@event("privacy-test-ordered", subject=lambda ordered: ordered.buyer)
class Ordered(BaseModel):
    buyer: str
    lines: list[Line]
    address: Personal[dict[str, str]]


ADA = Registered("c-1", "Ada Lovelace", date(1815, 12, 10), "London")
ORDERED = Ordered(
    buyer="c-1", lines=[Line(note="for Byron", cents=5), Line(note="plain", cents=7)], address={"street": "St James"}
)
SECRETS = ("Ada Lovelace", "1815-12-10", "for Byron", "St James")


def privacy(*masters: str) -> PrivacySettings:
    return PrivacySettings(master_keys=SecretStr(",".join(masters)), cache_s=0.05)


@pytest.fixture
async def store(engine, settings: PostgresSettings) -> AsyncIterator[PostgresEventStore]:
    async with (
        opened_keyring(engine, privacy(OLD)) as keyring,
        PostgresEventStore.open(settings, engine=engine, keyring=keyring) as store,
    ):
        yield store


async def read(store: PostgresEventStore, stream: str) -> list:
    return [each.data async for each in store.read_stream(stream)]


async def rows(engine, statement: str) -> list:
    async with checkout(engine) as connection:
        return await (await connection.execute(statement)).fetchall()


async def test_sealed_and_opened(store, engine):
    """Personal fields at any depth are ciphertext in the table and plain values for who reads, by stream and in order."""
    await store.append("customer-1", [ADA, ORDERED])
    await store.import_events([("customer-1", ADA), ("customer-2", Registered("c-2", "Bo"))])
    [(text,)] = await rows(engine, "SELECT string_agg(e::text, ' ') FROM eventstore.event AS e")
    assert not [each for each in SECRETS if each in text]
    assert "London" in text
    assert await read(store, "customer-1") == [ADA, ORDERED, ADA]
    assert await read(store, "customer-2") == [Registered("c-2", "Bo")]
    bare = PostgresEventStore(engine, PostgresSettings())
    [one, two, _] = await read(bare, "customer-1")
    assert (one.customer, one.name, one.born, one.city) == ("c-1", SEALED, SEALED, "London")
    assert (two.lines[0].note, two.lines[0].cents, two.address) == (SEALED, 5, SEALED)
    with pytest.raises(PreconditionFailed, match="no master key"):
        await bare.append("customer-3", [ADA])


async def test_same_text_twice(store, engine):
    """Equal values are sealed differently, and lengths are blurred to 16 bytes."""
    await store.append("a", [Registered("c-1", "Bo"), Registered("c-1", "Bo"), Registered("c-1", "Bobby")])
    found = await rows(engine, "SELECT data -> 'name' ->> '$sealed' FROM eventstore.event")
    assert len({each for (each,) in found}) == 3
    assert len({len(each) for (each,) in found}) == 1


async def test_forgotten(store, engine):
    """After a person was forgotten all their fields read as redacted, others' don't, and their streams say so."""
    for stream, made in (("customer-1", ADA), ("order-9", ORDERED), ("customer-2", Registered("c-2", "Bo"))):
        await store.append(stream, [made])
    assert await read_plain(store, "c-1") >= set(SECRETS)
    done = await forget(store, "c-1", lambda _: None)
    assert (done.events, done.streams) == (2, ["customer-1", "order-9"])
    [registered, told] = await read(store, "customer-1")
    assert (registered.name, registered.born, registered.city) == (REDACTED, REDACTED, "London")
    assert is_redacted(registered.name)
    assert told == SubjectForgotten("c-1")
    assert (await read(store, "order-9"))[0].lines[0].note == REDACTED
    assert await read(store, "customer-2") == [Registered("c-2", "Bo")]
    assert await read_plain(store, "c-1") == set()
    assert await rows(engine, "SELECT wrapped, master FROM privacy.subject_key WHERE subject = 'c-1'") == [(None, None)]


async def test_forget_again(store):
    """Forgetting twice records once, and forgetting nobody records nothing."""
    await store.append("customer-1", [ADA])
    first = await forget(store, "c-1", lambda _: None)
    assert await forget(store, "c-1", lambda _: None) == first
    assert len(await read(store, "customer-1")) == 2
    assert (await forget(store, "nobody", lambda _: None)).key is None


async def test_forgotten_stays(store):
    """A forgotten person's data is not recorded again, but an event that carries the redacted value on is."""
    await store.append("customer-1", [ADA])
    await forget(store, "c-1", lambda _: None)
    with pytest.raises(ForgottenSubject, match="c-1"):
        await store.append("customer-1", [ADA])
    [old, _] = await read(store, "customer-1")
    await store.append("customer-1", [Registered("c-1", old.name, None, "Paris")])
    assert (await read(store, "customer-1"))[-1] == Registered("c-1", REDACTED, None, "Paris")
    sealed = PostgresEventStore(store.engine, PostgresSettings())
    with pytest.raises(UsageError, match="sealed"):
        await store.append("b", [Registered("c-2", (await read(sealed, "customer-1"))[0].name)])


async def test_other_process_forgets(engine, settings, store):
    """A process that held the key opens nothing any more once the time of its cache is over."""
    await store.append("customer-1", [ADA])
    async with opened_keyring(engine, privacy(OLD)) as keyring:
        other = PostgresEventStore(engine, settings, keyring=keyring)
        assert await read(other, "customer-1") == [ADA]
        await forget(store, "c-1", lambda _: None)

        async def redacted() -> bool:
            return (await read(other, "customer-1"))[0].name == REDACTED

        await eventually(redacted, "a key that is no longer known")


async def test_moved_ciphertext(store, engine):
    """A sealed value that is put into another event or another field does not open."""
    await store.append("a", [ADA])
    [(data, metadata)] = await rows(engine, "SELECT data, metadata FROM eventstore.event")
    moved = NewEvent(RawEvent("privacy-test-registered", data, 2), metadata=metadata)
    await store.append("b", [moved])
    with pytest.raises(PreconditionFailed, match="does not open"):
        await read(store, "b")


async def test_export_and_import(store, engine, settings):
    """What is exported stays sealed, and opens where it is imported under its ids, by who has the keys."""
    await store.append("a", [ADA])
    [kept] = [each async for each in store.read_stream("a", decoded=False)]
    assert not [each for each in SECRETS if each in str(kept.data)]
    async with checkout(engine) as connection:
        await connection.execute("ALTER TABLE eventstore.event DISABLE TRIGGER ALL")
        await connection.execute("DELETE FROM eventstore.event")
    keyless = PostgresEventStore(engine, settings)
    await keyless.import_events([("a", NewEvent(RawEvent(kept.type, kept.data, 2), id=kept.id, metadata=kept.metadata))])
    assert await read(store, "a") == [ADA]


async def test_old_version(store, engine):
    """An older version is sealed by the names that are still known and upcast after opening; a redacted one stays readable."""
    await store.append(
        "a", [RawEvent("privacy-test-registered", {"customer": "c-7", "first": "A", "last": "B", "name": "C D"}, 1)]
    )
    assert (await read(store, "a"))[0].name == "A B"


async def test_errors_say_nothing(store, caplog):
    """A stored event that does not fit its class is refused without a word of what it holds."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(UndecodableRecord) as caught:
        await store.append(
            "a", [RawEvent("privacy-test-registered", {"customer": "c-1", "name": "Ada Lovelace", "born": "never Ada"}, 2)]
        )
    assert "born" in str(caught.value)
    assert "Ada" not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text}"


async def test_rotation(store, engine, settings):
    """After a rotation the new master key alone opens everything, and the old one nothing."""
    await store.append("a", [ADA])
    masters = read_masters(privacy(NEW, OLD))
    assert masters is not None
    keys = PostgresKeyStore(engine, masters)
    assert (await keys.rotate(), await keys.rotate(), await keys.count()) == (1, 0, {"new": 1})
    for given, good in ((NEW, True), (OLD, False)):
        async with opened_keyring(engine, privacy(given)) as keyring:
            other = PostgresEventStore(engine, settings, keyring=keyring)
            if good:
                assert await read(other, "a") == [ADA]
            else:
                with pytest.raises(PreconditionFailed, match="'new', which is not among"):
                    await read(other, "a")


async def test_keys_elsewhere(engine, settings, databases, postgres_template, monkeypatch):
    """With the keys in another database, the events' own holds nothing that opens them."""
    dsn = databases.create("keys_elsewhere", postgres_template)
    try:
        monkeypatch.setenv("REFOLD_PRIVACY_MASTER_KEYS", OLD)
        monkeypatch.setenv("REFOLD_PRIVACY_DSN", dsn)
        async with PostgresEventStore.open(settings, engine=engine) as store:
            await store.append("a", [ADA])
            assert await read(store, "a") == [ADA]
        assert await rows(engine, "SELECT count(*) FROM privacy.subject_key") == [(0,)]
        monkeypatch.delenv("REFOLD_PRIVACY_DSN")
        async with opened_keyring(engine, privacy(OLD)) as keyring:
            with pytest.raises(PreconditionFailed, match="not in the key store"):
                await read(PostgresEventStore(engine, settings, keyring=keyring), "a")
    finally:
        databases.drop("keys_elsewhere")


async def test_index_finds_subject(store, engine):
    """A subject's events are found by an index, which holds no event without personal data."""
    await store.append("a", [ADA])
    [key] = (await store.keyring.store.claim(["c-1"])).values()
    assert await find_streams(store, key.id) == {"a": 1}
    plan = await rows(
        engine,
        "EXPLAIN SELECT stream FROM eventstore.event WHERE metadata ? 'subjectkey' AND metadata ->> 'subjectkey' = 'x'",
    )
    assert "event_subject_key" in str(plan)


def test_malformed_master():
    """A master key that is none is refused without being shown."""
    for text in ("a", "a:", "a:bm9uZQ==", ":" + OLD.partition(":")[2]):
        with pytest.raises(UsageError, match="eventstore keys"):
            read_masters(privacy(text))
    assert isinstance(read_masters(privacy(OLD)), MasterKeys)
    assert OLD.partition(":")[2] not in repr(privacy(OLD))
