"""Tasks: at a time, once, in order, cancellable, and set aside when they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from eventstore import PostgresSettings, event
from eventstore.cli import main
from eventstore.decider import Decider
from eventstore.errors import HeldElsewhere, UsageError
from eventstore.postgres import PostgresEventStore, checkout
from eventstore.postgres.processes import list_processes, skip_event
from eventstore.postgres.tasks import Agenda, claim_tasks, finish_tasks
from eventstore.process import Call, Cancel, Process, Processes, Record, Schedule, Send, command
from eventstore.process.runner import Runner
from eventstore.settings import ProcessSettings
from tests.integration.process.conftest import Shop
from tests.stack.waiting import eventually

QUICK = ProcessSettings(lease_s=60.0, retry_s=0.001, attempts=3, batch_events=7)


@event("task-test-rang")
class Rang:
    text: str = ""


@command("task-test-ring")
class Ring:
    text: str


def decide(ring: Ring, _: list[str]) -> list[Rang]:
    if ring.text == "broken":
        raise ValueError("this bell is broken")
    return [Rang(ring.text)]


bells = Decider(list[str], lambda state, rang: [*state, rang.text], decide)


@dataclass
class Outside:
    """Somebody outside, who remembers who called and fails as told."""

    calls: list[UUID] = field(default_factory=list)
    fails: int = 0

    async def __call__(self, data: Mapping[str, Any], key: UUID) -> None:
        self.calls.append(key)
        if len(self.calls) <= self.fails:
            raise ConnectionError(f"no answer about {data}")


def program(*processes: Process[Any, Any], outside: Outside | None = None) -> Processes:
    made = Processes(*processes)
    made.route(bells, Ring)
    made.caller("outside")(outside or Outside())
    return made


@pytest.fixture
def agenda(store: PostgresEventStore) -> Agenda:
    return Agenda(store.engine)


async def texts(store: PostgresEventStore, stream: str = "bell") -> list[str]:
    return [each.data.text async for each in store.read_stream(stream)]


async def states(shop: Shop) -> dict[str, int]:
    found: dict[str, int] = {}
    for (_, state), count in (await shop.tasks()).items():
        found[str(state)] = found.get(str(state), 0) + count
    return found


async def test_at_a_time(store: PostgresEventStore, agenda: Agenda, shop: Shop) -> None:
    """An event and a command are carried out when they are due by the database's clock, and not before."""
    runner = Runner(store, program(), QUICK)
    task_id = await agenda.record("bell", Rang("event"), after=timedelta(hours=1))
    await agenda.send("bell", Ring("command"), at=datetime.now(UTC) + timedelta(hours=2))
    await agenda.record("bell", Rang("past"), at=datetime(2020, 1, 1, tzinfo=UTC))
    await runner.drain()
    assert await texts(store) == ["past"]
    await shop.do("UPDATE eventstore.task SET due_at = due_at - interval '3 hours' WHERE state = 'waiting'")
    await runner.drain()
    assert await texts(store) == ["past", "event", "command"]
    assert await store.find(task_id) == ("bell", 2)
    with pytest.raises(UsageError, match="no time zone"):
        await agenda.record("bell", Rang(), at=datetime(2020, 1, 1))  # noqa: DTZ001 - that is the mistake


async def test_once(store: PostgresEventStore, agenda: Agenda) -> None:
    """The same task written down twice, before and after it was done, is done once."""
    task_id = uuid4()
    for _ in range(2):
        for _ in range(2):
            await agenda.send("bell", Ring("x"), task_id=task_id)
        await Runner(store, program(), QUICK).drain()
    await agenda.sweep(timedelta(0))
    await agenda.send("bell", Ring("x"), task_id=task_id)
    await Runner(store, program(), QUICK).drain()
    assert await texts(store) == ["x"]


async def test_cancelled(store: PostgresEventStore, agenda: Agenda) -> None:
    """A task can be cancelled until somebody begins it."""
    task_id = await agenda.record("bell", Rang("x"))
    assert await agenda.cancel(task_id)
    assert not await agenda.cancel(task_id)
    begun = await agenda.record("bell", Rang("y"))
    async with checkout(store.engine) as connection:
        [claimed] = await claim_tasks(connection, "test", 10, 60)
    assert claimed.task.id == begun
    assert not await agenda.cancel(begun)
    assert await texts(store) == []


async def test_within_transaction(store: PostgresEventStore, agenda: Agenda) -> None:
    """A task that was written down in a transaction which is rolled back was never there."""
    async with checkout(store.engine) as connection, connection.transaction() as transaction:
        await agenda.record("bell", Rang("x"), connection=connection)
        raise psycopg.Rollback(transaction)
    async with store.engine.begin() as connection:
        await agenda.record("bell", Rang("y"), connection=connection)
    await Runner(store, program(), QUICK).drain()
    assert await texts(store) == ["y"]


async def test_in_order(store: PostgresEventStore, agenda: Agenda) -> None:
    """Tasks of one stream are done in the order in which they are due, however many workers there are."""
    wanted = [str(number) for number in range(12)]
    for each in wanted:
        await agenda.send("bell", Ring(each))
        await agenda.send(f"other-{each}", Ring(each))
    await asyncio.gather(*(Runner(store, program(), QUICK).drain() for _ in range(3)))

    async def all_rang() -> bool:
        return await texts(store) == wanted

    await eventually(all_rang, "all bells")


async def test_locked_rows_are_passed_over(store: PostgresEventStore, agenda: Agenda) -> None:
    """Two workers that look at the same moment take different tasks and wait for nobody; a lease that ran out is taken over."""
    for name in "abcd":
        await agenda.send(name, Ring(name))
    async with checkout(store.engine) as one, checkout(store.engine) as other:
        async with one.transaction():
            first = await claim_tasks(one, "one", 2, 60)
            second = await claim_tasks(other, "other", 10, 0)
        assert [len(first), len(second)] == [2, 2]
        assert not {each.task.id for each in first} & {each.task.id for each in second}
        again = await claim_tasks(one, "one", 10, 60)
        assert [each.attempts for each in again] == [2, 2]
        assert await finish_tasks(other, second) == 0, "who lost the lease crosses nothing off"
        assert await finish_tasks(one, again) == 2


async def test_failed(store: PostgresEventStore, agenda: Agenda, shop: Shop) -> None:
    """A command that is refused is tried again, then set aside; what waits behind it goes on, and a person may retry it."""
    task_id = await agenda.send("bell", Ring("broken"))
    await agenda.send("bell", Ring("next"))
    runner = Runner(store, program(), QUICK)

    async def went_on() -> bool:
        await runner.drain()
        return await texts(store) == ["next"]

    await eventually(went_on, "the next command")
    [failed] = await agenda.list("failed")
    assert (failed["id"], failed["attempts"], failed["reason"]) == (task_id, 3, "ValueError: this bell is broken")
    await shop.do("UPDATE eventstore.task SET data = '{\"text\": \"mended\"}' WHERE state = 'failed'")
    await agenda.retry(task_id)
    await runner.drain()
    assert await texts(store) == ["next", "mended"]
    for change in (agenda.retry, agenda.skip):
        with pytest.raises(UsageError, match="no failed task"):
            await change(task_id)


def ring(state: int, rang: Rang) -> list[Any]:
    match rang.text:
        case "call" | "call once":
            return [Call("outside", {"n": state}, at_most_once=rang.text == "call once")]
        case "record":
            return [Record("echo", Rang("echo")), Send("bell-2", Ring("sent"))]
        case "snooze":
            return [Schedule("alarm", Ring("alarm"), after=timedelta(hours=1)), Schedule("other", Ring("other"))]
        case "off":
            return [Cancel("alarm")]
        case "alarm" | "other":
            return [Record("echo", Rang(f"heard {rang.text}"))]
        case "poison":
            raise ValueError("I can't hear this")
        case _:
            return []


listener = Process("listener", lambda _: 0, lambda state, _: state + 1, ring, events=[Rang], key=lambda _, stream: stream[:5])


async def test_call_at_least_once(store: PostgresEventStore, shop: Shop) -> None:
    """A call that failed is made again, with the same key, until it succeeds; then never again."""
    outside = Outside(fails=1)
    runner = Runner(store, program(listener, outside=outside), QUICK)
    await store.append("bell", [Rang("call")])

    async def answered() -> bool:
        await runner.drain()
        return await states(shop) == {"done": 1}

    await eventually(answered, "an answer")
    assert len(outside.calls) == 2
    assert len(set(outside.calls)) == 1


async def test_call_at_most_once(store: PostgresEventStore, agenda: Agenda, shop: Shop) -> None:
    """A call that may be made once only is set aside when it failed, or when nobody knows how it ended."""
    outside = Outside(fails=1)
    runner = Runner(store, program(listener, outside=outside), QUICK)
    await store.append("bell", [Rang("call once"), Rang("call once")])

    async def written() -> bool:
        await runner._owners[0].step()
        return sum((await shop.tasks()).values()) == 2

    await eventually(written, "the calls to be written down")
    async with checkout(store.engine) as connection:
        await claim_tasks(connection, "dead", 1, 0)
    await runner.drain()
    failed = await agenda.list("failed")
    assert len(outside.calls) == 1
    assert sorted(each["reason"].partition(":")[0] for each in failed) == ["ConnectionError", "OutcomeUnknown"]


async def test_effects(store: PostgresEventStore, shop: Shop) -> None:
    """Events are recorded, commands sent, timers replaced, cancelled and delivered, each once."""
    runner = Runner(store, program(listener), QUICK)
    await store.append("bell", [Rang(each) for each in ("record", "snooze", "snooze", "off", "snooze")])

    async def heard() -> bool:
        await runner.drain()
        return await texts(store, "echo") == ["echo", "heard other"]

    await eventually(heard, "the echo")
    assert await texts(store, "bell-2") == ["sent"]
    await shop.hurry("bell")

    async def rang() -> bool:
        await runner.drain()
        return await texts(store, "echo") == ["echo", "heard other", "heard alarm"]

    await eventually(rang, "the alarm")
    assert (await shop.tasks())["timeout", "done"] == 2
    assert (await shop.tasks())["timeout", "waiting"] == 0


async def test_stands_still(store: PostgresEventStore, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """A process stands still before an event that it can't react to, has done all before it, says so, and can be let pass."""
    runner = Runner(store, program(listener), ProcessSettings(lease_s=0.2, idle_poll_s=0.02))
    await store.append("bell", [Rang("record"), Rang("poison"), Rang("off")])
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))

    async def stands() -> bool:
        return bool([each for each in await list_processes(store.engine) if each["reason"]])

    async def passed() -> bool:
        found = await shop.ask("SELECT state FROM eventstore.process_instance WHERE instance = 'bell'")
        return found == [(2,)] and not await stands()

    await eventually(stands, "the process to stand still")
    [told] = await list_processes(store.engine)
    assert "task-test-rang bell/2" in told["reason"]
    assert "I can't hear this" in told["reason"]
    assert await shop.ask("SELECT state FROM eventstore.process_instance WHERE instance = 'bell'") == [(1,)]
    await skip_event(store.engine, "listener")
    await eventually(passed, "the process to go on")
    stop.set()
    await running
    with pytest.raises(UsageError, match="does not stand still"):
        await skip_event(store.engine, "listener")


async def test_poisonous_timeout(store: PostgresEventStore, agenda: Agenda, shop: Shop) -> None:
    """A timeout that can't be reacted to is set aside and holds up nobody."""
    runner = Runner(store, program(listener), QUICK)
    await store.append("bell", [Rang("snooze")])

    async def set_up() -> bool:
        await runner.drain()
        return await texts(store, "echo") == ["heard other"]

    await eventually(set_up, "the other timer")
    await shop.do("UPDATE eventstore.task SET data = '{\"text\": \"poison\"}' WHERE state = 'waiting'")
    await shop.hurry("bell")
    await runner.drain()
    [failed] = await agenda.list("failed")
    assert failed["reason"] == "ValueError: I can't hear this"


async def test_cancelled_aside(store: PostgresEventStore, agenda: Agenda, shop: Shop) -> None:
    """A timeout that was set aside is cancelled like one that waits, so that nobody can let it ring by a retry."""
    runner = Runner(store, program(listener), QUICK)
    await store.append("bell", [Rang("snooze")])

    async def aside() -> bool:
        await runner.drain()
        await shop.do("UPDATE eventstore.task SET data = '{\"text\": \"poison\"}' WHERE state = 'waiting' AND timer = 'alarm'")
        await shop.hurry("bell")
        return bool(await agenda.list("failed"))

    await eventually(aside, "the alarm to be set aside")
    [failed] = await agenda.list("failed")
    await store.append("bell", [Rang("off")])

    async def heard() -> bool:
        await runner.drain()
        return (await shop.ask("SELECT state FROM eventstore.process_instance WHERE instance = 'bell'"))[0][0] == reacted

    reacted = 3
    await eventually(heard, "the process to cancel it")
    with pytest.raises(UsageError, match="no failed task"):
        await agenda.retry(failed["id"])


async def test_start_now(store: PostgresEventStore, shop: Shop) -> None:
    """A process that starts now is not set off by history."""
    late = Process("late", listener.initial, listener.evolve, ring, events=[Rang], start="now")
    await store.append("bell", [Rang("record")])

    async def readable() -> bool:
        return await store.count() == 1

    await eventually(readable, "the event")
    runner = Runner(store, program(late), QUICK)
    await runner.drain()
    await store.append("bell", [Rang("record")])

    async def heard() -> bool:
        await runner.drain()
        return await texts(store, "echo") == ["echo"]

    await eventually(heard, "one echo")


async def test_one_owner(store: PostgresEventStore) -> None:
    """While somebody owns a process nobody else can drain it; when they give it back somebody can."""
    one, other = Runner(store, program(listener), QUICK), Runner(store, program(listener), QUICK)
    assert await one._owners[0].claim()
    with pytest.raises(HeldElsewhere):
        await other.drain()
    await one._owners[0].release()
    await other.drain()


def test_cli(settings: PostgresSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The program runs, lists and mends, for people and for programs, and each mistake has its exit code."""
    monkeypatch.setenv("REFOLD_POSTGRES_DSN", settings.dsn.get_secret_value())
    app = "examples.fulfilment.fulfilment:app"
    assert main(["processes", "run", "--app", app, "--drain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"done": 0}
    assert main(["processes", "--json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["held"], listed["waiting"], listed["failed"]) == ("fulfilment", False, 0, 0)
    assert main(["processes"]) == 0
    assert capsys.readouterr().out.startswith("fulfilment  0 open, 0 waiting, 0 failed")
    assert main(["processes", "--failed", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    for arguments, said in (
        (["run"], "--app"),
        (["run", "--app", "examples.fulfilment.orders:orders"], "is Decider, not Processes"),
        (["--retry", "7"], "is not a UUID"),
        (["--give-up", str(uuid4())], "no failed task"),
        (["--skip", "fulfilment"], "does not stand still"),
    ):
        assert main(["processes", *arguments]) == 2
        assert said in capsys.readouterr().err
