"""Personal data on its way through log and read models: never plain in between, redacted in rows once a person was forgotten."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

import eventstore.cli
import replay.cli
from eventstore import event
from eventstore.forgotten import SubjectForgotten
from eventstore.log.assigned import AssignedReader
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.erasure import forget
from eventstore.privacy import REDACTED, Personal, Subject
from eventstore.privacy.keystore import make_master
from eventstore.relay.relay import Relay
from projections import Projection, Projections
from projections.control.catalogue import list_generations
from projections.control.checkpoint import has_reached
from tests.bank.runs import Runs
from tests.stack.waiting import eventually

MASTER = make_master("test")


@event("forgetting-test-joined")
class Joined:
    customer: Subject[str]
    name: Personal[str]
    born: Personal[date | None] = None
    plan: str = "free"


@event("forgetting-test-moved")
class Moved:
    customer: Subject[str]
    street: Personal[str]
    poison: bool = False


@dataclass(slots=True)
class Person:
    stream: str
    name: str = ""
    born: date | None = None
    street: str = ""
    events: int = 0


@dataclass(slots=True)
class Plan:
    plan: str
    members: int = 0


def joined(event: Joined, row: Person | None, envelope: Any) -> Person:
    return Person(envelope.stream, event.name, event.born, events=1)


def moved(event: Moved, row: Person | None) -> Person | None:
    if event.poison:
        raise ValueError(f"{event.street} can't be")
    if row:
        row.street, row.events = event.street, row.events + 1
    return row


def redact(event: SubjectForgotten, row: Person | None) -> Person | None:
    if row:
        row.name, row.born, row.street = REDACTED, None, REDACTED if row.street else ""
    return row


def counted(event: Joined, row: Plan | None) -> Plan:
    row = row or Plan(event.plan)
    row.members += 1
    return row


def declare(*, redacts: bool) -> Projections:
    people = Projection("bank")
    person = people.table(Person, key="stream")
    person.on(Joined)(joined)
    person.on(Moved)(moved)
    people.table(Plan, key="plan").on(Joined, key=lambda event: event.plan)(counted)
    if redacts:
        person.on(SubjectForgotten)(redact)
    return Projections(people)


careful, careless = declare(redacts=True), declare(redacts=False)
NAME = __name__


class Shop:
    """A store, its log, and what feeds the read models."""

    def __init__(self, store: PostgresEventStore, runs: Runs) -> None:
        self.store, self.runs = store, runs

    async def join(self, number: int) -> None:
        made = [
            Joined(f"c-{number}", f"Ada Lovelace {number}", date(1815, 12, 10), "gold"),
            Moved(f"c-{number}", f"{number} St James"),
        ]
        await self.store.append(f"customer-{number}", made)

    async def publish(self) -> None:
        """Relay all that is recorded, once no other database's transaction holds readers back."""
        relay = Relay(self.store.engine, self.runs.kafka)
        wanted = (await self.runs.query("SELECT count(*) AS n FROM eventstore.event"))[0]["n"]
        while await self.store.count() < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await relay.drain()

    async def publish_all(self) -> None:
        """Wait until the live read model has folded all that is recorded."""
        wanted = (await self.runs.query("SELECT count(*) AS n FROM eventstore.event"))[0]["n"]

        async def folded() -> bool:
            found = await self.runs.query("SELECT coalesce(sum(next_offset), 0) AS n FROM projections.checkpoint")
            return found[0]["n"] >= wanted

        await eventually(folded, "everything is folded")

    async def feed(self, app: Projections) -> None:
        await self.publish()
        await self.runs.serve(app)

    async def rows(self, table: str = "person") -> dict[str, dict[str, Any]]:
        live = await self.runs.live()
        found = await self.runs.query(f"SELECT * FROM {live.schema_name}.{table}")
        return {next(iter(each.values())): each for each in found}

    async def records(self) -> list[bytes]:
        reader = AssignedReader(self.runs.kafka, "test")
        wanted = [(self.runs.kafka.events_topic, each) for each in range(self.runs.kafka.partitions)]
        await reader.open(dict.fromkeys(wanted, 0))
        try:
            ends, found = await reader.ends(wanted), []
            while not has_reached(await reader.seen(), ends):
                for batch in (await reader.poll(0.2)).values():
                    found += [each.value for each in batch]
            return found
        finally:
            await reader.close()

    async def rebuild(self, app: str, *flags: str) -> Any:
        argv = ("--projection", "bank", "--from-beginning", "--app", f"{NAME}:{app}", "--json", *flags)
        return await self.runs.program(replay.cli.main, *argv)


@pytest.fixture
async def shop(runs, engine, log, monkeypatch):
    monkeypatch.setenv("REFOLD_PRIVACY_MASTER_KEYS", MASTER)
    monkeypatch.setenv("REFOLD_PRIVACY_CACHE_S", "0.05")
    async with PostgresEventStore.open(engine=engine) as store:
        yield Shop(store, runs)


async def test_redacted_live_and_rebuilt(shop):
    """A live row is redacted by the event, a rebuild gives the same rows, and both are found equal."""
    for number in (1, 2):
        await shop.join(number)
    await shop.feed(careful)
    assert (await shop.rows())["customer-1"]["name"] == "Ada Lovelace 1"
    await forget(shop.store, "c-1", lambda _: None)
    await shop.feed(careful)
    row = (await shop.rows())["customer-1"]
    assert (row["name"], row["born"], row["street"], row["events"]) == ("[redacted]", None, "[redacted]", 2)
    done = await shop.rebuild("careful")
    assert done.code == 0, done.err
    assert done.facts["verification"]["equal"] is True
    assert (await shop.rows())["customer-1"] == row
    assert (await shop.rows())["customer-2"]["born"] == date(1815, 12, 10)
    assert (await shop.rows("plan"))["gold"]["members"] == 2


async def test_rebuild_explains(shop):
    """Rows that no handler redacted differ after a rebuild where persons were forgotten, and this is no reason to refuse it."""
    for number in (1, 2, 3):
        await shop.join(number)
    await shop.feed(careless)
    await forget(shop.store, "c-1", lambda _: None)
    await shop.feed(careless)
    assert (await shop.rows())["customer-1"]["name"] == "Ada Lovelace 1"
    done = await shop.rebuild("careless")
    assert done.code == 0, done.err
    [person] = [each for each in done.facts["verification"]["tables"] if each["table"] == "person"]
    assert (person["changed"], person["explained"], person["samples"]) == (1, 1, [])
    row = (await shop.rows())["customer-1"]
    assert (row["name"], row["born"], row["events"]) == ("[redacted]", None, 2)


async def test_rebuild_refuses_others(shop):
    """A difference in a row of somebody who was not forgotten still keeps a rebuild from going live."""
    for number in (1, 2):
        await shop.join(number)
    await shop.feed(careless)
    await forget(shop.store, "c-1", lambda _: None)
    await shop.feed(careless)
    live = await shop.runs.live()
    await shop.runs.query(f"UPDATE {live.schema_name}.person SET events = 9 WHERE stream = 'customer-2'")
    done = await shop.rebuild("careless")
    assert done.code == 3
    assert "customer-2" in done.err
    assert "Ada" not in done.out + done.err


async def test_nothing_plain_between(shop, caplog):
    """No record, parked record, reason, log line or event row holds a personal value in the open."""
    await shop.join(1)
    await shop.store.append(
        "customer-2", [Joined("c-2", "Bo Ek"), Moved("c-2", "Elm Street 7", poison=True), Moved("c-2", "Oak Street 8")]
    )
    await shop.feed(careful)
    parked = await shop.runs.parked()
    assert [each["key"] for each in parked] == ["customer-2"] * 2
    assert parked[0]["reason"].startswith("ValueError: its words are withheld")
    assert "moved" in parked[0]["reason"]
    records = await shop.records()
    assert len(records) == 5
    stored = await shop.runs.query("SELECT e::text AS row FROM eventstore.event AS e")
    everything = f"{records} {parked} {stored} {caplog.text}"
    assert not [each for each in ("Ada", "1815", "St James", "Bo Ek", "Elm", "Oak") if each in everything]


async def test_without_keys(shop, engine, monkeypatch):
    """A worker without master keys folds what is not personal and reads the rest as sealed."""
    await shop.join(1)
    monkeypatch.delenv("REFOLD_PRIVACY_MASTER_KEYS")
    await shop.feed(careful)
    row = (await shop.rows())["customer-1"]
    assert (row["name"], row["born"], row["street"], row["events"]) == ("[sealed]", None, "[sealed]", 2)
    async with checkout(engine) as connection:
        assert len(await list_generations(connection)) == 1


@asynccontextmanager
async def relayed(shop):
    stopping = asyncio.Event()
    task = asyncio.create_task(Relay(shop.store.engine, shop.runs.kafka).run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await task


async def test_proof_holds(shop):
    """With handlers that redact, `forget --prove` shows that table, log and read models hold nothing of the person."""
    for number in (1, 2):
        await shop.join(number)
    async with relayed(shop), shop.runs.worker(careful):
        await shop.publish_all()
        done = await shop.runs.program(eventstore.cli.main, "forget", "c-1", "--prove", "--common", "1815-12-10", "--json")
    assert done.code == 0, done.out + done.err
    proof = done.facts["proof"]
    assert (proof["holds"], proof["key_gone"], proof["events"], proof["opened"], proof["left"]) == (True, True, 2, 0, [])
    assert (proof["texts"], proof["records"]) == (2, 5)
    assert proof["tables"] > 10
    assert "backups" in proof["beyond"][0]
    again = await shop.runs.program(eventstore.cli.main, "forget", "c-1", "--prove", "--text", "Ada Lovelace 1")
    assert again.code == 0, again.out
    assert "proof holds" in again.out


async def test_proof_fails(shop):
    """Rows that keep the person make the proof fail, name the table and what to do; doing it makes the proof hold."""
    await shop.join(1)
    await shop.runs.query("CREATE TABLE scribble (note bytea)")
    await shop.runs.query("INSERT INTO scribble VALUES (convert_to('told Ada Lovelace 1', 'utf8'))")
    async with relayed(shop), shop.runs.worker(careless):
        await shop.publish_all()
        done = await shop.runs.program(eventstore.cli.main, "forget", "c-1", "--prove", "--wait", "0.1", "--json")
        assert done.code == 3
        left = {each["where"]: each for each in done.facts["proof"]["left"]}
        live = await shop.runs.live()
        assert set(left) == {f"{live.schema_name}.person", "public.scribble"}
        assert "replay" in left[f"{live.schema_name}.person"]["advice"]
        assert "Ada" not in done.out + done.err
        await shop.runs.query("DROP TABLE scribble")
        assert (await shop.rebuild("careless")).code == 0
    collected = await shop.runs.program(replay.cli.main, "gc", "--force")
    assert collected.code == 0, collected.err
    again = ("forget", "c-1", "--prove", "--text", "Ada Lovelace 1", "--text", "1815-12-10", "--text", "1 St James")
    done = await shop.runs.program(eventstore.cli.main, *again)
    assert done.code == 0, done.out


async def test_shown_sealed(shop):
    """`eventstore show` prints sealed fields as such without the app's classes, and redacted with them once forgotten."""
    await shop.join(1)
    bare = await shop.runs.program(eventstore.cli.main, "show", "customer-1")
    assert '"name":"[sealed]"' in bare.out
    opened = await shop.runs.program(eventstore.cli.main, "show", "customer-1", "--app", NAME)
    assert "Ada Lovelace 1" in opened.out
    await shop.runs.program(eventstore.cli.main, "forget", "c-1")
    gone = await shop.runs.program(eventstore.cli.main, "show", "customer-1", "--app", NAME)
    assert '"name":"[redacted]"' in gone.out
    assert "subject-forgotten" in gone.out


async def test_keys_command(shop, monkeypatch):
    """`eventstore keys` makes master keys, counts under them, and rotates."""
    await shop.join(1)
    made = await shop.runs.program(eventstore.cli.main, "keys", "--new", "next")
    monkeypatch.setenv("REFOLD_PRIVACY_MASTER_KEYS", f"{made.out.strip()},{MASTER}")
    assert (await shop.runs.program(eventstore.cli.main, "keys", "--json")).facts["keys"] == {"test": 1}
    rotated = await shop.runs.program(eventstore.cli.main, "keys", "--rotate", "--json")
    assert rotated.facts == {"rotated": 1, "keys": {"next": 1}, "forgotten": 0}
    monkeypatch.delenv("REFOLD_PRIVACY_MASTER_KEYS")
    assert (await shop.runs.program(eventstore.cli.main, "keys")).code == 3
